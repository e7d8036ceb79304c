"""Head only: no prompts, pooler and head averaged."""

import pytest
import torch

from fedprime.backbones.backbone import Backbone
from fedprime.experiment.build import Experiment
from fedprime.methods.head_only import HeadOnly
from fedprime.methods.method import ServerState, Update
from fedprime.models.prompted_model import PromptedModel
from fedprime.reproducibility.seeding import torch_stream


@pytest.fixture
def model(tiny: Backbone) -> PromptedModel:
    return HeadOnly().build(tiny, ("bread", "soup", "cake"), rng=torch_stream(0, "initial weights"))


def test_pooler_and_head_are_all_that_is_trained(model: PromptedModel):
    assert model.weights().keys() == {"pooler.weight", "pooler.bias", "head.weight", "head.bias"}


def test_scores_are_the_head_over_the_pooled_feature_of_the_bare_backbone(
    model: PromptedModel, tiny: Backbone, small_experiment: Experiment
):
    batch = next(small_experiment.shards[0].batches(4))
    feature = tiny.encode(tiny.assemble(batch.embedded))
    weights = model.weights()
    pooled = torch.tanh(feature @ weights["pooler.weight"].T + weights["pooler.bias"])
    expected = pooled @ weights["head.weight"].T + weights["head.bias"]
    torch.testing.assert_close(model(batch).logits.detach(), expected)


def test_the_number_of_prompts_means_nothing(model: PromptedModel, tiny: Backbone, small_experiment: Experiment):
    batch = next(small_experiment.shards[0].batches(4))
    other = HeadOnly(num_prompts=99).build(tiny, ("bread", "soup", "cake"), rng=torch_stream(0, "initial weights"))
    assert torch.equal(other(batch).logits, model(batch).logits)


def test_the_head_is_averaged_by_samples(model: PromptedModel):
    weights = model.weights()
    updates = [Update(0, 30, weights), Update(1, 10, {name: value + 4 for name, value in weights.items()})]
    shared = HeadOnly().aggregate(ServerState(weights), updates, torch_stream(0, "server")).shared
    for name, value in weights.items():
        torch.testing.assert_close(shared[name], value + 1)
