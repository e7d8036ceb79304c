"""Chunks: files that each hold some hundred embeddings, of which each is read and checked by itself.

A chunk is a safetensors file: the tokens of all its entries one after the other, in the type that they were computed
in, and for each entry its key, how many tokens it has, and a checksum. Once written it is never changed.
"""

import json
import os
import weakref
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

#: Length of a key; no two of any number of samples that fit a disk share one.
KEY_BYTES = 16

_READS_AT = hasattr(os, "preadv")  # Windows cannot; there, a file that is open could not be deleted either


class BrokenChunkError(ValueError):
    """A chunk whose content is not what was written."""


def chunk_bytes(embedded: Mapping[bytes, Float[Tensor, "_ width"]]) -> bytes:
    """Returns the content of a chunk file.

    Args:
        embedded: By key, its tokens; all of one type and width, at least one entry.
    """
    keys = np.frombuffer(b"".join(embedded), dtype=np.uint8).reshape(-1, KEY_BYTES)
    parts = {
        "values": torch.cat(list(embedded.values())),
        "lengths": torch.tensor([len(tokens) for tokens in embedded.values()]),
        "keys": torch.from_numpy(keys.copy()),
        "checksums": torch.tensor([_checksum(tokens) for tokens in embedded.values()]),
    }
    return save(parts, metadata={"format": "fedprime embeddings 1"})


def count_entries(path: Path) -> int:
    """Returns how many entries a chunk file has; 0 if it is gone or broken."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_slice("checksums").get_shape()[0]
    except (FileNotFoundError, SafetensorError):
        return 0


class Chunk:
    """A chunk file, of whose values only what is asked for is read.

    Not by memory map: pages of a map count as memory of this process from when they are read until the map is let go.
    """

    def __init__(self, path: Path) -> None:
        """Reads what a chunk says about its entries.

        Raises:
            FileNotFoundError: If it is gone.
            BrokenChunkError: If it is no chunk, or cut off.
        """
        self._path = path
        self._file: int | None = None
        try:
            with safe_open(path, framework="pt") as file:
                num_tokens, width = file.get_slice("values").get_shape()
                self._dtype: torch.dtype = file.get_slice("values")[:0].dtype
                self._ends: Int[np.ndarray, " entry"] = np.cumsum(file.get_tensor("lengths").numpy())
                self._checksums: Int[np.ndarray, " entry"] = file.get_tensor("checksums").numpy().copy()
                self.keys: UInt8[np.ndarray, "entry byte"] = file.get_tensor("keys").numpy().copy()
            self._start = _start_of_values(path)
        except (SafetensorError, KeyError, ValueError) as error:
            raise BrokenChunkError(str(error)) from error
        self._width = int(width)
        num_entries = len(self.keys)
        if (
            self.keys.shape != (num_entries, KEY_BYTES)
            or not len(self._ends) == len(self._checksums) == num_entries
            or num_entries == 0
            or self._ends[-1] != num_tokens
        ):
            raise BrokenChunkError("its parts do not fit together")
        self._sound: Bool[np.ndarray, " entry"] = np.zeros(num_entries, dtype=bool)

    def read(self, row: int) -> Float[Tensor, "token width"]:
        """Returns an entry. The file stays open until `close` is called or this object is gone.

        Raises:
            OSError: If the file cannot be read, or is gone.
            BrokenChunkError: If its content is not what was written; it is looked at when first read.
        """
        first = int(self._ends[row - 1]) if row else 0
        tokens = torch.empty(int(self._ends[row]) - first, self._width, dtype=self._dtype)
        start = self._start + first * self._width * tokens.element_size()
        if (self._read_at(start, _bytes_of(tokens)) if tokens.nbytes else 0) != tokens.nbytes:
            raise BrokenChunkError(f"it was cut off in entry {row}")
        if not self._sound[row]:
            if _checksum(tokens) != self._checksums[row]:
                raise BrokenChunkError(f"the checksum of entry {row} is wrong")
            self._sound[row] = True
        return tokens

    def _read_at(self, start: int, values: memoryview) -> int:
        """Fills values from that place of the file, whoever else reads it, and returns how many bytes were there."""
        if not _READS_AT:
            with self._path.open("rb") as file:
                file.seek(start)
                return file.readinto(values)
        if self._file is None:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            # Not `__del__`, which at the end of the interpreter finds `os` gone.
            self._closing = weakref.finalize(self, os.close, self._file)
        return os.preadv(self._file, [values], start)

    def close(self) -> None:
        """Closes the file; what is read next opens it again."""
        if self._file is not None:
            self._closing()
            self._file = None


def _start_of_values(path: Path) -> int:
    """Returns where in the file the values begin: behind 8 bytes of length and a header of that length."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return 8 + length + json.loads(file.read(length))["values"]["data_offsets"][0]


def _bytes_of(tokens: Float[Tensor, "token width"]) -> memoryview:
    return tokens.detach().contiguous().view(torch.uint8).numpy().data


def _checksum(tokens: Float[Tensor, "token width"]) -> int:
    return zlib.crc32(_bytes_of(tokens))
