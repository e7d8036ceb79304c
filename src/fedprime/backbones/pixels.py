"""Images as a model takes them, by a few array operations that give what the image processors of `transformers` give.

Of a byte there are 256 values, so that what a processor makes of one (scaled, then normalised by channel) is looked up
in a table. Processors whose way is not known here are called.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image

_Image = UInt8[np.ndarray, "_ _ 3"]

#: Of ViLT's processor: its longer side is at most this many times the shorter.
_LONGEST = 1333 / 800
_LIKE_VILT = ("ViltImageProcessorPil", "ShippedProcessor")
_PLAIN = (
    *("CLIPImageProcessorPil", "SiglipImageProcessorPil", "ViTImageProcessorPil"),
    *("BitImageProcessorPil", "ConvNextImageProcessorPil", "DeiTImageProcessorPil"),
)


def pixel_reader(processor: Any) -> Callable[[_Image], Float32[np.ndarray, "3 _ _"]] | None:
    """Returns what turns an image into pixels as an image processor does, to the bit; None where its way is not known.

    Args:
        processor: One of `transformers` that works by Pillow, or of a ViLT that comes with fedprime.
    """
    settings = processor.to_dict()
    kind, size = type(processor).__name__, {name: own for name, own in dict(settings.get("size") or {}).items() if own}
    if not all(settings.get(name) for name in ("do_resize", "do_rescale", "do_normalize")):
        return None
    if kind in _LIKE_VILT and size.keys() == {"shortest_edge"}:
        divisor = settings["size_divisor"]
        return _Reader(settings, partial(_vilt_shape, shorter=size["shortest_edge"], divisor=divisor), None)
    if kind not in _PLAIN or settings.get("do_pad"):
        return None
    crop = dict(settings.get("crop_size") or {}) if settings.get("do_center_crop") else None
    if size.keys() == {"height", "width"}:
        shape = partial(_fixed_shape, fixed=(size["height"], size["width"]))
        return _Reader(settings, shape, None) if crop is None else None
    if size.keys() == {"shortest_edge"} and crop is not None:
        cropped = (crop.get("height") or 0, crop.get("width") or 0)
        if min(cropped) > 0 and max(cropped) <= size["shortest_edge"]:
            return _Reader(settings, partial(_shortest_edge_shape, shortest=size["shortest_edge"]), cropped)
    return None


class _Reader:
    def __init__(
        self,
        settings: dict[str, Any],
        shape_of: Callable[[tuple[int, int]], tuple[int, int]],
        cropped: tuple[int, int] | None,
    ) -> None:
        self._shape_of, self._cropped = shape_of, cropped
        self._resample = Image.Resampling(settings["resample"])
        # As they compute it: in double precision, then in single.
        scaled = (np.arange(256, dtype=np.float64) * settings["rescale_factor"]).astype(np.float32)
        mean, std = (
            np.broadcast_to(np.array(settings[name], dtype=np.float32), 3) for name in ("image_mean", "image_std")
        )
        self._tables: Float[np.ndarray, "3 256"] = (scaled - mean[:, None]) / std[:, None]

    def __call__(self, image: _Image) -> Float32[np.ndarray, "3 _ _"]:
        height, width = self._shape_of((image.shape[0], image.shape[1]))
        resized = np.asarray(Image.fromarray(image).resize((width, height), self._resample))
        if self._cropped is not None:
            top, left = (height - self._cropped[0]) // 2, (width - self._cropped[1]) // 2
            resized = resized[top : top + self._cropped[0], left : left + self._cropped[1]]
        return np.stack([table.take(resized[:, :, channel]) for channel, table in enumerate(self._tables)])


def _vilt_shape(shape: tuple[int, int], shorter: int, divisor: int) -> tuple[int, int]:
    """Returns height and width as ViLT's processor resizes to them: multiples of a patch."""
    height, width = shape
    scale = shorter / min(height, width)
    new_height, new_width = (shorter, scale * width) if height < width else (scale * height, shorter)
    longer = int(_LONGEST * shorter)
    if max(new_height, new_width) > longer:
        scale = longer / max(new_height, new_width)
        new_height, new_width = scale * new_height, scale * new_width
    return int(new_height + 0.5) // divisor * divisor, int(new_width + 0.5) // divisor * divisor


def _fixed_shape(_: tuple[int, int], fixed: tuple[int, int]) -> tuple[int, int]:
    return fixed


def _shortest_edge_shape(shape: tuple[int, int], shortest: int) -> tuple[int, int]:
    """Returns height and width of an image whose shorter side is given."""
    height, width = shape
    longer = int(shortest * max(height, width) / min(height, width))
    return (shortest, longer) if height <= width else (longer, shortest)
