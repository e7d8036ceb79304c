"""The data set of a run: opened by name, kept for the next run, complained about in one line."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprime import samples
from fedprime.backbones.backbone import Backbone
from fedprime.config import DataSettings
from fedprime.data.batches import DataError, EmbeddedSamples
from fedprime.data.builtin import BuiltinWorld
from fedprime.samples import embedded_samples, usable_splits


def embed(modality: str, values: Sequence[object]) -> list[Tensor]:
    return [torch.zeros(1, len(modality)) for _ in values]


@pytest.fixture
def world() -> BuiltinWorld:
    return BuiltinWorld(10, num_validation=2, num_test=3)


def test_the_same_settings_open_a_data_set_once(tiny: Backbone):
    data = DataSettings(num_train=3, num_validation=1, num_test=1)
    first = embedded_samples(data, tiny)
    assert embedded_samples(replace(data), tiny) is first
    assert embedded_samples(replace(data, num_test=2), tiny) is not first
    assert len(first.source) == 5


def test_a_modality_that_the_data_lacks_is_an_error_of_the_data(tiny: Backbone, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(BuiltinWorld, "modalities", ("text",))
    with pytest.raises(DataError, match="the data has no image, only text; name those to use in data"):
        embedded_samples(DataSettings(num_train=4, num_validation=1, num_test=1), tiny)


def test_samples_of_which_nothing_is_there_are_left_out_and_counted(
    world: BuiltinWorld, caplog: pytest.LogCaptureFixture
):
    world.there[[1, 8, 9], :2] = False
    world.there[3, 0] = False
    with caplog.at_level(logging.WARNING, logger=samples.__name__):
        splits = usable_splits(EmbeddedSamples(world, ("image", "text"), embed))
    assert {name: own.tolist() for name, own in splits.items()} == {
        "train": [0, 2, 3, 4],
        "validation": [5, 6],
        "test": [7],
    }
    assert caplog.messages == ["left out, because nothing of them is there: 1 of train, 2 of test samples"]


def test_a_split_without_a_usable_sample_is_named(world: BuiltinWorld):
    world.there[5:7, 1] = False
    with pytest.raises(DataError, match="the data has no validation sample with any of text; it needs some of each of"):
        usable_splits(EmbeddedSamples(world, ("text",), embed))


def test_training_samples_of_a_single_class_are_refused(world: BuiltinWorld):
    world.labels[:5] = 2
    with pytest.raises(DataError, match="all training samples are of one class, dish-02; there is nothing to learn"):
        usable_splits(EmbeddedSamples(world, ("text",), embed))
    assert np.unique(world.labels[5:]).size > 0
