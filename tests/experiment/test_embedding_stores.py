"""Hidden states on disk: a later run reads them, unless anything that decides them differs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprime.backbones.backbone import Backbone
from fedprime.backbones.layers import states_before
from fedprime.data.embeddings import store as stores
from fedprime.data.embeddings.hidden_states import HiddenStates
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.experiment.embedding_stores import block_store, embedding_store, state_store

INDICES = np.arange(4)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuiltinWorld:
    """Four samples, and an empty cache."""
    monkeypatch.setenv("FEDPRIME_CACHE", str(tmp_path / "cache"))
    return BuiltinWorld(4, 3)


def states_of(world: BuiltinWorld, backbone: Backbone, layer: int, *, text: bool = True) -> tuple[list[Tensor], int]:
    """Returns the states as a new process would find them, and how many samples it had to run."""
    embedded: dict[str, list[Tensor | None]] = {"image": [], "text": []}
    for index in INDICES:
        values = world.read(int(index), ("image", "text"))
        embedded["image"] += backbone.embed("image", [values["image"]])
        embedded["text"] += backbone.embed("text", [values["text"]]) if text else [None]
    num_run = 0

    def compute(parts: Mapping[str, Sequence[Tensor | None]], layer: int) -> list[Tensor]:
        nonlocal num_run
        num_run += len(parts["image"])
        return states_before(backbone, parts, layer)

    embeddings = embedding_store(world, backbone)
    states = HiddenStates(compute, lambda layer: state_store(embeddings, world, backbone, layer))
    found = states.of(INDICES, embedded, layer)
    states.save()
    return found, num_run


def test_a_later_run_computes_nothing_and_sees_the_same_to_the_bit(world: BuiltinWorld, tiny: Backbone):
    first, num_first = states_of(world, tiny, 2)
    second, num_second = states_of(world, tiny, 2)
    assert (num_first, num_second) == (4, 0)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_another_layer_or_pattern_is_computed_anew(world: BuiltinWorld, tiny: Backbone):
    states_of(world, tiny, 2)
    assert states_of(world, tiny, 1)[1] == 4
    assert states_of(world, tiny, 2, text=False)[1] == 4


def test_without_a_cache_nothing_is_kept_for_later(
    world: BuiltinWorld, tiny: Backbone, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FEDPRIME_CACHE", "off")
    assert [states_of(world, tiny, 2)[1] for _ in range(2)] == [4, 4]


def test_blocks_that_are_made_quickly_take_little_memory_beside_embeddings_on_disk(
    world: BuiltinWorld, tiny: Backbone, monkeypatch: pytest.MonkeyPatch
):
    rows = {index: torch.zeros(1, 32) for index in range(4)}  # 128 bytes each
    monkeypatch.setattr(stores, "_BESIDE_CACHE_BYTES", 2 * 128)
    blocks = block_store(embedding_store(world, tiny), world, tiny)
    blocks.put("image", rows)
    assert list(blocks.get("image", range(4))) == [0, 1]
    monkeypatch.setenv("FEDPRIME_CACHE", "off")  # then embeddings are in memory, and there is nothing to be beside of
    blocks = block_store(embedding_store(world, tiny), world, tiny)
    blocks.put("image", rows)
    assert list(blocks.get("image", range(4))) == [0, 1, 2, 3]
