"""The contract of every method in METHODS, and the weighted mean."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprime.backbones.backbone import Backbone, Embedded, Tokens
from fedprime.backbones.blocks import block_of, blocks_by_modality
from fedprime.data.batches import Batch
from fedprime.experiment.build import Experiment
from fedprime.methods import METHODS
from fedprime.methods.method import Method, ServerState, Update, weighted_mean
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.reproducibility.seeding import torch_stream

NUM_PROMPTS = 4
LABELS = ("bread", "soup", "cake")


#: With these, a step of Adam is the change that it is made from.
LIKE_THE_MEAN = {"fedadam-p": {"server_lr": 1e6, "tau": 1e6, "beta_1": 0.0, "beta_2": 0.0}}


@pytest.fixture(params=list(METHODS))
def method(request: pytest.FixtureRequest) -> Method:
    return METHODS[request.param](num_prompts=NUM_PROMPTS, **LIKE_THE_MEAN.get(request.param, {}))


@pytest.fixture
def model(method: Method, tiny: Backbone) -> PromptedModel:
    return method.build(tiny, LABELS, rng=torch_stream(0, "initial weights"))


@pytest.fixture
def batch(small_experiment: Experiment) -> Batch:
    """Three samples of every missing pattern: image alone, text alone, both."""
    shard = small_experiment.shards[0]
    present = np.repeat(np.array([[True, False], [False, True], [True, True]]), 3, axis=0)
    return shard.samples.batch(shard.indices[:9], present)


def moved(weights: Weights, seed: int) -> Weights:
    """Weights as a client could send them: each a little off."""
    rng = torch_stream(seed, "moved")
    return {name: value + 0.01 * torch.randn(value.shape, generator=rng) for name, value in weights.items()}


def travelling(method: Method, weights: Weights) -> Weights:
    return {name: value for name, value in weights.items() if method.travels(name)}


def as_set(rows: Tensor) -> list[list[float]]:
    return sorted(rows.flatten(1).tolist())


def test_methods_are_listed_by_their_own_names():
    assert all(method.name == name for name, method in METHODS.items())


def test_a_built_model_gives_a_finite_score_for_every_class_and_missing_pattern(model: PromptedModel, batch: Batch):
    logits = model(batch).logits
    assert logits.shape == (9, 3)
    assert logits.isfinite().all()


def test_the_same_stream_builds_the_same_model(method: Method, model: PromptedModel, tiny: Backbone):
    again = method.build(tiny, LABELS, rng=torch_stream(0, "initial weights")).weights()
    assert all(torch.equal(value, again[name]) for name, value in model.weights().items())


def test_building_leaves_the_global_random_state_alone(method: Method, tiny: Backbone):
    before = torch.get_rng_state()
    method.build(tiny, LABELS, rng=torch_stream(0, "initial weights"))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_loss_is_finite(method: Method, model: PromptedModel, batch: Batch):
    loss = method.loss(model, batch, model.weights())
    assert loss.shape == ()
    assert loss.isfinite()


def test_the_loss_reaches_everything_that_is_trained(method: Method, model: PromptedModel, batch: Batch):
    method.loss(model, batch, model.weights()).backward()
    untouched = [
        name
        for name, value in model.named_parameters()
        if value.requires_grad and (value.grad is None or not value.grad.abs().max() > 0)
    ]
    assert untouched == []


def test_the_loss_leaves_the_backbone_alone(method: Method, model: PromptedModel, batch: Batch, tiny: Backbone):
    method.loss(model, batch, model.weights()).backward()
    assert all(value.grad is None and not value.requires_grad for value in tiny.model.parameters())


def test_the_loss_changes_neither_the_model_nor_what_was_received(method: Method, model: PromptedModel, batch: Batch):
    before, received = model.weights(), moved(model.weights(), seed=1)
    kept = {name: value.clone() for name, value in received.items()}
    method.loss(model, batch, received).backward()
    assert all(torch.equal(value, before[name]) for name, value in model.weights().items())
    assert all(torch.equal(value, kept[name]) for name, value in received.items())


def test_every_trained_value_either_travels_or_stays(method: Method, model: PromptedModel):
    assert all(method.travels(name) in (True, False) for name in model.weights())


def test_identical_updates_are_what_the_server_makes_of_them(method: Method, model: PromptedModel):
    current = method.initial_state(model, 5)
    sent = travelling(method, moved(current.shared, seed=1))
    updates = [
        Update(client, 10 + client, {name: value.clone() for name, value in sent.items()}) for client in range(5)
    ]
    state = method.aggregate(current, updates, torch_stream(0, "server"))
    for client in range(5):
        answer = state.answer(client)
        for name, value in sent.items():
            if name.removeprefix("prompter.") in model.prompter.resizable:
                # The order of prompts in a pool has no meaning.
                torch.testing.assert_close(torch.tensor(as_set(answer[name])), torch.tensor(as_set(value)))
            else:
                torch.testing.assert_close(answer[name], value)


def test_a_single_update_is_what_the_server_makes_of_it(method: Method, model: PromptedModel):
    current = method.initial_state(model, 1)
    sent = travelling(method, moved(current.shared, seed=1))
    state = method.aggregate(current, [Update(0, 7, sent)], torch_stream(0, "server"))
    for name, value in sent.items():
        torch.testing.assert_close(torch.tensor(as_set(state.answer(0)[name][None])), torch.tensor(as_set(value[None])))


def test_aggregation_changes_neither_the_old_state_nor_the_updates(method: Method, model: PromptedModel):
    current = method.initial_state(model, 3)
    updates = [Update(client, 10, travelling(method, moved(current.shared, seed=client))) for client in range(3)]
    current = method.aggregate(current, updates, torch_stream(0, "server"))  # the server has come to keep something
    updates = [Update(client, 10, travelling(method, moved(current.shared, seed=client))) for client in range(3)]
    holders = [current.shared, current.server, *(update.weights for update in updates)]
    before = [{name: value.clone() for name, value in values.items()} for values in holders]
    method.aggregate(current, updates, torch_stream(0, "server"))
    after = [current.shared, current.server, *(update.weights for update in updates)]
    assert all(torch.equal(old[name], new[name]) for old, new in zip(before, after, strict=True) for name in old)


def test_aggregation_is_repeatable_to_the_bit(method: Method, model: PromptedModel):
    current = method.initial_state(model, 4)
    updates = [Update(client, 10, travelling(method, moved(current.shared, seed=client))) for client in range(4)]
    first, second = (method.aggregate(current, updates, torch_stream(0, "server")) for _ in range(2))
    assert all(torch.equal(value, second.shared[name]) for name, value in first.shared.items())
    assert all(torch.equal(value, second.server[name]) for name, value in first.server.items())


def test_every_client_can_go_on_from_the_server_answer(method: Method, model: PromptedModel, batch: Batch):
    current = method.initial_state(model, 6)
    updates = [Update(client, 10, travelling(method, moved(current.shared, seed=client))) for client in range(4)]
    state = method.aggregate(current, updates, torch_stream(0, "server"))
    for client in range(6):  # also clients that did not take part
        received = {**model.weights(), **state.answer(client)}
        model.load_weights(received)
        assert method.loss(model, batch, received).isfinite()


def test_a_saved_model_predicts_as_before(model: PromptedModel, batch: Batch, tiny: Backbone, tmp_path: Path):
    model.save_pretrained(tmp_path / "model")
    loaded = PromptedModel.from_pretrained(tmp_path / "model", tiny)
    assert torch.equal(loaded(batch).logits, model(batch).logits)


def test_a_model_whose_pools_have_grown_is_saved_and_loaded(
    model: PromptedModel, batch: Batch, tiny: Backbone, tmp_path: Path
):
    weights = model.weights()
    for name in model.prompter.resizable:
        pool = weights[f"prompter.{name}"]
        weights[f"prompter.{name}"] = torch.cat([pool, pool + 0.5])
    model.load_weights(weights)
    model.save_pretrained(tmp_path / "model")
    loaded = PromptedModel.from_pretrained(tmp_path / "model", tiny)
    assert torch.equal(loaded(batch).logits, model(batch).logits)


@dataclass
class CountingBackbone:
    """The tiny backbone, which remembers how many tokens entered its transformer and how many it had made itself."""

    inside: Backbone
    entered: int = 0
    own: int = 0

    def __post_init__(self) -> None:
        self.modalities = self.inside.modalities
        self.kinds, self.versions = self.inside.kinds, self.inside.versions
        self.dim = self.inside.dim
        self.feature_dim = self.inside.feature_dim
        self.reference = self.inside.reference
        self.options = self.inside.options
        self.fingerprint, self.device = self.inside.fingerprint, self.inside.device
        self.blocks = blocks_by_modality(self.inside)

    def embed(self, modality: str, values: Sequence[object]) -> list[Tensor]:
        return self.inside.embed(modality, values)

    def block(self, modality: str, embedded: Sequence[Tensor]) -> Tensor:
        return block_of(self.inside, modality, embedded)

    def assemble(self, embedded: Embedded) -> Tokens:
        tokens = self.inside.assemble(embedded)
        self.own = tokens.values.shape[1]
        return tokens

    def encode(self, tokens: Tokens) -> Tensor:
        self.entered = tokens.values.shape[1]
        return self.inside.encode(tokens)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("num_prompts", [2, 4, 10])
def test_as_many_prompt_tokens_enter_the_transformer_with_every_prompt_method(
    name: str, num_prompts: int, tiny: Backbone, batch: Batch
):
    counting = CountingBackbone(tiny)
    METHODS[name](num_prompts=num_prompts).build(counting, LABELS, rng=torch_stream(0, "initial weights"))(batch)
    assert counting.entered - counting.own == (0 if name in ("head-only", "closed-form") else num_prompts)


def test_the_weighted_mean_counts_samples():
    ours = Update(0, 1, {"head": torch.tensor([0.0, 8.0]), "pooler": torch.tensor([[1.0]])})
    theirs = Update(1, 3, {"head": torch.tensor([4.0, 0.0]), "pooler": torch.tensor([[5.0]])})
    mean = weighted_mean([ours, theirs])
    assert mean["head"].tolist() == [3.0, 2.0]  # (1 * 0 + 3 * 4) / 4, (1 * 8 + 3 * 0) / 4
    assert mean["pooler"].tolist() == [[4.0]]


def test_the_weighted_mean_leaves_out_what_it_is_told_to():
    update = Update(0, 1, {"head": torch.ones(1), "pool": torch.ones(1)})
    assert weighted_mean([update], without={"pool"}).keys() == {"head"}


def test_the_weighted_mean_of_pools_that_differ_in_size_is_not_asked_for_when_left_out():
    small, large = Update(0, 1, {"pool": torch.ones(1, 2)}), Update(1, 1, {"pool": torch.ones(3, 2)})
    assert weighted_mean([small, large], without={"pool"}) == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_the_weighted_mean_keeps_the_data_type(dtype: torch.dtype):
    update = Update(0, 3, {"head": torch.ones(2, dtype=dtype)})
    assert weighted_mean([update, replace(update, client=1)])["head"].dtype == dtype


def test_the_weighted_mean_is_summed_in_double_precision():
    # In single precision 1e8 + 1 is 1e8, and the mean would be 0.
    values = (1e8, 1.0, -1e8, 1.0)
    updates = [Update(client, 1, {"head": torch.tensor([value])}) for client, value in enumerate(values)]
    assert weighted_mean(updates)["head"].tolist() == [0.5]


def test_an_answer_puts_the_personal_values_over_the_shared_ones():
    state = ServerState({"head": torch.zeros(1), "pool": torch.zeros(1)}, {3: {"head": torch.ones(1)}})
    assert {name: value.item() for name, value in state.answer(3).items()} == {"head": 1.0, "pool": 0.0}
    assert {name: value.item() for name, value in state.answer(4).items()} == {"head": 0.0, "pool": 0.0}


def test_a_method_is_a_value_that_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        METHODS["fedprime"]().num_prompts = 3
