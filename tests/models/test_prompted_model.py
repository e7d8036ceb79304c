"""The model that is trained: what it computes, what it learns, what it keeps apart, and how it is saved."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone, BackboneError
from fedprime.backbones.layers import states_before
from fedprime.data.batches import Batch, EmbeddedSamples
from fedprime.data.embeddings.hidden_states import HiddenStates
from fedprime.data.micro_batches import divide_by_length
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.data.sources import DataError
from fedprime.models.model_folder import ModelError
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.models.prompts import AllPrompts, NoPrompts, PatternPrompts, Prompter, PromptPools
from fedprime.models.saved_model import HeadKind
from fedprime.reproducibility.seeding import torch_stream
from fedprime.reproduction.reading import ReferenceBackbone
from three_modalities import LABELS, PROMPTED, THREE, Averaging, model_of, seven_patterns_twice

examples = settings(max_examples=20, deadline=None, derandomize=True)


class Poisoned:
    """The built-in world with garbage for what is missing."""

    def __init__(self, world: BuiltinWorld, present: np.ndarray) -> None:
        self.world, self.present = world, present
        self.modalities, self.task, self.label_names = world.modalities, world.task, world.label_names
        self.there, self.splits = world.there, world.splits
        self.labels, self.sites = world.labels, world.sites

    def __len__(self) -> int:
        return len(self.world)

    def read(self, index: int, modalities: Sequence[str]) -> dict[str, object]:
        garbage = {
            "image": np.full((64, 64, 3), np.nan),
            "text": "\x00 garbage \ud800",
            "readings": np.full(6, np.nan, dtype=np.float32),
        }
        there = dict(zip(THREE, self.present[index], strict=True))
        true = self.world.read(index, [modality for modality in modalities if there[modality]])
        return {modality: true.get(modality, garbage[modality]) for modality in modalities}


@pytest.fixture(params=PROMPTED)
def prompted(request: pytest.FixtureRequest, three: Backbone) -> PromptedModel:
    """A model of three modalities with each kind of prompts."""
    return model_of(three, request.param)


def rows_of(batch: Batch, rows: Sequence[int]) -> Batch:
    embedded = {modality: [parts[row] for row in rows] for modality, parts in batch.embedded.items()}
    return Batch(embedded, batch.present[list(rows)], batch.labels[list(rows)])


def set_values(model: PromptedModel, **values: object) -> None:
    """Sets parameters of the model; an underscore in a name stands for a dot."""
    weights = {name.replace("_", "."): torch.tensor(value) for name, value in values.items()}
    model.load_weights(model.weights() | weights)


# What it computes


def test_scores_are_those_worked_out_by_hand() -> None:
    model = PromptedModel(Averaging(), AllPrompts(2, 1), ("a", "b", "c"))
    set_values(
        model,
        prompter_prompts=[[2.0, 4.0]],
        pooler_weight=[[1.0, 0.0], [1.0, 1.0]],
        pooler_bias=[0.0, -1.0],
        head_weight=[[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]],
        head_bias=[0.0, 0.5, 0.0],
    )
    # Tokens: the prompt (2, 4), the summary (0, 0), image (1, 0), text (1, 0); their mean is (1, 1).
    text = torch.tensor([[1.0, 0.0]])
    batch = Batch({"image": [text], "text": [text]}, torch.tensor([[True, True]]), torch.tensor([0]))
    pooled = [math.tanh(1), math.tanh(1 + 1 - 1)]
    expected = [pooled[0], 2 * pooled[1] + 0.5, pooled[0] + pooled[1]]
    assert model(batch).logits.tolist() == [pytest.approx(expected)]


def test_what_is_missing_is_left_out_of_what_is_worked_out_by_hand() -> None:
    model = PromptedModel(Averaging(), NoPrompts(2), ("a", "b"))
    set_values(model, pooler_weight=[[1.0, 0.0], [0.0, 1.0]], head_weight=[[1.0, 0.0], [0.0, 1.0]])
    image = torch.tensor([[4.0, 2.0]])
    batch = Batch(
        {"image": [image, image], "text": [None, torch.tensor([[2.0, 1.0]])]},
        torch.tensor([[True, False], [True, True]]),
        torch.tensor([0, 1]),
    )
    # Means with the summary token (0, 0): (2, 1) of two tokens and (2, 1) of three.
    assert torch.allclose(model(batch).logits, torch.tensor([[2.0, 1.0], [2.0, 1.0]]).tanh())


def test_one_class_is_judged_by_cross_entropy() -> None:
    model = PromptedModel(Averaging(), NoPrompts(2), ("a", "b", "c"))
    logits, labels = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]]), torch.tensor([1, 2])
    losses = [-math.log(math.exp(2) / (math.exp(1) + math.exp(2) + 1)), math.log(3)]
    assert model.task_loss(logits, labels).item() == pytest.approx(sum(losses) / 2)
    assert model.probabilities(logits)[1].tolist() == pytest.approx([1 / 3] * 3)


def test_several_labels_are_judged_by_binary_cross_entropy() -> None:
    model = PromptedModel(Averaging(), NoPrompts(2), ("a", "b"), "several_labels")
    logits, labels = torch.tensor([[0.0, 2.0], [-1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    sigmoid = [1 / (1 + math.exp(-score)) for score in (0, 2, -1, 0)]
    # The loss of a sample is the mean over its labels.
    losses = [
        (-math.log(sigmoid[0]) - math.log(1 - sigmoid[1])) / 2,
        (-math.log(1 - sigmoid[2]) - math.log(sigmoid[3])) / 2,
    ]
    assert model.task_loss(logits, labels).item() == pytest.approx(sum(losses) / 2)
    assert model.probabilities(logits).flatten().tolist() == pytest.approx(sigmoid)


def test_the_squared_distance_is_summed_over_all_that_is_trained() -> None:
    model = PromptedModel(Averaging(), AllPrompts(2, 1), ("a", "b"))
    other = {name: torch.zeros_like(value) for name, value in model.weights().items()}
    set_values(model, prompter_prompts=[[3.0, 0.0]], head_bias=[1.0, -2.0])
    distance = model.squared_distance(other)
    assert distance.item() == 9 + 1 + 4
    distance.backward()
    assert model.head.bias.grad is not None
    assert model.head.bias.grad.tolist() == [2, -4]


@examples
@given(st.sampled_from(list(PROMPTED)), st.lists(st.integers(0, 13), min_size=1, max_size=8))
def test_a_prediction_does_not_depend_on_who_shares_the_batch(
    three: Backbone, batch: Batch, kind: str, rows: list[int]
) -> None:
    model = model_of(three, kind)
    with torch.no_grad():
        together = model(rows_of(batch, rows)).logits
        alone = torch.cat([model(rows_of(batch, [row])).logits for row in rows])
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_prediction_is_the_same_in_training_and_in_evaluation(prompted: PromptedModel, batch: Batch) -> None:
    with torch.no_grad():
        assert torch.equal(prompted.train()(batch).logits, prompted.eval()(batch).logits)


def test_content_of_what_is_missing_changes_nothing(
    prompted: PromptedModel, three: Backbone, world: BuiltinWorld, batch: Batch
) -> None:
    present = seven_patterns_twice()
    poisoned = EmbeddedSamples(Poisoned(world, present), THREE, three.embed).batch(np.arange(14), present)
    with torch.no_grad():
        assert torch.equal(prompted(poisoned).logits, prompted(batch).logits)


def test_the_poison_would_be_noticed(three: Backbone, world: BuiltinWorld) -> None:
    poisoned = EmbeddedSamples(Poisoned(world, np.zeros((14, 3), dtype=bool)), THREE, three.embed)
    for column in (0, 2):
        with pytest.raises(DataError, match="nothing of sample 0"):
            poisoned.batch(np.arange(14), np.arange(3)[None].repeat(14, axis=0) == column)


@pytest.mark.parametrize("modalities", [("text",), ("image", "text"), ("readings", "image"), THREE])
@pytest.mark.parametrize("kind", PROMPTED)
def test_there_may_be_any_number_of_modalities(modalities: tuple[str, ...], kind: str, world: BuiltinWorld) -> None:
    backbone = load_backbone(modalities=modalities)
    present = np.ones((4, len(modalities)), dtype=bool)
    present[0, 1:] = False
    batch = EmbeddedSamples(world, modalities, backbone.embed).batch(np.arange(4), present)
    model = model_of(backbone, kind)
    model.task_loss(model(batch).logits, batch.labels).backward()
    assert model(batch).logits.isfinite().all()
    assert model.head.weight.grad is not None


# What it learns


def test_gradients_reach_all_that_is_trained_and_nothing_else(prompted: PromptedModel, batch: Batch) -> None:
    frozen = load_backbone(modalities=THREE)
    output = prompted(batch)
    (prompted.task_loss(output.logits, batch.labels) + output.chosen.distance.mean()).backward()
    for name, parameter in prompted.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert isinstance(prompted.backbone.model, nn.Module)
    assert all(parameter.grad is None for parameter in prompted.backbone.model.parameters())
    assert all(part is None or part.grad_fn is None for parts in batch.embedded.values() for part in parts)
    for name, value in prompted.backbone.model.state_dict().items():
        assert torch.equal(value, frozen.model.state_dict()[name])


def test_training_lowers_the_loss_and_leaves_the_backbone_alone(prompted: PromptedModel, batch: Batch) -> None:
    before = {name: value.clone() for name, value in prompted.backbone.model.state_dict().items()}
    optimizer = torch.optim.SGD(prompted.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        loss = prompted.task_loss(prompted(batch).logits, batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]
    assert all(torch.equal(value, before[name]) for name, value in prompted.backbone.model.state_dict().items())


def test_the_backbone_is_no_part_of_what_is_trained_or_sent(pooled: PromptedModel) -> None:
    expected = {"head.weight", "head.bias", "pooler.weight", "pooler.bias", "prompter.query", "prompter.key"}
    expected |= {"prompter.pools.inter", "prompter.pools.intra"}
    assert (
        {name for name, _ in pooled.named_parameters()} == set(pooled.state_dict()) == set(pooled.weights()) == expected
    )


def test_initial_weights_come_from_the_generator_and_from_nowhere_else(three: Backbone) -> None:
    before = torch.get_rng_state()
    one, other, third = (model_of(three, "pools", seed=seed).weights() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one["head.weight"], third["head.weight"])
    assert torch.equal(torch.get_rng_state(), before)


# Weights in and out


def test_weights_go_out_and_come_in_unchanged(prompted: PromptedModel, three: Backbone, batch: Batch) -> None:
    kind = next(kind for kind in PROMPTED if type(PROMPTED[kind](three, torch.Generator())) is type(prompted.prompter))
    other = model_of(three, kind, seed=1)
    other.load_weights(prompted.weights())
    assert all(torch.equal(value, prompted.weights()[name]) for name, value in other.weights().items())
    with torch.no_grad():
        assert torch.equal(other(batch).logits, prompted(batch).logits)


def test_weights_that_went_out_do_not_change_with_the_model(pooled: PromptedModel) -> None:
    sent = pooled.weights()
    before = {name: value.clone() for name, value in sent.items()}
    with torch.no_grad():
        for parameter in pooled.parameters():
            parameter += 1
    assert all(torch.equal(value, before[name]) for name, value in sent.items())


def test_weights_that_came_in_do_not_change_with_the_model(pooled: PromptedModel, three: Backbone) -> None:
    received = model_of(three, "pools", seed=1).weights()
    before = {name: value.clone() for name, value in received.items()}
    pooled.load_weights(received)
    with torch.no_grad():
        for parameter in pooled.parameters():
            parameter += 1
    assert all(torch.equal(value, before[name]) for name, value in received.items())


@examples
@given(st.integers(1, 12), st.integers(1, 12))
def test_a_pool_of_any_size_can_be_loaded(three: Backbone, batch: Batch, num_inter: int, num_intra: int) -> None:
    model = model_of(three, "pools")
    pools = {"inter": torch.randn(num_inter, 64), "intra": torch.randn(num_intra, 64)}
    model.load_weights(model.weights() | {f"prompter.pools.{name}": pool for name, pool in pools.items()})
    output = model(batch)
    assert output.chosen.prompts.shape == (14, min(2, num_inter) + min(2, num_intra), 64)
    output.logits.sum().backward()
    gradient = model.get_parameter("prompter.pools.inter").grad
    assert gradient is not None
    assert gradient.shape == (num_inter, 64)


def test_a_set_of_prompts_that_all_samples_get_may_have_any_size(three: Backbone, batch: Batch) -> None:
    model = model_of(three, "all")
    model.load_weights(model.weights() | {"prompter.prompts": torch.randn(9, 64)})
    assert model(batch).chosen.prompts.shape == (14, 9, 64)


def test_loading_forgets_the_gradients_of_before(pooled: PromptedModel, batch: Batch) -> None:
    pooled(batch).logits.sum().backward()
    pooled.load_weights(pooled.weights())
    assert all(parameter.grad is None for parameter in pooled.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head.bias": None}, "head.bias is missing"),
        ({"tail.bias": torch.zeros(3)}, "tail.bias is unknown"),
        ({"head.bias": torch.zeros(4)}, r"head.bias has shape \(4,\), expected \(3,\)"),
        ({"prompter.query": torch.zeros(9, 64)}, r"prompter.query has shape \(9, 64\), expected \(64, 64\)"),
        ({"prompter.pools.inter": torch.zeros(9, 32)}, r"has shape \(9, 32\), expected \('any', 64\)"),
        ({"prompter.pools.inter": torch.zeros(0, 64)}, r"has shape \(0, 64\), expected \('any', 64\)"),
        ({"prompter.pools.inter": torch.zeros(())}, r"has shape \(\), expected \('any', 64\)"),
        ({"head.bias": None, "head.weight": torch.zeros(3)}, "head.bias is missing; head.weight has shape"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_change_nothing(
    pooled: PromptedModel, changes: dict[str, Tensor | None], message: str
) -> None:
    before = pooled.weights()
    weights: Weights = {name: value + 1 for name, value in before.items()}
    for name, value in changes.items():
        if value is None:
            del weights[name]
        else:
            weights[name] = value
    with pytest.raises(ModelError, match=message):
        pooled.load_weights(weights)
    assert all(torch.equal(value, before[name]) for name, value in pooled.weights().items())


@pytest.mark.parametrize(
    ("head", "num_values"),
    [
        ("linear", lambda dim: 3 * dim + 3),
        ("pooled", lambda dim: dim * dim + dim + 3 * dim + 3),
        ("paper", lambda dim: dim * dim + dim + 2 * dim * dim + 2 * dim + 4 * dim + 6 * dim + 3),
    ],
)
def test_every_head_has_the_values_of_its_layers_learns_and_comes_back_from_disk(
    three: Backbone, batch: Batch, tmp_path: Path, head: HeadKind, num_values: Callable[[int], int]
) -> None:
    model = PromptedModel(three, NoPrompts(three.dim), ("a", "b", "c"), rng=torch_stream(0, "head"), head=head)
    assert sum(value.numel() for value in model.parameters()) == num_values(three.feature_dim)
    logits = model(batch).logits
    logits.square().sum().backward()
    assert all(value.grad is not None and value.grad.any() for value in model.parameters())
    model.save_pretrained(tmp_path / "model")
    assert torch.equal(PromptedModel.from_pretrained(tmp_path / "model", three)(batch).logits, logits)


# Prompts before a later layer, and at several


def layered(backbone: Backbone, kind: str, prompt_layer: int, depth: int) -> PromptedModel:
    rng = torch_stream(0, "layered")
    prompters: dict[str, Callable[[], Prompter]] = {
        "pools": lambda: PromptPools(backbone.dim, {"inter": 6, "intra": 4}, 2, rng, depth=depth),
        "patterns": lambda: PatternPrompts(backbone.dim, len(backbone.modalities), 3, rng, depth),
        "all": lambda: AllPrompts(backbone.dim, 3, rng, depth),
    }
    return PromptedModel(backbone, prompters[kind](), LABELS, "one_class", rng, prompt_layer=prompt_layer)


@pytest.mark.parametrize("kind", ["pools", "patterns", "all"])
@pytest.mark.parametrize(("prompt_layer", "depth"), [(1, 1), (0, 3), (2, 1), (1, 2)])
def test_states_that_somebody_keeps_change_no_bit(
    kind: str, prompt_layer: int, depth: int, three: Backbone, world: BuiltinWorld
) -> None:
    kept = EmbeddedSamples(world, THREE, three.embed, states=HiddenStates(partial(states_before, three)))
    model = layered(three, kind, prompt_layer, depth)
    for rows in (np.arange(14), np.arange(7, 12)):  # the second time, from what is kept
        part = kept.batch(rows, seven_patterns_twice()[rows])
        plain = EmbeddedSamples(world, THREE, three.embed).batch(rows, seven_patterns_twice()[rows])
        assert torch.equal(model(part).logits, model(plain).logits)
        for piece in divide_by_length(part, three.dim, most_values=3000):
            assert model(piece).logits.isfinite().all()


def test_before_a_layer_without_prompts_a_model_computes_as_the_whole_backbone(three: Backbone, batch: Batch) -> None:
    rng = torch_stream(0, "none")
    whole = PromptedModel(three, NoPrompts(three.dim), LABELS, "one_class", rng)
    for layer in (1, 2):
        model = PromptedModel(three, NoPrompts(three.dim), LABELS, prompt_layer=layer)
        model.load_weights(whole.weights())
        assert torch.allclose(model(batch).logits, whole(batch).logits, atol=1e-6)


def test_the_layer_of_prompts_matters_and_so_do_prompts_of_later_layers(three: Backbone, batch: Batch) -> None:
    logits = [layered(three, "all", *place)(batch).logits for place in ((0, 1), (1, 1), (2, 1), (0, 3))]
    assert all(not torch.allclose(one, other) for one, other in itertools.combinations(logits, 2))


def test_queries_are_the_mean_states_before_the_layer_and_keys_the_vectors_of_it(three: Backbone, batch: Batch) -> None:
    model = layered(three, "pools", 1, 2)
    states = states_before(three, batch.embedded, 1)
    for sample in range(14):
        query = states[sample].double().numpy().mean(axis=0)
        for name, chosen in model(batch).chosen.indices.items():
            keys = model.weights()[f"prompter.pools.{name}"].double().numpy()[:, : three.dim]
            cosines = keys @ query / np.linalg.norm(keys, axis=1)
            assert chosen[sample].tolist() == np.argsort(-cosines)[:2].tolist()


@pytest.mark.parametrize("kind", ["pools", "patterns", "all"])
def test_prompts_of_later_layers_are_trained_and_saved(
    kind: str, three: Backbone, batch: Batch, tmp_path: Path
) -> None:
    model = layered(three, kind, 1, 2)
    model.task_loss(model(batch).logits, batch.labels).backward()
    for name, value in model.named_parameters():
        if name.startswith("prompter.") and not name.endswith((".query", ".key")):
            assert value.grad is not None
            assert all(part.any() for part in value.grad.split(three.dim, dim=-1)), name
    model.save_pretrained(tmp_path / "model")
    again = PromptedModel.from_pretrained(tmp_path / "model", three)
    assert (again.prompt_layer, again.prompter.depth) == (1, 2)
    assert torch.equal(again(batch).logits, model(batch).logits)


def test_a_backbone_in_one_piece_takes_prompts_in_front_alone(three: Backbone) -> None:
    around = ReferenceBackbone(three, ["prompt_readout"])
    with pytest.raises(BackboneError, match="runs its layers in one piece"):
        PromptedModel(around, NoPrompts(three.dim), LABELS, prompt_layer=1)
