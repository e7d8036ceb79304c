"""Where embeddings are kept: bounded in memory, all on disk, the same to the bit as when computed."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fedprime.data.embeddings import store as embedding_store
from fedprime.data.embeddings.cache import EmbeddingCache
from fedprime.data.embeddings.cache_folder import CacheFolder
from fedprime.data.embeddings.store import EmbeddingStore


def tokens(number: int) -> Tensor:
    return torch.full((4, 8), 0.1 * number)  # 128 bytes


class Cabinet:
    """Values with names, some of which change; it notes what is asked for."""

    def __init__(self) -> None:
        self.names: dict[int, str | None] = {index: f"value {index}" for index in range(50)}
        self.asked: list[int] = []

    def identity(self, index: int, modality: str) -> str | None:
        self.asked.append(index)
        return self.names[index]


def on_disk(path: Path, cabinet: Cabinet) -> EmbeddingStore:
    caches = {"image": EmbeddingCache(CacheFolder(path), {"modality": "image"}, {})}
    return EmbeddingStore(50, cabinet.identity, caches)


def filled(store: EmbeddingStore, num_samples: int = 50) -> EmbeddingStore:
    for index in range(num_samples):
        store.put("image", {index: tokens(index)})
    store.save()
    return store


def test_without_a_cache_memory_holds_the_very_objects_up_to_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_store, "_WITHOUT_CACHE_BYTES", 3 * 128)
    store = EmbeddingStore()
    embedded = {index: tokens(index) for index in range(50)}
    store.put("image", embedded)
    found = store.get("image", range(50))
    assert list(found) == [0, 1, 2]
    assert all(found[index] is embedded[index] for index in found)
    assert store.get("text", [0]) == {}


def test_what_finds_no_room_in_memory_comes_from_disk_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_store, "_BESIDE_CACHE_BYTES", 3 * 128)
    for store in (filled(on_disk(tmp_path, Cabinet())), on_disk(tmp_path, Cabinet())):
        for _ in range(2):
            found = store.get("image", range(49, -1, -1))
            assert list(found) == list(range(49, -1, -1))
            assert all(torch.equal(found[index], tokens(index)) for index in range(50))
        assert store._at_hand_bytes == 3 * 128


def test_a_value_that_has_changed_is_not_found(tmp_path: Path) -> None:
    filled(on_disk(tmp_path, Cabinet()), 5)
    cabinet = Cabinet()
    cabinet.names[3] = "value 3, edited"
    assert list(on_disk(tmp_path, cabinet).get("image", range(5))) == [0, 1, 2, 4]


def test_two_samples_with_one_value_share_its_embedding(tmp_path: Path) -> None:
    filled(on_disk(tmp_path, Cabinet()), 5)
    cabinet = Cabinet()
    cabinet.names[40] = "value 3"
    assert torch.equal(on_disk(tmp_path, cabinet).get("image", [40])[40], tokens(3))


def test_a_value_without_identity_stays_in_memory_alone(tmp_path: Path) -> None:
    cabinet = Cabinet()
    cabinet.names[3] = None
    store = filled(on_disk(tmp_path, cabinet), 5)
    assert list(store.get("image", range(5))) == [0, 1, 2, 3, 4]
    assert list(on_disk(tmp_path, Cabinet()).get("image", range(5))) == [0, 1, 2, 4]


def test_a_run_asks_once_what_a_value_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_store, "_BESIDE_CACHE_BYTES", 0)
    cabinet = Cabinet()
    store = filled(on_disk(tmp_path, cabinet), 5)
    cabinet.names[3] = None  # the file has been taken away meanwhile
    assert list(store.get("image", range(5))) == [0, 1, 2, 3, 4]
    assert sorted(cabinet.asked) == [0, 1, 2, 3, 4]


def test_memory_takes_more_when_the_disk_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_store, "_BESIDE_CACHE_BYTES", 2 * 128)
    (tmp_path / "file").touch()
    store = filled(on_disk(tmp_path / "file", Cabinet()), 5)  # the first two, before it was known
    store.put("image", {index: tokens(index) for index in range(5, 9)})
    assert list(store.get("image", range(9))) == [0, 1, 5, 6, 7, 8]
