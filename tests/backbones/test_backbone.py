"""The contract that every backbone keeps, and the tokens that prompts are prepended to.

To hold another backbone to the contract, add a line to `BACKBONES`, and to `example_values.EXAMPLES` if it reads
another modality.
"""

import functools
import itertools
import json
import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from example_values import EXAMPLES
from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone, BackboneError, Tokens, assemble, check_modalities
from fedprime.backbones.composite import CompositeBackbone
from fedprime.backbones.layers import LayeredBackbone, states_before, tokens_before
from fedprime.data.batches import EmbeddedSamples
from fedprime.data.sources import Task
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import PromptPools
from fedprime.reproducibility.seeding import torch_stream

#: By name, how it is loaded, given folders with random checkpoints in the layout of the hub.
BACKBONES: dict[str, Callable[[Mapping[str, Path]], Backbone]] = {
    "tiny": lambda _: load_backbone(),
    "tiny, text first": lambda _: load_backbone(modalities=("text", "image")),
    "tiny, three modalities": lambda _: load_backbone(modalities=("image", "text", "readings")),
    "tiny, readings alone": lambda _: load_backbone(modalities=("readings",)),
    "ViLT from the hub": lambda folders: load_backbone(folders["vilt"]),
    "ViLT from the hub, three modalities": lambda folders: load_backbone(
        folders["vilt"], ("readings", "text", "image")
    ),
    "ViLT with longer texts": lambda folders: load_backbone(folders["vilt"], max_text_tokens=30),
    "CLIP": lambda folders: load_backbone(folders["clip"]),
    "CLIP, text first": lambda folders: load_backbone(folders["clip"], ("text", "image")),
    "CLIP, text alone": lambda folders: load_backbone(folders["clip"], ("text",)),
    "MetaCLIP 2": lambda folders: load_backbone(folders["metaclip_2"]),
    "SigLIP": lambda folders: load_backbone(folders["siglip"]),
    "SigLIP, image alone": lambda folders: load_backbone(folders["siglip"], ("image",)),
    "SigLIP 2": lambda folders: load_backbone(folders["siglip2"]),
    "composite of pretrained encoders": lambda folders: load_backbone(folders["composite"]),
    "composite, three modalities": lambda folders: load_backbone(folders["composite"], ("audio", "image", "text")),
    "small, sounds and rows": lambda _: load_backbone("small", ("audio", "table")),
    "composite without pretrained encoders": lambda folders: load_backbone(folders["bare composite"]),
}

examples = settings(max_examples=12, deadline=None, derandomize=True)


@pytest.fixture(scope="module", params=BACKBONES)
def backbone(request: pytest.FixtureRequest, checkpoints: Mapping[str, Path]) -> Backbone:
    return BACKBONES[request.param](checkpoints)


def patterns(backbone: Backbone) -> list[tuple[bool, ...]]:
    return [pattern for pattern in itertools.product([False, True], repeat=len(backbone.modalities)) if any(pattern)]


def tokens_of(backbone: Backbone, samples: Sequence[tuple[int, tuple[bool, ...]]]) -> Tokens:
    """Assembles samples, each the number of its example values and what is present of them."""
    return backbone.assemble(embedded_of(backbone, samples))


def embedded_of(backbone: Backbone, samples: Sequence[tuple[int, tuple[bool, ...]]]) -> dict[str, list[Tensor | None]]:
    return {
        modality: [
            embedded_once(backbone, modality, number) if pattern[column] else None for number, pattern in samples
        ]
        for column, modality in enumerate(backbone.modalities)
    }


@functools.lru_cache(maxsize=32)
def embedded_once(backbone: Backbone, modality: str, number: int) -> Tensor:
    return backbone.embed(modality, [EXAMPLES[modality][number]])[0]


def every_sample(backbone: Backbone) -> list[tuple[int, tuple[bool, ...]]]:
    return list(itertools.product(range(4), patterns(backbone)))


def prompts_for(backbone: Backbone, num_samples: int, num_prompts: int = 3, name: str = "prompts") -> Tensor:
    return 0.5 * torch.randn(num_samples, num_prompts, backbone.dim, generator=torch_stream(0, name))


# The contract: what a backbone says of itself


