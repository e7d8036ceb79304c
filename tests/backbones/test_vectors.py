"""Arrays of one length: each is its own block, and one of another length is no value."""

import numpy as np
import pytest
import torch

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.vectors import Vectors


def test_an_array_is_compressed_number_by_number() -> None:
    encoder = Vectors(3)
    [tokens] = encoder.encode([np.array([0.5, -1000.0, 0.0])])
    assert tokens.shape == (1, 3)
    assert encoder.pool(tokens).tolist() == pytest.approx([np.arcsinh(0.5), np.arcsinh(-1000.0), 0.0])


def test_length_decides_what_it_is() -> None:
    assert Vectors(3).fingerprint == Vectors(3).fingerprint != Vectors(4).fingerprint


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(2), "found 2 numbers where 3 were expected"),
        (np.array([0.0, np.nan, 1.0]), "array of finite numbers"),
        (np.zeros((3, 1)), "one-dimensional array"),
        ({"a": 1.0}, "found dict"),
    ],
)
def test_what_is_no_such_array_is_refused(value: object, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        Vectors(3).encode([value])


def test_who_shares_a_call_changes_nothing() -> None:
    rows = list(np.random.default_rng(0).normal(size=(5, 3)))
    together = torch.cat(Vectors(3).encode(rows))
    assert torch.equal(together, torch.cat([Vectors(3).encode([row])[0] for row in rows]))
