"""Digests by which a file is known to be what was written: against flipped bits and edits, not against forgers."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def digest_of_file(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest_of_json(value: Any) -> str:
    """Returns the SHA-256 of plain values, however a file orders or indents them.

    >>> digest_of_json({"a": 1, "b": 2}) == digest_of_json({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest_of_values(values: Mapping[str, Tensor], facts: str = "") -> str:
    """Returns the SHA-256 of tensors with their names, shapes and types, in whatever order they come.

    Args:
        values: Dense tensors in main memory.
    """
    digest = hashlib.sha256(facts.encode())
    for name, value in sorted(values.items()):
        digest.update(f"\0{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
