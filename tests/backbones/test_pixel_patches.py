"""Patches of pixels: where they come from, and what they say."""

import numpy as np
import pytest
import torch

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.log_mel import NUM_PLACES
from fedprime.backbones.pixel_patches import PixelPatches
from fedprime.reproducibility.seeding import stream


def test_patches_are_squares_of_the_image_row_by_row() -> None:
    image = stream(0, "image").integers(0, 256, size=(6, 6, 3), dtype=np.uint8)
    [tokens] = PixelPatches(6, 2).encode([image])
    assert tokens.shape == (9, 12 + 2 * NUM_PLACES)
    # The sixth patch: second row, third column.
    expected = image[2:4, 4:6].astype(np.float32).flatten() / 127.5 - 1
    np.testing.assert_allclose(tokens[5, :12].numpy(), expected, atol=1e-6)


def test_an_image_of_another_size_is_resized() -> None:
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    image[:, :4] = 255
    small, large = PixelPatches(4, 2).encode([image, image.repeat(8, axis=0).repeat(8, axis=1)])
    assert torch.allclose(small, large, atol=0.1)


def test_every_place_is_told_apart() -> None:
    [tokens] = PixelPatches(12, 2).encode([np.zeros((3, 3, 3), dtype=np.uint8)])
    assert (torch.cdist(tokens, tokens) + 9 * torch.eye(36)).min() > 0.1


def test_other_settings_have_another_fingerprint() -> None:
    assert len({PixelPatches(*sizes).fingerprint for sizes in ((8, 2), (8, 4), (16, 4))}) == 3


def test_patches_that_do_not_fill_the_image_are_refused() -> None:
    with pytest.raises(BackboneError, match="an image of 10 x 10 pixels has no whole patches of 4 x 4"):
        PixelPatches(10, 4)


@pytest.mark.parametrize("value", ["soup.jpg", np.zeros((0, 3, 3), dtype=np.uint8)])
def test_what_is_no_image_is_refused(value: object) -> None:
    with pytest.raises(BackboneError, match="image"):
        PixelPatches(4, 2).encode([value])