def test_a_backbone_is_one(backbone: Backbone) -> None:
    assert isinstance(backbone, Backbone)
    assert len(set(backbone.modalities)) == len(backbone.modalities) > 0
    assert backbone.dim > 0
    assert backbone.feature_dim > 0
    assert backbone.reference
    assert backbone.fingerprint
    assert tuple(backbone.kinds) == tuple(backbone.versions) == backbone.modalities
    # The example values of each modality are of the kind that it is called.
    assert all(kind == {"readings": "numbers"}.get(name, name) for name, kind in backbone.kinds.items())


def test_loaded_again_it_is_the_same(
    backbone: Backbone, request: pytest.FixtureRequest, checkpoints: Mapping[str, Path]
) -> None:
    name = request.node.callspec.params["backbone"]
    again = BACKBONES[name](checkpoints)
    samples = every_sample(backbone)
    assert again.fingerprint == backbone.fingerprint
    assert again.reference == backbone.reference
    assert torch.equal(again.encode(tokens_of(again, samples)), backbone.encode(tokens_of(backbone, samples)))


# The contract: embed


def test_it_goes_to_another_process_and_stays_the_same(backbone: Backbone) -> None:
    """Predictors are pickled with it, by joblib too; torch refuses wav2vec2, whose weights are made of others."""
    if "audio" in backbone.modalities and backbone.reference != "small":
        pytest.skip("torch pickles no parametrised layers")
    there = pickle.loads(pickle.dumps(backbone))  # noqa: S301
    assert there.fingerprint == backbone.fingerprint
    for modality in backbone.modalities:
        here = backbone.embed(modality, EXAMPLES[modality][:1])
        assert torch.equal(there.embed(modality, EXAMPLES[modality][:1])[0], here[0])


def test_every_value_becomes_a_row_of_finite_tokens(backbone: Backbone) -> None:
    for modality in backbone.modalities:
        embedded = backbone.embed(modality, EXAMPLES[modality])
        assert len(embedded) == len(EXAMPLES[modality])
        for part in embedded:
            assert part.shape == (len(part), embedded[0].shape[1])
            assert len(part) > 0
            assert part.dtype == torch.float32
            assert part.isfinite().all()
            assert not part.requires_grad


def test_a_value_is_embedded_the_same_to_the_bit_whatever_stands_beside_it(backbone: Backbone) -> None:
    # To the bit, because what is cached must not depend on which run came first.
    for modality in backbone.modalities:
        alone = [backbone.embed(modality, [value])[0] for value in EXAMPLES[modality]]
        for order in ((0, 1, 2, 3), (3, 1, 0, 2), (0, 2, 2, 0, 1, 0, 3, 3, 0)):
            together = backbone.embed(modality, [EXAMPLES[modality][number] for number in order])
            for number, part in zip(order, together, strict=True):
                assert torch.equal(part, alone[number])


def test_more_values_than_are_embedded_at_once_keep_their_order(backbone: Backbone) -> None:
    modality = backbone.modalities[-1]
    values = EXAMPLES[modality] * 40
    embedded = backbone.embed(modality, values)
    assert len(embedded) == 160
    assert all(torch.allclose(embedded[row], embedded[row % 4], atol=1e-6) for row in range(160))


def test_different_values_have_different_tokens(backbone: Backbone) -> None:
    for modality in backbone.modalities:
        embedded = backbone.embed(modality, EXAMPLES[modality])
        for one, other in itertools.combinations(embedded, 2):
            assert one.shape != other.shape or not torch.allclose(one, other, atol=1e-3)


#: By backbone and modality, the version of what embeds it, then `seen_from_afar` of each of its example values.
PINNED = Path(__file__).with_name("pinned_embeddings.json")
#: Pillow resizes otherwise since then, by up to a tenth of such sums; embeddings on disk are told apart by its version.
PINNED_WITH_PILLOW = 13


def seen_from_afar(tokens: Tensor) -> list[float]:
    """How many tokens there are, and five weighted sums of all their numbers, which tell any change of one of them."""
    weights = torch.randn(5, tokens.numel(), generator=torch_stream(0, "seen from afar")).double()
    return [len(tokens), *(round(value, 4) for value in (weights @ tokens.double().flatten()).tolist())]


