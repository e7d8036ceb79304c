"""Chunks: files that each hold some hundred embeddings, read by memory map and checked entry by entry.

A chunk is a safetensors file: the tokens of all its entries one after the other, in the type that they were computed
in, and for each entry its key, how many tokens it has, and a checksum. Once written it is never changed.
"""

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

__all__ = ["KEY_BYTES", "BrokenChunkError", "Chunk", "chunk_bytes", "count_entries"]

#: Length of a key; no two of any number of samples that fit a disk share one.
KEY_BYTES = 16


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
    """Returns how many entries a chunk file has; 0 if it is gone or broken.

    Args:
        path: The file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_slice("checksums").get_shape()[0]
    except (FileNotFoundError, SafetensorError):
        return 0


class Chunk:
    """A chunk file, mapped into memory: of its values, only what is read is loaded.

    Attributes:
        keys: Key of every entry.
    """

    def __init__(self, path: Path) -> None:
        """Opens a chunk.

        Args:
            path: The file.

        Raises:
            FileNotFoundError: If it is gone.
            BrokenChunkError: If it is no chunk, or cut off.
        """
        try:
            parts = load_file(path)
            self._values: Float[Tensor, "token width"] = parts["values"]
            self._ends: Int[np.ndarray, " entry"] = np.cumsum(parts["lengths"].numpy())
            self._checksums: list[int] = parts["checksums"].tolist()
            self.keys: UInt8[np.ndarray, "entry byte"] = parts["keys"].numpy().copy()
        except (SafetensorError, KeyError) as error:
            raise BrokenChunkError(str(error)) from error
        num_entries = len(self.keys)
        if (
            self.keys.shape != (num_entries, KEY_BYTES)
            or not len(self._ends) == len(self._checksums) == num_entries
            or num_entries == 0
            or self._ends[-1] != len(self._values)
        ):
            raise BrokenChunkError("its parts do not fit together")
        self._sound: Bool[np.ndarray, " entry"] = np.zeros(num_entries, dtype=bool)

    def read(self, row: int) -> Float[Tensor, "token width"]:
        """Returns an entry without copying it: its numbers lie in the file, and must not be written to.

        Args:
            row: Which entry.

        Raises:
            BrokenChunkError: If its content is not what was written; it is looked at when first read.
        """
        tokens = self._values[self._ends[row - 1] if row else 0 : self._ends[row]]
        if not self._sound[row]:
            if _checksum(tokens) != self._checksums[row]:
                raise BrokenChunkError(f"the checksum of entry {row} is wrong")
            self._sound[row] = True
        return tokens


def _checksum(tokens: Float[Tensor, "token width"]) -> int:
    return zlib.crc32(tokens.detach().contiguous().view(torch.uint8).numpy().data)
