"""What all rounds of the start need."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedprime.experiment.build import Experiment
from fedprime.federation.start_round import LocalSamples, each_alone, own_log_prior, read_blocks, with_single_modalities
from fedprime.methods import METHODS
from started import model_of


def test_own_frequencies_are_those_of_the_clients_training_samples(small_experiment: Experiment):
    shard = small_experiment.shards[0]
    labels = small_experiment.source.labels[shard.indices]
    counts, shared = np.bincount(labels, minlength=3), np.full(3, 1 / 3)
    found = own_log_prior(model_of(small_experiment), shard).exp().numpy()
    # Between the shared frequencies and its own, in the same direction for each class.
    own = counts / len(labels)
    share = (found - shared) / (own - shared)
    np.testing.assert_allclose(share, share[0])
    assert 0 < share[0] < 1


def test_what_goes_through_the_transformer_is_computed_once_for_the_same_prompts(
    small_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
):
    samples = LocalSamples(small_experiment.shards[0], small_experiment.validation)
    method = METHODS["fedavg-p"](num_prompts=2, readout="blocks")
    model = method.build(small_experiment.model.backbone, small_experiment.model.label_names)
    encode, calls = model.backbone.encode, []

    def counted(tokens: Any) -> torch.Tensor:
        calls.append(1)
        return encode(tokens)

    monkeypatch.setattr(model.backbone, "encode", counted)
    expected = list(read_blocks(model, with_single_modalities(samples.validation)))
    for _ in range(3):
        found = list(samples.validation_blocks(model))
        for (ours, labels), (theirs, same_labels) in zip(found, expected, strict=True):
            assert torch.equal(labels, same_labels)
            assert all(torch.equal(ours.values[name], value) for name, value in theirs.values.items())
    assert len(calls) == 2 * len(expected)
    with torch.no_grad():
        next(model.prompter.parameters()).add_(1)
    list(samples.validation_blocks(model))
    assert len(calls) == 3 * len(expected)


def test_samples_with_several_modalities_come_again_with_each_of_them_alone(small_experiment: Experiment):
    present = np.array([[True, True], [False, True], [True, True]])
    shard = replace(small_experiment.validation, indices=np.array([4, 5, 6]), present=present, likelihood=None)
    rows, alone = each_alone(shard)
    assert rows.tolist() == [0, 2, 0, 2]
    assert alone.indices.tolist() == [4, 6, 4, 6]
    assert alone.present.tolist() == [[True, False], [True, False], [False, True], [False, True]]
