"""FEDAVG-P: a prompt set per missing pattern, everything averaged."""

import itertools

import numpy as np
import pytest
import torch

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone
from fedprime.data.batches import Batch, EmbeddedSamples
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.experiment.build import Experiment
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.method import ServerState, Update
from fedprime.models.prompted_model import PromptedModel
from fedprime.reproducibility.seeding import torch_stream

IMAGE, TEXT, BOTH = 0, 1, 2
SETS = "prompter.sets"


@pytest.fixture
def model(tiny: Backbone) -> PromptedModel:
    model = FedAvgP(num_prompts=4).build(tiny, ("bread", "soup", "cake"), rng=torch_stream(0, "initial weights"))
    weights = model.weights()
    weights[SETS] = torch.arange(3.0)[:, None, None].expand(3, 4, tiny.dim).clone()
    model.load_weights(weights)
    return model


def batch_of(experiment: Experiment, *present: tuple[bool, bool]) -> Batch:
    shard = experiment.shards[0]
    return shard.samples.batch(shard.indices[: len(present)], np.array(present))


def test_two_modalities_have_three_prompt_sets(tiny: Backbone):
    weights = FedAvgP(num_prompts=7).build(tiny, ("bread", "soup"), rng=torch_stream(0, "initial weights")).weights()
    assert weights[SETS].shape == (3, 7, tiny.dim)


def test_three_modalities_have_a_prompt_set_for_each_of_seven_patterns():
    modalities = ("image", "text", "readings")
    backbone = load_backbone(modalities=modalities)
    model = FedAvgP(num_prompts=2).build(backbone, ("bread", "soup", "cake"), rng=torch_stream(0, "initial weights"))
    assert model.weights()[SETS].shape == (7, 2, backbone.dim)
    model.load_weights({**model.weights(), SETS: torch.arange(7.0)[:, None, None].expand(7, 2, backbone.dim)})
    present = np.array([pattern for pattern in itertools.product([False, True], repeat=3) if any(pattern)])
    batch = EmbeddedSamples(BuiltinWorld(7, 3), modalities, backbone.embed).batch(np.arange(7), present)
    # A set is numbered by what is there: 1 for the image, 2 for the text, 4 for the readings, less 1.
    expected = [sum(bit * there for bit, there in zip((1, 2, 4), row, strict=True)) - 1 for row in present.tolist()]
    assert model(batch).chosen.prompts.mean(dim=(1, 2)).tolist() == expected


def test_all_patterns_start_with_the_same_prompts(tiny: Backbone):
    sets = FedAvgP().build(tiny, ("bread", "soup"), rng=torch_stream(0, "initial weights")).weights()[SETS]
    assert torch.equal(sets[IMAGE], sets[TEXT])
    assert torch.equal(sets[IMAGE], sets[BOTH])


def test_a_sample_gets_the_prompts_of_its_missing_pattern(model: PromptedModel, small_experiment: Experiment):
    batch = batch_of(small_experiment, (True, True), (False, True), (True, False), (True, True))
    assert model(batch).chosen.prompts.mean(dim=(1, 2)).tolist() == [BOTH, TEXT, IMAGE, BOTH]


def test_the_loss_is_the_task_loss_alone(model: PromptedModel, small_experiment: Experiment):
    batch = batch_of(small_experiment, (True, True), (False, True))
    expected = torch.nn.functional.cross_entropy(model(batch).logits, batch.labels)
    assert FedAvgP().loss(model, batch, model.weights()).item() == expected.item()


def test_samples_of_one_pattern_teach_the_other_patterns_nothing(model: PromptedModel, small_experiment: Experiment):
    batch = batch_of(small_experiment, (False, True), (False, True))
    FedAvgP().loss(model, batch, model.weights()).backward()
    touched = model.get_parameter(SETS).grad.abs().amax(dim=(1, 2)) > 0
    assert touched.tolist() == [False, True, False]


def test_the_prompt_sets_are_averaged_by_samples(model: PromptedModel):
    weights = model.weights()
    there = {**weights, SETS: weights[SETS] + 4}
    updates = [Update(0, 30, weights), Update(1, 10, there)]
    shared = FedAvgP().aggregate(ServerState(weights), updates, torch_stream(0, "server")).shared
    assert shared[SETS].mean(dim=(1, 2)).tolist() == [1.0, 2.0, 3.0]
