"""Ranges: what is in them, at their ends."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from fedprime.reproducibility.ranges import Count, NotNegative, NotNegativeCount, Positive, Share


@pytest.mark.parametrize(
    ("kind", "inside", "outside"),
    [
        (Count, (1, 10**9), (0, -1, 1.5)),
        (NotNegativeCount, (0, 7), (-1, 0.5)),
        (Positive, (1e-9, 1e6), (0.0, -1.0, 1e6 + 1)),
        (NotNegative, (0.0, 1e9), (-1e-9,)),
        (Share, (0.0, 0.5, 1.0), (-0.01, 1.01)),
    ],
)
def test_a_range_has_its_ends(kind: Any, inside: tuple[float, ...], outside: tuple[float, ...]):
    adapter = TypeAdapter(kind)
    assert [adapter.validate_python(value) for value in inside] == list(inside)
    for value in outside:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)
