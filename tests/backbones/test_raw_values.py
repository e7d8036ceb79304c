"""Raw values: what backbones take, and what they refuse."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.raw_values import as_images, as_numbers, as_sounds, as_texts, embed_in_chunks


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


def test_a_sound_keeps_its_rate_or_takes_the_one_that_is_wanted() -> None:
    times = np.arange(1600) / 16000
    wave = np.sin(2 * np.pi * 200 * times).astype(np.float32)
    [same], [slower] = (as_sounds([{"array": wave, "sampling_rate": 16000}], rate) for rate in (16000, 8000))
    assert np.array_equal(same, wave)
    assert len(slower) == 800
    # Away from its ends, the tone is the same one.
    assert np.abs(slower[100:700] - np.sin(2 * np.pi * 200 * np.arange(100, 700) / 8000)).max() < 0.01


def test_channels_are_averaged() -> None:
    [sound] = as_sounds([{"array": np.array([[1.0, 0.0], [0.0, 0.5]]), "sampling_rate": 8000}], 8000)
    assert sound.tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    "value",
    [
        None,
        np.zeros(8),
        {"array": np.zeros(8)},
        {"array": np.zeros(0), "sampling_rate": 8000},
        {"array": np.array([np.nan]), "sampling_rate": 8000},
        {"array": np.zeros((2, 2, 2)), "sampling_rate": 8000},
        {"array": ["soup"], "sampling_rate": 8000},
        {"array": np.zeros(8), "sampling_rate": 0},
        {"array": np.zeros(8), "sampling_rate": "fast"},
        {"array": np.zeros(8), "sampling_rate": 2**31 - 1},
    ],
)
def test_what_is_no_sound_is_refused(value: object) -> None:
    with pytest.raises(BackboneError, match="where a sound was expected: a mapping with array"):
        as_sounds([{"array": np.zeros(8), "sampling_rate": 8000}, value], 8000)


def test_of_a_very_long_text_the_beginning_is_read():
    assert [len(text) for text in as_texts(["a", "a" * 3_000_000])] == [1, 1_000_000]