def test_embeddings_are_those_of_their_version(backbone: Backbone, request: pytest.FixtureRequest) -> None:
    found = {
        modality: [backbone.versions[modality], *map(seen_from_afar, backbone.embed(modality, EXAMPLES[modality]))]
        for modality in backbone.modalities
    }
    name = request.node.callspec.params["backbone"]
    pinned = json.loads(PINNED.read_text())
    if os.environ.get("PIN_EMBEDDINGS"):
        lines = (f"{json.dumps(own)}: {json.dumps(values)}" for own, values in sorted((pinned | {name: found}).items()))
        PINNED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        return
    is_resized_likewise = int(PIL.__version__.partition(".")[0]) >= PINNED_WITH_PILLOW
    for modality, (version, *values) in pinned[name].items():
        if modality == "image" and not is_resized_likewise:
            continue
        again = f"write them anew with PIN_EMBEDDINGS=1 in the environment of this test ({PINNED.name})"
        assert backbone.versions[modality] == version, f"pinned are the embeddings of another version: {again}"
        for value, (own, expected) in enumerate(zip(found[modality][1:], values, strict=True)):
            assert own == pytest.approx(expected, rel=1e-4, abs=1e-3), (
                f"value {value} of {modality} has other embeddings than version {version} gave it, and caches hold "
                f"those: raise the version of what embeds it by 1, then {again}"
            )


def test_no_values_give_no_tokens(backbone: Backbone) -> None:
    for modality in backbone.modalities:
        assert backbone.embed(modality, []) == []


def test_a_modality_that_it_does_not_read_is_refused(backbone: Backbone) -> None:
    with pytest.raises(BackboneError, match="cannot embed 'smell'"):
        backbone.embed("smell", ["rosemary"])


# The contract: assemble


def test_a_present_modality_has_its_tokens_and_a_missing_one_has_none(backbone: Backbone) -> None:
    samples = every_sample(backbone)
    tokens = tokens_of(backbone, samples)
    for row, (number, pattern) in enumerate(samples):
        for column, modality in enumerate(backbone.modalities):
            found = tokens.values[row, tokens.mask[row] & (tokens.modality == column)]
            if tokens.columns:
                start, stop = tokens.columns[column]
                assert found[:, :start].count_nonzero() == found[:, stop:].count_nonzero() == 0
                found = found[:, start:stop]
            if pattern[column]:
                expected = backbone.embed(modality, [EXAMPLES[modality][number]])[0]
                if isinstance(backbone, CompositeBackbone):
                    expected = backbone.joint.embed(modality, expected)
                assert torch.allclose(found, expected, atol=1e-6)
            else:
                assert len(found) == 0


def test_the_summary_token_is_always_there_and_depends_on_no_input(backbone: Backbone) -> None:
    tokens = tokens_of(backbone, every_sample(backbone))
    assert tokens.modality[tokens.summary] == -1
    assert tokens.mask[:, tokens.summary].all()
    assert (tokens.values[:, tokens.summary] == tokens.values[0, tokens.summary]).all()


def test_a_sample_without_any_modality_is_refused(backbone: Backbone) -> None:
    nothing = (False,) * len(backbone.modalities)
    with pytest.raises(BackboneError, match=r"samples \[1, 3\] of the batch have no modality"):
        tokens_of(backbone, [(number, patterns(backbone)[0] if number % 2 == 0 else nothing) for number in range(4)])


def test_a_batch_of_other_modalities_is_refused(backbone: Backbone) -> None:
    known = {modality: backbone.embed(modality, EXAMPLES[modality]) for modality in backbone.modalities}
    with pytest.raises(BackboneError, match="smell"):
        backbone.assemble({**known, "smell": known[backbone.modalities[0]]})
    with pytest.raises(BackboneError, match="the backbone reads"):
        backbone.assemble({"smell": known[backbone.modalities[0]]})


# The contract: encode


def test_a_sample_has_one_finite_feature_whatever_is_missing(backbone: Backbone) -> None:
    samples = every_sample(backbone)
    feature = backbone.encode(tokens_of(backbone, samples).prepend(prompts_for(backbone, len(samples))))
    assert feature.shape == (len(samples), backbone.feature_dim)
    assert feature.isfinite().all()


def test_the_same_tokens_give_the_same_bits_and_use_no_randomness(backbone: Backbone) -> None:
    before = torch.get_rng_state()
    tokens = tokens_of(backbone, every_sample(backbone))
    assert torch.equal(backbone.encode(tokens), backbone.encode(tokens))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture(scope="module")
def features_alone(backbone: Backbone) -> list[Tensor]:
    """The feature of every sample in a batch of its own, with prompts."""
    samples = every_sample(backbone)
    prompts = prompts_for(backbone, len(samples))
    return [
        backbone.encode(tokens_of(backbone, [sample]).prepend(prompts[[row]]))[0] for row, sample in enumerate(samples)
    ]


