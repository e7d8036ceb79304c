"""The quirks that change a prediction, worked out by hand, and remembered by a saved model."""

import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import ViltModel

from fedprime.backbones import SHIPPED, TINY, load_backbone
from fedprime.backbones.backbone import Backbone, BackboneError, Tokens
from fedprime.data.batches import Batch, EmbeddedSamples
from fedprime.data.sets.builtin import NUM_READINGS, BuiltinWorld
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.fedprime import FedPrime
from fedprime.models.model_folder import ModelError
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import PatternPrompts
from fedprime.reproducibility.seeding import torch_stream
from fedprime.reproduction.reading import ReferenceBackbone, VotedPools

THREE = ("image", "text", "readings")
LABELS = ("bread", "soup", "cake")
EVERY_READING = ("prompt_readout", "placeholder_input")


@pytest.fixture(scope="module")
def three() -> Backbone:
    return load_backbone(modalities=THREE)


@pytest.fixture(scope="module")
def present() -> np.ndarray:
    """Each of the seven patterns once."""
    return np.array([pattern for pattern in itertools.product([False, True], repeat=3) if any(pattern)])


@pytest.fixture(scope="module")
def batch(three: Backbone, present: np.ndarray) -> Batch:
    world = BuiltinWorld(num_samples=len(present), num_classes=3)
    return EmbeddedSamples(world, THREE, three.embed).batch(np.arange(len(present)), present)


@pytest.fixture
def voted(three: Backbone) -> PromptedModel:
    rng = torch_stream(0, "test voted")
    return PromptedModel(three, VotedPools(three.dim, {"inter": 6, "intra": 6}, 2, rng), LABELS, rng=rng)


def samples(*queries: list[float]) -> Tokens:
    """Samples of one token each, which is their query as long as the map is the identity."""
    values = torch.tensor(queries)[:, None]
    return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool), torch.tensor([-1]), summary=0)


def voted_indices(tokens: Tokens, prompts: Tensor, num_chosen: int) -> Tensor:
    pools = VotedPools(prompts.shape[1], {"only": len(prompts)}, num_chosen)
    pools.pools["only"].data = prompts
    return pools(tokens, torch.ones(len(tokens.values), 1, dtype=torch.bool)).indices["only"]


# The vote of a batch


def test_all_samples_get_the_prompt_that_most_of_them_are_nearest_to():
    # Directions of the axes: two samples are nearest to the second prompt, one to the first.
    tokens = samples([1.0, 0.1, 0.0], [0.1, 1.0, 0.0], [0.0, 1.0, 0.1])
    assert voted_indices(tokens, torch.eye(3), 1).tolist() == [[1], [1], [1]]


def test_of_prompts_with_as_many_votes_the_first_of_the_pool_wins():
    tokens = samples([0.0, 0.1, 1.0], [0.0, 1.0, 0.1])
    assert voted_indices(tokens, torch.eye(3), 1).tolist() == [[1], [1]]


@pytest.mark.parametrize("seed", range(5))
def test_the_vote_is_that_of_a_counter(seed: int):
    prompts = torch.randn(7, 4, generator=torch_stream(seed, "prompts"))
    queries = torch.randn(9, 4, generator=torch_stream(seed, "queries"))
    votes: Counter[int] = Counter()
    for query in queries.double().numpy():
        cosine = prompts.double().numpy() @ query / np.linalg.norm(prompts.double().numpy(), axis=1)
        votes.update(np.argsort(-cosine)[:3].tolist())
    expected = sorted(votes, key=lambda prompt: (-votes[prompt], prompt))[:3]
    assert voted_indices(samples(*queries.tolist()), prompts, 3).tolist() == [expected] * 9


def test_a_sample_is_as_far_from_its_prompts_as_those_that_were_voted_for_are():
    pools = VotedPools(2, {"only": 2}, 1)
    pools.pools["only"].data = torch.eye(2)
    chosen = pools(samples([1.0, 0.0], [0.0, 1.0], [0.0, 2.0]), torch.ones(3, 1, dtype=torch.bool))
    assert chosen.distance.tolist() == pytest.approx([1, 0, 0])
    assert torch.equal(chosen.prompts, torch.tensor([[0.0, 1.0]]).expand(3, 1, 2))


def test_a_prediction_depends_on_who_shares_the_batch(voted: PromptedModel, batch: Batch):
    alone = Batch({name: parts[:1] for name, parts in batch.embedded.items()}, batch.present[:1], batch.labels[:1])
    assert not torch.allclose(voted(alone).logits[0], voted(batch).logits[0])


def test_voted_prompts_learn(voted: PromptedModel, batch: Batch):
    output = voted(batch)
    (output.logits.square().sum() + output.chosen.distance.sum()).backward()
    for name, pool in voted.prompter.pools.items():
        assert pool.grad is not None
        learnt = pool.grad.abs().amax(dim=1) > 0
        assert learnt.nonzero().flatten().tolist() == sorted(output.chosen.indices[name][0].tolist())


# What a backbone departs in


def test_the_feature_is_the_librarys_own_output_at_the_first_prompt(three: Backbone, batch: Batch):
    prompts = torch.randn(len(batch), 2, three.dim, generator=torch_stream(0, "prompts"))
    tokens = three.assemble(batch.embedded).prepend(prompts)
    mask = torch.where(tokens.mask, 0.0, torch.finfo(torch.float32).min)[:, None, None, :]
    states = tokens.values
    library = ViltModel.from_pretrained(SHIPPED[TINY], attn_implementation="eager").eval()
    for layer in library.encoder.layer:
        states = layer(states, mask)[0]
    expected = three.model.layernorm(states)[:, 0]
    found = ReferenceBackbone(three, ["prompt_readout"]).encode(tokens)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, three.encode(tokens))


