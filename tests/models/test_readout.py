"""Blocks of a sample, and the head that adds what they say."""

from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone
from fedprime.backbones.blocks import blocks_by_modality
from fedprime.backbones.small_weights import lacking_weights
from fedprime.data.batches import Batch
from fedprime.models.readout import (
    SUMMARY,
    WIDEST,
    Blocks,
    EvidenceHead,
    alike_blocks,
    frozen_blocks,
    readout_widths,
)
from fedprime.reproducibility.seeding import torch_stream


def batch(backbone: Backbone, *rows: tuple[bool, bool]) -> Batch:
    rng = torch_stream(0, "blocks")
    embedded = {
        name: [
            torch.randn(3 + index, backbone.dim, generator=rng) if row[column] else None
            for index, row in enumerate(rows)
        ]
        for column, name in enumerate(backbone.modalities)
    }
    return Batch(embedded, torch.tensor(rows), torch.zeros(len(rows), dtype=torch.int64))


def test_the_paper_reads_the_summary_alone(tiny: Backbone):
    assert readout_widths(tiny, "summary") == {SUMMARY: tiny.feature_dim}


def test_a_block_for_each_modality_stands_beside_it(tiny: Backbone):
    assert list(readout_widths(tiny, "blocks")) == [SUMMARY, "image", "image patches", "text"]


def test_blocks_know_where_they_are_missing(tiny: Backbone):
    found = frozen_blocks(tiny, batch(tiny, (True, False), (True, True), (False, True)))
    assert found.present["image"].tolist() == [True, True, False]
    assert found.present["text"].tolist() == [False, True, True]
    assert all(value.shape[0] == 3 for value in found.values.values())


def test_blocks_that_somebody_has_kept_are_not_computed_again(tiny: Backbone):
    whole = batch(tiny, (True, False), (True, True))
    widths = {name: sum(own.values()) for name, own in blocks_by_modality(tiny).items()}
    images = [torch.full((widths["image"],), 1.0), torch.full((widths["image"],), 2.0)]
    kept = {"image": images, "text": [None, torch.zeros(widths["text"])]}
    found = frozen_blocks(tiny, Batch(whole.embedded, whole.present, whole.labels, kept.__getitem__))
    assert found.values["image"][:, 0].tolist() == [1, 2]


def test_a_head_of_an_earlier_version_says_what_it_said_then():
    blocks = Blocks(
        {name: torch.randn(3, 4, generator=torch_stream(0, name)) for name in ("image", "image patches")},
        {name: torch.ones(3, dtype=torch.bool) for name in ("image", "image patches")},
    )
    earlier = EvidenceHead({"image": 4}, 2, torch_stream(0, "head"))
    without_together = {name: value for name, value in earlier.state_dict().items() if "together" not in name}
    today = EvidenceHead({"image": 4, "image patches": 4}, 2, torch_stream(1, "head"))
    today.load_state_dict(without_together | today.lacking(without_together))
    assert torch.equal(today(blocks), earlier(blocks))
    assert today.lacking(today.state_dict()) == {}


def test_what_every_version_had_is_not_made_up():
    head = EvidenceHead({SUMMARY: 4, "image": 4, "text": 4}, 2)
    known = {name: value for name, value in head.state_dict().items() if not name.endswith((".text", SUMMARY))}
    assert head.lacking(known).keys() == {"together.text", "together.summary"}


def test_a_modality_that_no_sample_has_has_a_block_of_nothing(tiny: Backbone):
    found = frozen_blocks(tiny, batch(tiny, (True, False), (True, False)))
    assert not found.present["text"].any()


class Wide:
    """A backbone with a block that is too wide."""

    modalities = ("image",)
    blocks: ClassVar = {"image": {"image": WIDEST + 500}}
    dim = feature_dim = 1
    reference = fingerprint = "wide"
    options: ClassVar = {}
    kinds: ClassVar = {"image": "image"}
    versions: ClassVar = {"image": 1}
    device = torch.device("cpu")

    def block(self, modality: str, embedded: list[Tensor]) -> Tensor:
        return torch.stack([tokens[0] for tokens in embedded])

    embed = assemble = encode = block


