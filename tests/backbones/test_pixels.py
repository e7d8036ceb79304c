"""Pixels by array operations: those of the image processors, to the bit, for images of any shape."""

from typing import Any

import numpy as np
import pytest
from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil, ViltImageProcessorPil, ViTImageProcessorPil

from fedprime.backbones.pixels import pixel_reader
from fedprime.backbones.vilt_checkpoint import PIXELS_AS_TRAINED
from fedprime.reproducibility.seeding import stream

SHAPES = ((50, 70), (70, 50), (64, 64), (33, 200), (200, 33), (1, 3), (5, 1), (224, 224), (301, 299))
PROCESSORS = {
    "ViLT": ViltImageProcessorPil(**PIXELS_AS_TRAINED),
    "a small ViLT": ViltImageProcessorPil(size={"shortest_edge": 32}, size_divisor=8, image_mean=[0.1, 0.2, 0.3]),
    "CLIP": CLIPImageProcessorPil(),
    "a small CLIP": CLIPImageProcessorPil(size={"shortest_edge": 40}, crop_size={"height": 31, "width": 40}),
    "SigLIP": SiglipImageProcessorPil(),
    "ViT": ViTImageProcessorPil(size={"height": 40, "width": 24}, resample=2),
}


@pytest.mark.parametrize("processor", PROCESSORS.values(), ids=PROCESSORS)
def test_pixels_are_those_of_the_processor_to_the_bit(processor: Any) -> None:
    read, own = pixel_reader(processor), {"do_pad": False} if "Vilt" in type(processor).__name__ else {}
    assert read is not None
    for height, width in SHAPES:
        image = stream(0, "pixels", height, width).integers(0, 256, (height, width, 3), dtype=np.uint8)
        try:
            [expected] = processor([image], input_data_format="channels_last", **own)["pixel_values"]
        except ValueError:
            with pytest.raises(ValueError, match="must be > 0"):
                read(image)
            continue
        found = read(image)
        assert found.dtype == np.float32
        assert found.tobytes() == np.ascontiguousarray(expected, dtype=np.float32).tobytes()


@pytest.mark.parametrize(
    "processor",
    [
        CLIPImageProcessorPil(do_normalize=False),
        CLIPImageProcessorPil(size={"shortest_edge": 20}, crop_size={"height": 30, "width": 30}),
        ViTImageProcessorPil(do_resize=False),
    ],
)
def test_a_processor_that_works_otherwise_is_left_to_itself(processor: Any) -> None:
    assert pixel_reader(processor) is None
