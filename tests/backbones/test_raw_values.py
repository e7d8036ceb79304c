"""Raw values: what backbones take, and what they refuse."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.raw_values import as_images, as_numbers, as_texts, embed_in_chunks


def test_values_are_embedded_a_few_at_a_time_in_their_order_and_without_gradients() -> None:
    weight = torch.ones(1, requires_grad=True)
    sizes = []

    def embed(values: object) -> list[Tensor]:
        chunk = list(values)  # pyright: ignore[reportArgumentType, reportCallIssue]
        sizes.append(len(chunk))
        return [weight * value for value in chunk]

    embedded = embed_in_chunks(embed, list(range(150)))
    assert [int(value) for value in embedded] == list(range(150))
    assert max(sizes) <= 64
    assert not any(value.requires_grad for value in embedded)


def test_good_values_stay_what_they_are() -> None:
    image = np.zeros((2, 3, 3), dtype=np.uint8)
    assert as_images([image])[0] is image
    assert as_texts(["soup", ""]) == ["soup", ""]
    assert as_numbers([np.array([1, 2.5])])[0].tolist() == [1, 2.5]


@pytest.mark.parametrize("value", [None, "soup.jpg", np.zeros((2, 2, 3)), np.zeros((3, 2, 2), dtype=np.uint8)])
def test_what_is_no_image_is_refused(value: object) -> None:
    with pytest.raises(BackboneError, match=r"where a \(height, width, 3\) uint8 image was expected"):
        as_images([np.zeros((2, 3, 3), dtype=np.uint8), value])


@pytest.mark.parametrize("value", [None, 7, b"soup"])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(BackboneError, match="where a text was expected"):
        as_texts(["soup", value])


@pytest.mark.parametrize("value", [None, "1 2", np.array([np.nan]), np.zeros((1, 1))])
def test_what_is_no_row_of_numbers_is_refused(value: object) -> None:
    with pytest.raises(BackboneError, match="one-dimensional array of finite numbers was expected"):
        as_numbers([np.zeros(2), value])