def test_a_wide_block_is_turned_and_cut_the_same_way_each_time():
    rng = torch.Generator().manual_seed(0)
    rows = [torch.randn(1, WIDEST + 500, generator=rng) for _ in range(40)]
    whole = Batch({"image": rows}, torch.ones(40, 1, dtype=torch.bool), torch.zeros(40, dtype=torch.int64))
    found = frozen_blocks(Wide(), whole).values["image"]
    assert found.shape == (40, WIDEST)
    assert torch.equal(found, frozen_blocks(Wide(), whole).values["image"])
    # Lengths shrink by the share that is kept, and stay in proportion.
    shrunk = found.norm(dim=1) / torch.cat(rows).norm(dim=1)
    assert shrunk.mean() == pytest.approx((WIDEST / (WIDEST + 500)) ** 0.5, rel=0.02)
    assert shrunk.std() < 0.02


class Twofold(Wide):
    """A backbone with two blocks of its one modality."""

    blocks: ClassVar = {"image": {"image": 2, "image shapes": 1}}


def test_blocks_of_one_modality_stand_apart_and_are_missing_together():
    assert readout_widths(Twofold(), "blocks") == {SUMMARY: 1, "image": 2, "image shapes": 1}
    rows = [torch.tensor([[1.0, 2.0, 3.0]]), None]
    found = frozen_blocks(Twofold(), Batch({"image": rows}, torch.tensor([[True], [False]]), torch.zeros(2).long()))
    assert found.values["image"].tolist() == [[1, 2], [0, 0]]
    assert found.values["image shapes"].tolist() == [[3], [0]]
    assert {name: own.tolist() for name, own in found.present.items()} == {key: [True, False] for key in found.values}


def head() -> EvidenceHead:
    made = EvidenceHead({"image": 2, "text": 1}, 2)
    with torch.no_grad():
        made.weight["image"].copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        made.weight["text"].copy_(torch.tensor([[1.0], [-1.0]]))
        made.bias["image"].copy_(torch.tensor([0.5, 0.0]))
        made.bias["text"].copy_(torch.tensor([0.0, 0.25]))
        made.moments["image"].copy_(torch.tensor([[1.0, 0.0], [2.0, 1.0]]))
    return made


def blocks(image: bool, text: bool) -> Blocks:
    values = {"image": torch.tensor([[5.0, 3.0]]), "text": torch.tensor([[2.0]])}
    return Blocks(values, {"image": torch.tensor([image]), "text": torch.tensor([text])})


def test_evidence_adds_up_by_hand():
    assert head()(blocks(True, False)).tolist() == [[(5 - 1) / 2 + 0.5, 6.0]]
    assert head()(blocks(False, True)).tolist() == [[2.0, -2 + 0.25]]
    assert head()(blocks(True, True)).tolist() == [[2.5 + 2.0, 6.0 - 1.75]]


def test_what_several_modalities_say_is_weighed_anew_and_what_one_says_is_not():
    made = head()
    with torch.no_grad():
        made.together["image"].fill_(0.5)
        made.together["text"].fill_(2.0)
    both, alone = (replace(blocks(True, text), several=torch.tensor([text])) for text in (True, False))
    assert made(both).tolist() == [[0.5 * 2.5 + 2 * 2.0, 0.5 * 6.0 - 2 * 1.75]]
    assert made(alone).tolist() == [[2.5, 6.0]]


def test_what_is_absent_can_be_anything_and_nothing_changes():
    poisoned = blocks(True, False)
    poisoned.values["text"].fill_(float("nan"))
    assert torch.equal(head()(poisoned), head()(blocks(True, False)))


def test_only_weights_and_biases_are_trained():
    trained = {name.partition(".")[0] for name, value in head().named_parameters() if value.requires_grad}
    assert trained == {"weight", "bias"}


def test_blocks_of_images_and_texts_are_alike_and_those_of_numbers_may_have_any_size(tiny: Backbone):
    assert alike_blocks(tiny) == {SUMMARY, "image", "text"} | set(blocks_by_modality(tiny)["image"])
    if not lacking_weights(("text",)):
        table = load_backbone("small", ("price", "notes"), kinds="table,text")
        assert alike_blocks(table) == {"notes", "notes words", "notes layers"}
