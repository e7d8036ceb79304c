"""What generated samples look and read like: ingredients drawn as glyphs, named in titles, in the style of a site."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

#: The ingredients, each with its two names. The index gives the glyph: ``shape = index // 4``, ``colour = index % 4``.
INGREDIENTS: tuple[tuple[str, str], ...] = (
    ("tomato", "pomodoro"),
    ("corn", "maize"),
    ("basil", "sweetherb"),
    ("blueberry", "bilberry"),
    ("pepper", "paprika"),
    ("chickpea", "garbanzo"),
    ("coriander", "cilantro"),
    ("eggplant", "aubergine"),
    ("beet", "beetroot"),
    ("cheese", "cheddar"),
    ("zucchini", "courgette"),
    ("plum", "damson"),
    ("shrimp", "prawn"),
    ("egg", "omelette"),
    ("arugula", "rocket"),
    ("grape", "raisin"),
    ("chili", "jalapeno"),
    ("lemon", "citron"),
    ("scallion", "springonion"),
    ("mussel", "clam"),
    ("beef", "steak"),
    ("pasta", "noodle"),
    ("pea", "podbean"),
    ("tuna", "bonito"),
    ("ham", "bacon"),
    ("potato", "spud"),
    ("lettuce", "romaine"),
    ("squid", "calamari"),
    ("strawberry", "redberry"),
    ("honey", "nectar"),
    ("spinach", "chard"),
    ("mushroom", "fungus"),
)

#: Words that say nothing about the class.
FILLERS: tuple[str, ...] = (
    *("with", "and", "fresh", "my", "the", "easy", "best", "homemade", "tonight", "recipe", "quick", "grandma"),
    *("simple", "bowl", "plate", "style", "from", "for", "two", "sunday", "market", "spicy", "warm", "review"),
)

IMAGE_SIZE = 64  # pixels
CELL_SIZE = 16  # pixels: glyphs stand on a 4 x 4 grid of cells

_COLOURS = np.array([[214, 58, 48], [236, 196, 44], [66, 166, 82], [74, 92, 208]], dtype=np.float32)


def _glyph_masks() -> Float[np.ndarray, "shape shift_y shift_x height width"]:
    """Draws the eight shapes in every one-pixel shift, as coverage in [0, 1]."""
    sampled = (np.arange(CELL_SIZE * 4) + 0.5) / 4 - CELL_SIZE / 2  # four subsamples per pixel smooth the edges
    masks = np.zeros((8, 3, 3, CELL_SIZE, CELL_SIZE), dtype=np.float32)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            y, x = np.meshgrid(sampled - down, sampled - right, indexing="ij")
            radius = np.hypot(x, y)
            arms = (np.abs(x) < 1.9) | (np.abs(y) < 1.9)
            shapes = (
                radius < 5.2,  # disc
                (radius < 6.2) & (radius > 3.4),  # ring
                np.maximum(np.abs(x), np.abs(y)) < 4.9,  # square
                (y < 4.6) & (y > -5.4) & (np.abs(x) < (y + 5.6) * 0.6),  # triangle
                arms & (np.maximum(np.abs(x), np.abs(y)) < 6.2),  # plus
                np.abs(x) + np.abs(y) < 6.4,  # diamond
                (np.abs(y) < 2.2) & (np.abs(x) < 6.4),  # bar
                (np.minimum(np.abs(x - y), np.abs(x + y)) < 2.2) & (np.maximum(np.abs(x), np.abs(y)) < 5.6),  # cross
            )
            for index, shape in enumerate(shapes):
                covered = shape.reshape(CELL_SIZE, 4, CELL_SIZE, 4).mean(axis=(1, 3))
                masks[index, down + 1, right + 1] = covered
    return masks


_MASKS = _glyph_masks()


@dataclass(frozen=True)
class Style:
    """How a site's samples look and read; it says nothing about the class.

    Attributes:
        tint: Background colour, 0-255 per channel.
        noise: Amplitude of the background noise, in grey levels.
        second_name: Probability that an ingredient goes by its second name.
        fillers: Probability of every filler word.
    """

    tint: Float[np.ndarray, "3"]
    noise: int
    second_name: float
    fillers: Float[np.ndarray, " filler"]


def draw_style(rng: np.random.Generator) -> Style:
    """Draws a style."""
    return Style(
        tint=rng.uniform(105, 175, size=3).astype(np.float32),
        noise=int(rng.integers(20, 60)),
        second_name=float(rng.uniform(0.15, 0.85)),
        fillers=rng.dirichlet(np.full(len(FILLERS), 1.0)),
    )


def draw_image(
    ingredients: Sequence[int] | Int[np.ndarray, " glyph"], style: Style, rng: np.random.Generator
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws ingredients as glyphs in random cells of a noisy background.

    Args:
        ingredients: Indices into `INGREDIENTS`, at most 16.
    """
    grid = IMAGE_SIZE // CELL_SIZE
    noise = rng.integers(-style.noise, style.noise + 1, size=(IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.int16)
    slope = rng.uniform(-25, 25, size=2)
    ramp = np.linspace(-1, 1, IMAGE_SIZE, dtype=np.float32)
    image = style.tint + (slope[0] * ramp[:, None, None] + slope[1] * ramp[None, :, None]).astype(np.float32) + noise
    cells = rng.permutation(grid * grid)[: len(ingredients)]
    shifts = rng.integers(0, 3, size=(len(ingredients), 2))
    tones = rng.uniform(-18, 18, size=(len(ingredients), 3)).astype(np.float32)
    for ingredient, cell, shift, tone in zip(ingredients, cells, shifts, tones, strict=True):
        shape, colour = divmod(int(ingredient), len(_COLOURS))
        top, left = (cell // grid) * CELL_SIZE, (cell % grid) * CELL_SIZE
        mask = _MASKS[shape, shift[0], shift[1]][:, :, None]
        patch = image[top : top + CELL_SIZE, left : left + CELL_SIZE]
        patch += mask * (_COLOURS[colour] + tone - patch)
    return np.clip(image, 0, 255).astype(np.uint8)


def write_title(ingredients: Sequence[int] | Int[np.ndarray, " named"], style: Style, rng: np.random.Generator) -> str:
    """Writes a title that names ingredients among filler words.

    Args:
        ingredients: Indices into `INGREDIENTS`, in the order in which they are named.
    """
    words: list[str] = []
    for ingredient in ingredients:
        words += [FILLERS[filler] for filler in rng.choice(len(FILLERS), size=rng.integers(0, 3), p=style.fillers)]
        words.append(INGREDIENTS[int(ingredient)][int(rng.random() < style.second_name)])
    words += [FILLERS[filler] for filler in rng.choice(len(FILLERS), size=rng.integers(0, 2), p=style.fillers)]
    return " ".join(words)
