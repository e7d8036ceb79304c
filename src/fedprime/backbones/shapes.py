"""Shapes and colours of pictures, by counting: nothing of it was trained, so strokes count as much as things.

A network that learnt from photos looks past the strokes of a digit or a sign. Shapes are histograms of the directions
of edges, in each of 8 x 8 cells of a picture; colours are one histogram of all of it. The spectrogram of a sound is a
picture, too, whose shapes are those of its tones.

Sources: Dalal and Triggs. Histograms of Oriented Gradients for Human Detection. CVPR 2005; Felzenszwalb et al. Object
Detection with Discriminatively Trained Part-Based Models. PAMI 2010, for cells that are normalised in four ways.
"""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

#: What decides them beside the picture; to be raised when the same picture gives other numbers.
SHAPES = "shapes 1"

_SIDE = 64  # pixels that a picture is resized to, whatever its shape
_LARGE = 512  # pixels of a side; of one that is twice as long, every other pixel is enough, and so on
_CELLS = 8  # along a side
_ANGLES = 9  # of edges, from either side of them
_LEVELS = 4  # of each of red, green, blue
_NOISE = 1e-3  # of edges in a cell, beside which nothing is normalised

#: Numbers of `shapes_of`.
NUM_SHAPES = _CELLS * _CELLS * _ANGLES
#: Numbers that `look_of` has behind them.
NUM_COLOURS = _LEVELS**3


def shapes_of(picture: Float[np.ndarray, "_ _"]) -> Float[np.ndarray, " shape"]:
    """Returns how much of each direction there is in the edges of each cell, compared with the cells around it.

    Args:
        picture: How bright each place is, about 0 to 1.
    """
    resized = Image.fromarray(np.asarray(picture, dtype=np.float32)).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    down, across = np.gradient(np.asarray(resized, dtype=np.float64))
    angle = np.arctan2(down, across) % np.pi / np.pi * _ANGLES
    apart = np.abs(angle - np.arange(_ANGLES)[:, None, None])
    # An edge counts for the two angles, and in each direction the two cells, that are nearest.
    edges = np.hypot(down, across) * np.clip(1 - np.minimum(apart, _ANGLES - apart), 0, None)
    place = (np.arange(_SIDE) + 0.5) * _CELLS / _SIDE - 0.5
    near = np.clip(1 - np.abs(place - np.arange(_CELLS)[:, None]), 0, None)
    cells = near @ edges @ near.T  # (angle, row, column)
    energy = np.pad((cells**2).sum(axis=0), 1, mode="edge")
    around = np.sqrt(energy[:-1, :-1] + energy[1:, :-1] + energy[:-1, 1:] + energy[1:, 1:]) + _NOISE
    corners = (around[:-1, :-1], around[1:, :-1], around[:-1, 1:], around[1:, 1:])
    return np.mean([cells / corner for corner in corners], axis=0).ravel()


def look_of(image: UInt8[np.ndarray, "_ _ 3"]) -> Float[np.ndarray, " look"]:
    """Returns the shapes of an image, and behind them the square root of the share that each of some colours has."""
    rows, columns = (max(1, size // _LARGE) for size in image.shape[:2])
    resized = Image.fromarray(image[::rows, ::columns]).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    pixels = np.asarray(resized)
    levels = (pixels // (256 // _LEVELS)).astype(np.int64) @ np.array([_LEVELS**2, _LEVELS, 1])
    colours = np.sqrt(np.bincount(levels.ravel(), minlength=NUM_COLOURS) / levels.size)
    return np.concatenate([shapes_of(pixels.mean(axis=2) / 255), colours])