@examples
@given(data=st.data())
def test_a_feature_does_not_depend_on_who_shares_the_batch(
    backbone: Backbone, features_alone: list[Tensor], data: st.DataObject
) -> None:
    samples = every_sample(backbone)
    rows = data.draw(st.lists(st.integers(0, len(samples) - 1), min_size=1, max_size=8))
    prompts = prompts_for(backbone, len(samples))
    together = backbone.encode(tokens_of(backbone, [samples[row] for row in rows]).prepend(prompts[rows]))
    for feature, row in zip(together, rows, strict=True):
        assert torch.allclose(feature, features_alone[row], atol=2e-5)


def test_masked_tokens_have_no_influence(backbone: Backbone) -> None:
    samples = every_sample(backbone)
    tokens = tokens_of(backbone, samples).prepend(prompts_for(backbone, len(samples)))
    garbage = 1e3 * torch.randn(tokens.values.shape, generator=torch_stream(0, "garbage"))
    values = torch.where(tokens.mask[:, :, None], tokens.values, garbage)
    poisoned = replace(tokens, values=values)
    # There is nothing to poison where all samples have as many tokens.
    assert tokens.mask.all() or not torch.equal(poisoned.values, tokens.values)
    assert torch.allclose(backbone.encode(poisoned), backbone.encode(tokens), atol=1e-5)
    assert torch.allclose(poisoned.pooled(), tokens.pooled(), atol=1e-5)


def test_every_present_modality_has_influence(backbone: Backbone) -> None:
    for pattern in patterns(backbone):
        features = backbone.encode(tokens_of(backbone, [(number, pattern) for number in range(4)]))
        for one, other in itertools.combinations(features, 2):
            assert not torch.allclose(one, other, atol=1e-3)


def test_what_is_missing_is_told_by_the_feature(backbone: Backbone) -> None:
    features = backbone.encode(tokens_of(backbone, [(0, pattern) for pattern in patterns(backbone)]))
    for one, other in itertools.combinations(features, 2):
        assert not torch.allclose(one, other, atol=1e-3)


def test_prompts_have_influence_on_their_own_sample_alone(backbone: Backbone) -> None:
    tokens = tokens_of(backbone, every_sample(backbone)[:4])
    prompts = prompts_for(backbone, len(tokens.values))
    other = prompts.clone()
    other[0] = prompts_for(backbone, 1, name="other")[0]
    difference = (backbone.encode(tokens.prepend(prompts)) - backbone.encode(tokens.prepend(other))).abs()
    assert difference[0].max() > 1e-3
    assert difference[1:].max() < 1e-6


def test_prepending_nothing_changes_nothing(backbone: Backbone) -> None:
    tokens = tokens_of(backbone, every_sample(backbone))
    empty = tokens.values.new_zeros(len(tokens.values), 0, backbone.dim)
    assert torch.equal(backbone.encode(tokens.prepend(empty)), backbone.encode(tokens))


def test_the_gradient_of_a_feature_reaches_its_own_prompts_and_nothing_else(backbone: Backbone) -> None:
    tokens = tokens_of(backbone, every_sample(backbone))
    prompts = prompts_for(backbone, len(tokens.values)).requires_grad_()
    # Nothing of the backbone is trained: without prompts, there is nothing to derive by.
    assert not backbone.encode(tokens).requires_grad
    backbone.encode(tokens.prepend(prompts))[0].square().sum().backward()
    assert prompts.grad is not None
    reached = prompts.grad.abs().amax(dim=(1, 2)) > 0
    assert reached.tolist() == [True] + [False] * (len(reached) - 1)


def test_the_gradient_is_that_of_finite_differences(backbone: Backbone) -> None:
    tokens = tokens_of(backbone, [(0, (True,) * len(backbone.modalities))])
    prompts = prompts_for(backbone, 1).requires_grad_()
    direction = prompts_for(backbone, 1, name="direction")
    readout = torch.randn(backbone.feature_dim, generator=torch_stream(0, "readout"))

    def read(prompts: Tensor) -> Tensor:
        return (backbone.encode(tokens.prepend(prompts)) @ readout).sum()

    read(prompts).backward()
    assert prompts.grad is not None
    with torch.no_grad():
        step = 1e-2
        slope = (read(prompts + step * direction) - read(prompts - step * direction)) / (2 * step)
    assert (prompts.grad * direction).sum().item() == pytest.approx(slope.item(), rel=0.02, abs=0.01)


