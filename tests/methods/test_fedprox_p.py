"""FEDPROX-P: the proximal term by hand; with weight 0 it is FEDAVG-P."""

import pytest
import torch

from fedprime.backbones.backbone import Backbone
from fedprime.data.batches import Batch
from fedprime.experiment.build import Experiment
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.fedprox_p import FedProxP
from fedprime.models.prompted_model import PromptedModel
from fedprime.reproducibility.seeding import torch_stream


@pytest.fixture
def model(tiny: Backbone) -> PromptedModel:
    return FedProxP(num_prompts=4).build(tiny, ("bread", "soup", "cake"), rng=torch_stream(0, "initial weights"))


@pytest.fixture
def batch(small_experiment: Experiment) -> Batch:
    return next(small_experiment.shards[0].batches(4))


def test_with_weight_0_it_is_fedavg_p(model: PromptedModel, batch: Batch):
    received = {name: value + 1 for name, value in model.weights().items()}
    expected = FedAvgP(num_prompts=4).loss(model, batch, received)
    assert FedProxP(num_prompts=4, proximal_weight=0.0).loss(model, batch, received).item() == expected.item()


def test_the_term_is_half_the_weight_times_the_squared_distance(model: PromptedModel, batch: Batch):
    received = model.weights()
    # One value is 3 off and another 4: the squared distance is 25.
    received["head.bias"][0] += 3
    received["pooler.bias"][5] -= 4
    without = FedAvgP(num_prompts=4).loss(model, batch, received)
    with_term = FedProxP(num_prompts=4, proximal_weight=0.2).loss(model, batch, received)
    assert (with_term - without).item() == pytest.approx(0.2 / 2 * 25, rel=1e-4)


def test_the_term_pulls_straight_towards_what_was_received(model: PromptedModel, batch: Batch):
    received = model.weights()
    received["head.bias"] = received["head.bias"] + torch.tensor([1.0, -2.0, 0.5])
    FedAvgP(num_prompts=4).loss(model, batch, received).backward()
    without = model.head.bias.grad.clone()
    model.zero_grad()
    FedProxP(num_prompts=4, proximal_weight=0.1).loss(model, batch, received).backward()
    # The gradient of mu/2 |w - r|^2 is mu (w - r).
    assert torch.allclose(model.head.bias.grad - without, 0.1 * torch.tensor([-1.0, 2.0, -0.5]), atol=1e-6)
