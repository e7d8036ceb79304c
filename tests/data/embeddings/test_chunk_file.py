"""Chunk files: what was written comes back to the bit, or is known to be broken."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fedprime.data.embeddings import chunk_file
from fedprime.data.embeddings.chunk_file import BrokenChunkError, Chunk, chunk_bytes, count_entries


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def write(path: Path, *embedded: Tensor) -> Path:
    path.write_bytes(chunk_bytes({key(number): tokens for number, tokens in enumerate(embedded)}))
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_entries_come_back_to_the_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    embedded = [torch.linspace(-1, 1, 4 * length).view(length, 4).to(dtype) for length in (3, 1, 0, 5)]
    embedded[1][0] = torch.tensor([float("nan"), -0.0, 1e-40, float("inf")], dtype=dtype)
    chunk = Chunk(write(tmp_path / "a.safetensors", *embedded))
    for row in (3, 0, 2, 1):
        found = chunk.read(row)
        assert found.dtype == dtype
        assert torch.equal(found.contiguous().view(torch.uint8), embedded[row].view(torch.uint8))
    assert [row.tobytes() for row in chunk.keys] == [key(number) for number in range(4)]
    assert count_entries(tmp_path / "a.safetensors") == 4


def test_a_closed_chunk_opens_its_file_again(tmp_path: Path) -> None:
    chunk = Chunk(write(tmp_path / "a.safetensors", torch.ones(2, 3), torch.zeros(1, 3)))
    assert torch.equal(chunk.read(0), torch.ones(2, 3))
    chunk.close()
    assert torch.equal(chunk.read(1), torch.zeros(1, 3))


def test_where_nothing_can_be_read_from_a_place_entries_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.safetensors", torch.ones(2, 3), torch.full((1, 3), 7.0))
    monkeypatch.setattr(chunk_file, "_READS_AT", False)
    chunk = Chunk(path)
    assert torch.equal(chunk.read(1), torch.full((1, 3), 7.0))
    assert torch.equal(chunk.read(0), torch.ones(2, 3))
    os.truncate(path, 40)
    with pytest.raises(BrokenChunkError, match="cut off in entry 1"):
        chunk.read(1)


def test_an_entry_that_was_cut_off_since_is_broken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", torch.ones(2, 3), torch.zeros(1, 3))
    chunk = Chunk(path)
    os.truncate(path, 40)
    with pytest.raises(BrokenChunkError, match="cut off in entry 1"):
        chunk.read(1)


def test_a_flipped_bit_is_found_when_its_entry_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", torch.ones(2, 3), torch.full((2, 3), 7.0))
    content = path.read_bytes()
    at = content.index(torch.full((2, 3), 7.0).numpy().tobytes())
    path.write_bytes(content[:at] + b"\x01" + content[at + 1 :])
    chunk = Chunk(path)
    assert torch.equal(chunk.read(0), torch.ones(2, 3))
    with pytest.raises(BrokenChunkError, match="checksum of entry 1"):
        chunk.read(1)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_broken(share: float, tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", torch.ones(20, 8))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BrokenChunkError):
        Chunk(path)
    assert count_entries(path) == 0


def test_a_file_that_is_gone_is_not_broken(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Chunk(tmp_path / "a.safetensors")
    assert count_entries(tmp_path / "a.safetensors") == 0


def test_parts_that_do_not_fit_together_are_broken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", torch.ones(4, 2))
    parts = load_file(path)
    save_file({**parts, "lengths": torch.tensor([3])}, tmp_path / "b.safetensors")
    with pytest.raises(BrokenChunkError, match="do not fit together"):
        Chunk(tmp_path / "b.safetensors")