# The contract: a model around it


class Poisoned:
    """The example values, with garbage that no backbone can embed where a modality is missing."""

    task: Task = "one_class"
    label_names = ("zero", "one")
    labels = np.array([0, 1, 0, 1])
    sites = np.zeros(4, dtype=np.int64)
    splits: Mapping[str, np.ndarray] = {"train": np.arange(4)}

    def __init__(self, backbone: Backbone, present: np.ndarray) -> None:
        self.modalities, self.present = backbone.modalities, present
        self.there = np.ones_like(present)  # nobody warns of the garbage

    def __len__(self) -> int:
        return 4

    def read(self, index: int, modalities: Sequence[str]) -> dict[str, object]:
        there = dict(zip(self.modalities, self.present[index], strict=True))
        return {name: EXAMPLES[name][index] if there[name] else object() for name in modalities}


def test_what_is_missing_can_be_garbage_and_what_is_trained_is_all_that_is_reached(backbone: Backbone) -> None:
    present = np.array([patterns(backbone)[row % len(patterns(backbone))] for row in range(4)])
    samples = EmbeddedSamples(Poisoned(backbone, present), backbone.modalities, backbone.embed)
    pools = PromptPools(backbone.dim, {"only": 5}, 2, torch_stream(0, "pool"))
    model = PromptedModel(backbone, pools, ("zero", "one"), rng=torch_stream(0, "head"))
    output = model(samples.batch(np.arange(4), present))
    assert output.logits.shape == (4, 2)
    (model.task_loss(output.logits, torch.tensor([0, 1, 0, 1])) + output.chosen.distance.mean()).backward()
    reached = {name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()}
    trained = {"pools.only", "query", "key"}
    assert reached == {f"prompter.{name}" for name in trained} | {
        "pooler.weight",
        "pooler.bias",
        "head.weight",
        "head.bias",
    }


# Tokens


@pytest.fixture
def tokens() -> Tokens:
    """Two samples of two tokens behind a summary token; the second lacks its last."""
    return Tokens(
        values=torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]], [[1.0, 2.0], [7.0, 0.0], [50.0, 60.0]]]),
        mask=torch.tensor([[True, True, True], [True, True, False]]),
        modality=torch.tensor([-1, 0, 1]),
        summary=0,
    )


def test_tokens_are_pooled_by_the_mean_of_those_that_are_there(tokens: Tokens) -> None:
    assert tokens.pooled().tolist() == [[3, 5], [4, 1]]


def test_prompts_stand_in_front_and_belong_to_no_modality(tokens: Tokens) -> None:
    prompted = tokens.prepend(torch.tensor([[[10.0, 20.0], [30.0, 40.0]], [[11.0, 21.0], [31.0, 41.0]]]))
    assert prompted.values[0].tolist() == [[10, 20], [30, 40], [1, 2], [3, 4], [5, 9]]
    assert prompted.values[1].tolist() == [[11, 21], [31, 41], [1, 2], [7, 0], [50, 60]]
    assert prompted.mask.tolist() == [[True] * 5, [True, True, True, True, False]]
    assert prompted.modality.tolist() == [-1, -1, -1, 0, 1]
    assert prompted.summary == 2


def test_prepending_leaves_the_tokens_as_they_were(tokens: Tokens) -> None:
    before = tokens.values.clone()
    tokens.prepend(torch.zeros(2, 4, 2))
    assert torch.equal(tokens.values, before)
    assert tokens.summary == 0


def test_parts_are_joined_in_the_order_of_modalities_and_padded_to_the_longest() -> None:
    embedded = {
        "text": [torch.tensor([[1.0], [2.0]]), None, torch.tensor([[3.0]])],
        "image": [None, torch.tensor([[4.0]]), torch.tensor([[5.0]])],
    }
    joined = assemble(embedded, torch.tensor([9.0]), ("image", "text"))
    assert joined.values.squeeze(2).tolist() == [[9, 0, 1, 2], [9, 4, 0, 0], [9, 5, 3, 0]]
    assert joined.mask.tolist() == [
        [True, False, True, True],
        [True, True, False, False],
        [True, True, True, False],
    ]
    assert joined.modality.tolist() == [-1, 0, 1, 1]
    assert joined.summary == 0


