"""Models that become one: what is averaged, what is aligned, and what follows from sums."""

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fedprime.backbones.backbone import Backbone
from fedprime.methods import METHODS
from fedprime.methods.aggregation.joined_models import JoinedModels, Joining, join_prompts
from fedprime.methods.method import Method
from fedprime.models.class_sums import sum_blocks
from fedprime.models.model_folder import ModelError
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.readout import Blocks
from fedprime.models.statistics import Statistics
from fedprime.reproducibility.seeding import torch_stream

LABELS = ("a", "b", "c")
POOLED = METHODS["fedprime"](pool_size=4, num_prompts=4)
CLOSED_FORM = METHODS["closed-form"]()


def model_of(backbone: Backbone, method: Method, seed: int, labels: Sequence[str] = LABELS) -> PromptedModel:
    model = method.build(backbone, labels, "one_class", torch_stream(seed, "model"))
    moved = {
        name: value + 0.1 * torch.rand(value.shape, generator=torch_stream(seed, name))
        for name, value in model.weights().items()
    }
    model.load_weights(moved)
    return model


def labels_alone(num_samples: int, num_labels: int = 3) -> Statistics:
    counts = torch.zeros(num_labels, dtype=torch.float64)
    counts[0] = num_samples
    return Statistics.of_labels(counts, num_samples)


def joined(models: Mapping[str, tuple[PromptedModel, Statistics | None]], **options: str) -> JoinedModels:
    names = dict.fromkeys(name for model, _ in models.values() for name in model.label_names)
    silent = any(statistics is None for _, statistics in models.values())
    found = JoinedModels(tuple(names), options.get("prompts", "average"), counts_alike=silent)
    for folder, (model, statistics) in models.items():
        found.add(Path(folder), model, statistics)
    return found


@pytest.mark.parametrize("method", [POOLED, METHODS["pfpt"](num_prompts=2), METHODS["fedavg-p"](head="paper")])
def test_values_are_averaged_each_model_by_its_samples(tiny: Backbone, method: Method):
    ours, theirs = model_of(tiny, method, 0), model_of(tiny, method, 1)
    merged, statistics = joined({"n": (ours, labels_alone(10)), "s": (theirs, labels_alone(30))}).finished(0)
    assert statistics is not None
    assert statistics.sums.labels.tolist() == [40, 0, 0]
    for name, value in merged.weights().items():
        expected = 0.25 * ours.weights()[name] + 0.75 * theirs.weights()[name]
        assert torch.allclose(value, expected, atol=1e-6), name


def test_models_count_alike_where_some_do_not_tell_their_samples(tiny: Backbone):
    ours, theirs = model_of(tiny, POOLED, 0), model_of(tiny, POOLED, 1)
    merged, statistics = joined({"n": (ours, labels_alone(10)), "s": (theirs, None)}).finished(0)
    assert statistics is None
    expected = (ours.weights()["head.weight"] + theirs.weights()["head.weight"]) / 2
    assert torch.allclose(merged.weights()["head.weight"], expected, atol=1e-6)


def test_heads_that_read_blocks_say_the_mean_of_what_they_said(tiny: Backbone):
    ours, theirs = model_of(tiny, CLOSED_FORM, 0), model_of(tiny, CLOSED_FORM, 1)
    merged, _ = joined({"n": (ours, None), "s": (theirs, None)}).finished(0)
    rng = torch_stream(0, "blocks")
    values = {name: torch.randn(5, width, generator=rng) for name, width in merged.head.widths.items()}
    blocks = Blocks(values, dict.fromkeys(values, torch.tensor([True, False, True, True, False])))
    expected = (ours.head(blocks) + theirs.head(blocks)) / 2
    assert torch.allclose(merged.head(blocks), expected, atol=1e-4)


def test_shared_label_frequencies_are_the_mean_of_frequencies(tiny: Backbone):
    ours, theirs = model_of(tiny, CLOSED_FORM, 0), model_of(tiny, CLOSED_FORM, 1)
    for model, frequencies in ((ours, [0.5, 0.3, 0.2]), (theirs, [0.1, 0.1, 0.8])):
        model.load_weights(model.weights() | {"head.log_prior": torch.tensor(frequencies).log()})
    merged, _ = joined({"n": (ours, None), "s": (theirs, None)}).finished(0)
    assert merged.log_prior is not None
    assert merged.log_prior.exp().tolist() == pytest.approx([0.3, 0.2, 0.5])


def test_a_label_is_averaged_over_the_models_that_know_it(tiny: Backbone):
    ours, theirs = model_of(tiny, POOLED, 0), model_of(tiny, POOLED, 1, ("c", "d"))
    statistics = {"n": (ours, labels_alone(10)), "s": (theirs, labels_alone(30, 2))}
    merged, told = joined(statistics).finished(0)
    assert merged.label_names == ("a", "b", "c", "d")
    head, (first, second) = merged.weights()["head.bias"], (ours.weights(), theirs.weights())
    assert torch.allclose(head[:2], first["head.bias"][:2])
    assert torch.allclose(head[2], 0.25 * first["head.bias"][2] + 0.75 * second["head.bias"][0])
    assert torch.allclose(head[3], second["head.bias"][1])
    assert told is not None
    assert told.sums.labels.tolist() == [10, 0, 30, 0]


