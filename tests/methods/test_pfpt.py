"""PFPT: all prompts are used, aligned, and stay as many as they are."""

import pytest
import torch

from fedprime.backbones.backbone import Backbone
from fedprime.experiment.build import Experiment
from fedprime.methods.method import ServerState, Update
from fedprime.methods.pfpt import PFPT
from fedprime.models.prompted_model import PromptedModel
from fedprime.reproducibility.seeding import torch_stream

PROMPTS = "prompter.prompts"


@pytest.fixture
def model(tiny: Backbone) -> PromptedModel:
    return PFPT(num_prompts=5).build(tiny, ("bread", "soup", "cake"), rng=torch_stream(0, "initial weights"))


def test_every_sample_gets_all_prompts(model: PromptedModel, small_experiment: Experiment):
    batch = next(small_experiment.shards[0].batches(3))
    prompts = model(batch).chosen.prompts
    assert all(torch.equal(of_sample, model.get_parameter(PROMPTS)) for of_sample in prompts)


def test_prompts_that_clients_hold_in_another_order_are_matched(model: PromptedModel):
    weights = model.weights()
    shuffled = {**weights, PROMPTS: weights[PROMPTS][[3, 0, 4, 1, 2]]}
    updates = [Update(0, 10, weights), Update(1, 10, shuffled)]
    aggregated = PFPT(num_prompts=5).aggregate(ServerState(weights), updates, torch_stream(0, "server")).shared
    assert torch.allclose(aggregated[PROMPTS], weights[PROMPTS], atol=1e-6)


def test_the_set_never_grows(model: PromptedModel):
    weights = model.weights()
    rng = torch_stream(1, "far away")
    updates = [Update(client, 10, {**weights, PROMPTS: torch.randn(5, 64, generator=rng)}) for client in range(4)]
    aggregated = PFPT(num_prompts=5).aggregate(ServerState(weights), updates, torch_stream(0, "server")).shared
    assert aggregated[PROMPTS].shape == (5, 64)


def test_everything_else_is_averaged_by_samples(model: PromptedModel):
    weights = model.weights()
    there = {**weights, "head.bias": weights["head.bias"] + 4}
    updates = [Update(0, 30, weights), Update(1, 10, there)]
    aggregated = PFPT(num_prompts=5).aggregate(ServerState(weights), updates, torch_stream(0, "server")).shared
    assert torch.allclose(aggregated["head.bias"], weights["head.bias"] + 1)