def test_a_modality_that_the_whole_batch_lacks_takes_no_place() -> None:
    embedded = {"image": [None, None], "text": [torch.tensor([[1.0]]), torch.tensor([[2.0]])]}
    joined = assemble(embedded, torch.tensor([9.0]), ("image", "text"))
    assert joined.values.squeeze(2).tolist() == [[9, 1], [9, 2]]
    assert joined.modality.tolist() == [-1, 1]


def test_where_modalities_are_apart_the_mean_is_that_of_each_and_zero_for_a_missing_one() -> None:
    embedded = {
        "image": [torch.tensor([[2.0, 4.0, 0.0], [4.0, 8.0, 0.0]]), None],
        "text": [torch.tensor([[0.0, 0.0, 7.0]]), torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 5.0]])],
    }
    joined = assemble(embedded, torch.zeros(3), ("image", "text"), columns=((0, 2), (2, 3)))
    assert joined.pooled().tolist() == [[3, 6, 7], [0, 0, 3]]
    assert joined.prepend(torch.ones(2, 4, 3)).columns == ((0, 2), (2, 3))


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        (("image", "sound"), "a nose reads image, text; it cannot read sound"),
        ((), "it cannot read nothing"),
        (("text", "image", "text"), "a nose is asked to read text twice"),
    ],
)
def test_modalities_that_a_backbone_cannot_read_are_refused(modalities: tuple[str, ...], message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        check_modalities("a nose", modalities, ("image", "text"))


# The contract of those that can be run in parts


def layered(backbone: Backbone) -> LayeredBackbone:
    assert isinstance(backbone, LayeredBackbone)
    return backbone


def test_run_in_two_parts_it_is_the_same(backbone: Backbone) -> None:
    tokens = tokens_of(backbone, every_sample(backbone))
    whole = backbone.encode(tokens)
    for layer in range(layered(backbone).num_layers):
        assert torch.allclose(backbone.encode(layered(backbone).advance(tokens, layer)), whole, atol=1e-6)


def test_states_of_samples_alone_are_those_in_a_batch(backbone: Backbone) -> None:
    samples = every_sample(backbone)
    layer = layered(backbone).num_layers - 1
    together = layered(backbone).advance(tokens_of(backbone, samples), layer)
    embedded = embedded_of(backbone, samples)
    alone = tokens_before(backbone, embedded, layer, states_before(backbone, embedded, layer))
    assert alone.layer == together.layer == layer
    assert torch.allclose(alone.values[alone.mask], together.values[together.mask], atol=1e-5)
    assert torch.allclose(backbone.encode(alone), backbone.encode(together), atol=1e-5)


def test_prompts_of_later_layers_take_the_place_of_what_comes_out_of_the_first(backbone: Backbone) -> None:
    samples = every_sample(backbone)
    first = layered(backbone).num_layers - 1
    start = layered(backbone).advance(tokens_of(backbone, samples), 0 if first < 2 else 1)
    depth = layered(backbone).num_layers - start.layer
    parts = [prompts_for(backbone, len(samples), name=f"layer {number}") for number in range(depth)]
    found = backbone.encode(start.prepend(torch.cat(parts, dim=2)))
    tokens = start.prepend(parts[0])
    for prompts in parts[1:]:
        tokens = layered(backbone).advance(tokens, tokens.layer + 1)
        tokens = replace(tokens, values=torch.cat([prompts, tokens.values[:, 3:]], dim=1))
    assert torch.allclose(found, backbone.encode(tokens), atol=1e-5)


def test_the_gradient_reaches_the_prompts_of_every_layer(backbone: Backbone) -> None:
    samples = every_sample(backbone)
    depth = layered(backbone).num_layers
    prompts = prompts_for(backbone, len(samples)).repeat(1, 1, depth).requires_grad_()
    backbone.encode(tokens_of(backbone, samples).prepend(prompts)).square().sum().backward()
    assert prompts.grad is not None
    for part in prompts.grad.split(backbone.dim, dim=2):
        assert part.any()


@pytest.mark.parametrize("name", ["smal", "tiny-pair", "Small"])
def test_a_mistyped_name_is_told_without_asking_the_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedprime.backbones.read_model_type", lambda _: pytest.fail("the hub was asked"))
    with pytest.raises(BackboneError, match=f"there is no backbone '{name}'; did you mean (small|tiny-paired)"):
        load_backbone(name)