def test_a_block_whose_sums_all_tell_is_in_closed_form_and_the_others_are_averaged(tiny: Backbone):
    models = {name: model_of(tiny, CLOSED_FORM, seed) for seed, name in enumerate("ns")}
    told: dict[str, tuple[PromptedModel, Statistics]] = {}
    for seed, (name, model) in enumerate(models.items()):
        rows = torch.randn(20, model.head.widths["text"], generator=torch_stream(seed, "text"))
        blocks = Blocks({"text": rows}, {"text": torch.ones(20, dtype=torch.bool)})
        sums = sum_blocks(blocks, torch.arange(20) % 3, 3, "one_class")
        told[name] = (model, Statistics.of_start(sums, []))
    found = joined(told)
    merged, statistics = found.finished(0)
    assert statistics is not None
    weights, head = merged.weights(), statistics.head("one_class")
    assert torch.equal(weights["head.weight.text"], head["head.weight.text"])
    mean = sum(model.weights()["head.moments.image"] for model in models.values()) / 2
    assert torch.allclose(weights["head.moments.image"], mean, atol=1e-6)
    assert any("sums of image, image patches, summary" in note for note in found.notes)


@pytest.mark.parametrize("method", [POOLED, METHODS["pfpt"](num_prompts=4), METHODS["fedavg-p"](num_prompts=4)])
def test_aligned_prompts_find_each_other_at_whatever_position(tiny: Backbone, method: Method):
    ours = model_of(tiny, method, 0)
    names = [
        name for name in ours.weights() if name.startswith(("prompter.pools", "prompter.prompts", "prompter.sets"))
    ]
    turned: dict[str, Tensor] = {}
    for name in names:
        value = torch.randn(ours.weights()[name].shape, generator=torch_stream(0, name))
        ours.load_weights(ours.weights() | {name: value})
        turned[name] = value.flip(-2)
    theirs = model_of(tiny, method, 1)
    theirs.load_weights(theirs.weights() | turned)
    merged, _ = joined({"n": (ours, None), "s": (theirs, None)}, prompts="align").finished(0)
    for name in names:
        expected, found = ours.weights()[name], merged.weights()[name]
        assert torch.allclose(found.sort(dim=-2).values, expected.sort(dim=-2).values, atol=1e-5), name


def test_pools_of_other_sizes_are_aligned_and_not_averaged(tiny: Backbone):
    larger = METHODS["fedprime"](pool_size=6, num_prompts=4)
    models = {"n": (model_of(tiny, POOLED, 0), None), "s": (model_of(tiny, larger, 1), None)}
    with pytest.raises(ModelError, match=r"s has 6 prompts .* n has 4"):
        joined(models)
    merged, _ = joined(models, prompts="align").finished(0)
    assert 6 <= len(merged.weights()["prompter.pools.inter"]) <= 12


@pytest.mark.parametrize(("prompts", "kept"), [("average", 0), ("align", 2 * 4 * 64 * 10)])
def test_of_models_that_were_added_nothing_stays_but_sums_and_prompts_to_be_aligned(
    tiny: Backbone, prompts: Joining, kept: int
):
    models = JoinedModels(LABELS, prompts, counts_alike=True)
    models.add(Path("first"), model_of(tiny, POOLED, 0), None)
    gc.collect()
    before = {id(found) for found in gc.get_objects() if isinstance(found, Tensor)}
    for seed in range(1, 11):
        models.add(Path(str(seed)), model_of(tiny, POOLED, seed), None)
    gc.collect()
    after = [found for found in gc.get_objects() if isinstance(found, Tensor) and id(found) not in before]
    sums = sum(value.numel() for value in models._totals.values())
    assert sum(found.numel() for found in after) <= kept + sums + len(LABELS)


def test_values_that_are_not_finite_are_refused(tiny: Backbone):
    model = model_of(tiny, POOLED, 0)
    model.load_weights(model.weights() | {"head.bias": torch.tensor([0.0, float("nan"), 0.0])})
    with pytest.raises(ModelError, match=r"site/model.safetensors holds values that are not finite"):
        joined({"site": (model, None)})


def test_prompts_enter_where_they_entered_in_the_models_that_are_joined(tiny: Backbone):
    later = METHODS["pfpt"](num_prompts=2, prompt_layer=1)
    merged, _ = joined({"n": (model_of(tiny, later, 0), None), "s": (model_of(tiny, later, 1), None)}).finished(0)
    assert merged.prompt_layer == 1


def drawn(num_prompts: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(num_prompts, 8, generator=torch_stream(seed, "prompts"))


def nearest(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float(torch.cdist(ours, theirs).min(dim=1).values.max())


def test_prompts_of_two_sets_find_each_other_at_whatever_position():
    prompts = drawn(6)
    moved = prompts[torch.tensor([3, 0, 5, 1, 4, 2])] + 0.01
    joined = join_prompts([prompts, moved], [1, 3], torch_stream(0, "networks"))
    assert joined.shape == prompts.shape
    assert nearest(prompts + 0.0075, joined) < 1e-5  # a quarter and three


def test_a_set_grows_only_where_it_may():
    pools = [drawn(5, seed) for seed in range(3)]
    assert len(join_prompts(pools, [1, 1, 1], torch_stream(0, "networks"), grows=False)) == 5
    assert 5 < len(join_prompts(pools, [1, 1, 1], torch_stream(0, "networks"))) <= 10


def test_the_order_of_models_does_not_matter():
    pools, counts = [drawn(4), drawn(4, 1) * 0.1 + drawn(4), drawn(4, 2)], [1.0, 2.0, 5.0]
    ours = join_prompts(pools, counts, torch_stream(0, "networks"))
    theirs = join_prompts(pools[::-1], counts[::-1], torch_stream(0, "networks"))
    assert nearest(ours, theirs) == pytest.approx(0, abs=1e-5)