def test_what_is_missing_is_a_white_image_an_empty_text_and_readings_of_zero(three: Backbone, batch: Batch):
    white = np.full((64, 64, 3), 255, dtype=np.uint8)
    blanks = {"image": white, "text": "", "readings": np.zeros(NUM_READINGS, dtype=np.float32)}
    filled = {
        modality: [
            entry if entry is not None else three.embed(modality, [blanks[modality]])[0]
            for entry in batch.embedded[modality]
        ]
        for modality in THREE
    }
    tokens = ReferenceBackbone(three, ["placeholder_input"]).assemble(batch.embedded)
    expected = three.assemble(filled)
    assert torch.equal(tokens.values, expected.values)
    assert torch.equal(tokens.mask, expected.mask)


def test_a_white_image_is_an_image_of_ones_to_the_model(three: Backbone):
    # The processor maps 0 to 255 to -1 to 1.
    (white,) = three.embed("image", [np.full((64, 64, 3), 255, dtype=np.uint8)])
    torch.testing.assert_close(white[None], three.embed_patches(torch.ones(1, 3, 64, 64)))


def test_prompts_per_pattern_still_know_what_is_missing(three: Backbone, batch: Batch):
    method = FedAvgP(num_prompts=2)
    backbone = ReferenceBackbone(three, ["placeholder_input"])
    model = method.build(backbone, LABELS, rng=torch_stream(0, "initial weights"))
    assert isinstance(model.prompter, PatternPrompts)
    with torch.no_grad():
        model.prompter.sets.copy_(torch.arange(7.0)[:, None, None].expand_as(model.prompter.sets))
    bits = (batch.present * torch.tensor([1, 2, 4])).sum(dim=1)
    assert model(batch).chosen.prompts[:, 0, 0].tolist() == (bits - 1).tolist()


def test_features_with_quirks_are_others_and_the_fingerprint_says_so(three: Backbone):
    prints = {
        ReferenceBackbone(three, quirks).fingerprint
        for quirks in (["prompt_readout"], ["placeholder_input"], EVERY_READING)
    }
    assert len(prints | {three.fingerprint}) == 4
    assert ReferenceBackbone(three, EVERY_READING[::-1]).fingerprint in prints


def test_a_backbone_around_another_is_a_backbone(three: Backbone):
    around = ReferenceBackbone(three, EVERY_READING)
    assert isinstance(around, Backbone)
    assert (around.modalities, around.dim, around.reference) == (three.modalities, three.dim, three.reference)
    assert torch.equal(around.embed("text", ["soup"])[0], three.embed("text", ["soup"])[0])


def test_a_quirk_that_backbones_do_not_have_is_refused(three: Backbone):
    with pytest.raises(ValueError, match="a backbone cannot have batch_vote; it can have prompt_readout, "):
        ReferenceBackbone(three, ["prompt_readout", "batch_vote"])


# What a saved model remembers


def test_a_modality_that_the_research_code_does_not_know_has_no_placeholder() -> None:
    smelling = load_backbone()
    smelling.modalities = ("image", "smell")
    smelling.blocks = {name: {name: 4} for name in smelling.modalities}
    with pytest.raises(BackboneError, match=r"placeholder_input knows .*; the backbone reads smell too"):
        ReferenceBackbone(smelling, ["placeholder_input"])
    assert ReferenceBackbone(smelling, ["prompt_readout"]).modalities == ("image", "smell")


@pytest.mark.parametrize("quirks", [["prompt_readout"], ["placeholder_input"], [*EVERY_READING]], ids="+".join)
@pytest.mark.parametrize("votes", [True, False], ids=["voted", "honest"])
@pytest.mark.parametrize("is_loaded", [True, False], ids=["backbone given", "backbone by name"])
def test_a_saved_model_predicts_as_it_did(
    quirks: list[str], votes: bool, is_loaded: bool, three: Backbone, batch: Batch, tmp_path: Path
):
    method = FedPrime(num_prompts=4, pool_size=6)
    model = method.build(ReferenceBackbone(three, quirks), LABELS, rng=torch_stream(0, "initial weights"))
    if votes:
        voted = VotedPools(three.dim, **model.prompter.options())
        voted.load_state_dict(model.prompter.state_dict())
        model.prompter = voted
    model.save_pretrained(tmp_path / "model")
    loaded = PromptedModel.from_pretrained(tmp_path / "model", three if is_loaded else None)
    assert torch.equal(loaded(batch).logits, model(batch).logits)
    loaded.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "config.json").read_text() == (tmp_path / "model" / "config.json").read_text()


def test_a_saved_model_without_quirks_does_not_speak_of_them(three: Backbone, tmp_path: Path):
    FedAvgP().build(three, LABELS).save_pretrained(tmp_path / "model")
    assert "quirks" not in (tmp_path / "model" / "config.json").read_text()


FORGOTTEN = None


@pytest.mark.parametrize("quirks", [["shared_parameters"], "prompt_readout", 3, [3], FORGOTTEN], ids=str)
def test_quirks_that_are_none_or_forgotten_break_a_saved_model(quirks: object, three: Backbone, tmp_path: Path):
    FedAvgP().build(ReferenceBackbone(three, EVERY_READING), LABELS).save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    del config["backbone"]["quirks"], config["sha256"]
    config["backbone"] |= {} if quirks is FORGOTTEN else {"quirks": quirks}
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match="fingerprint" if quirks is FORGOTTEN else "is broken"):
        PromptedModel.from_pretrained(tmp_path / "model", three)
