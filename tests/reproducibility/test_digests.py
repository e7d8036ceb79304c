"""Digests change with what they are of, and with nothing else."""

import hashlib
from pathlib import Path

import torch

from fedprime.reproducibility.digests import digest_of_file, digest_of_json, digest_of_values

VALUES = {"a": torch.zeros(2, 3), "b": torch.tensor(1.0), "c": torch.zeros(0, 4), "d": torch.tensor([True])}


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"abc")
    assert digest_of_file(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()


def test_the_order_of_names_does_not_matter_and_all_else_does():
    digest = digest_of_values(VALUES)
    assert digest_of_values(dict(reversed(VALUES.items()))) == digest
    others = [
        {**VALUES, "a": torch.zeros(3, 2)},
        {**VALUES, "a": torch.zeros(2, 3, dtype=torch.int32)},
        {**VALUES, "b": torch.tensor(1.0000001)},
        {**VALUES, "e": torch.zeros(0)},
        {name: value for name, value in VALUES.items() if name != "c"},
    ]
    assert digest not in {digest_of_values(other) for other in others}
    assert digest_of_values(VALUES, "facts") != digest


def test_a_view_has_the_digest_of_its_values():
    turned = torch.arange(6.0).reshape(2, 3).T
    assert digest_of_values({"a": turned}) == digest_of_values({"a": turned.clone()})


def test_plain_values_count_and_not_how_they_are_written():
    assert digest_of_json({"a": [1, 2.5], "b": None}) == digest_of_json({"b": None, "a": (1, 2.5)})
    assert digest_of_json({"a": 1}) != digest_of_json({"a": 2})
