"""Several batches in one run of a frozen transformer, and whether each sample then has the bits that it has by itself.

A row of a matrix product is a sum over the same numbers whatever rows stand beside it, but in which order it is summed
is for the library of products to choose, and it may choose by how many rows there are. MKL on AVX2 does so below four.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.backbones.backbone import Backbone, Tokens
from fedprime.reproducibility.seeding import torch_stream

#: Smaller batches are run by themselves: their last layer reads one row for each sample.
FEWEST_SAMPLES = 4

_TRIED_VALUES = 2**18  # numbers of all tokens that are tried, at most
_TRIED_SIZES = (4, 5, 6, 7, 8, 16, 32, 64)
_TRIED_LENGTH = 16


@runtime_checkable
class JoiningBackbone(Backbone, Protocol):
    """A backbone that can run several batches as one."""

    def encode_together(self, batches: Sequence[Tokens]) -> list[Float[Tensor, "sample feature"]]:
        """Returns what `encode` returns for each batch."""
        ...


def keeps_bits(backbone: Backbone) -> bool:
    """Says whether features and gradients of batches run together are, to the bit, those of each batch by itself.

    It is tried, on random tokens of batches of several sizes: it depends on processor, library and width.
    """
    if not isinstance(backbone, JoiningBackbone):
        return False
    together, alone = list(_random_batches(backbone)), list(_random_batches(backbone))
    if len(together) < 2:
        return False
    found = backbone.encode_together(together)
    expected = [backbone.encode(tokens) for tokens in alone]
    torch.autograd.backward([feature.square().sum() for feature in found])
    torch.autograd.backward([feature.square().sum() for feature in expected])
    pairs = zip(found, expected, together, alone, strict=True)
    return all(
        torch.equal(ours, theirs) and torch.equal(_gradient(here), _gradient(there))
        for ours, theirs, here, there in pairs
    )


def _gradient(tokens: Tokens) -> Tensor:
    return torch.zeros_like(tokens.values) if tokens.values.grad is None else tokens.values.grad


def _random_batches(backbone: Backbone) -> Iterator[Tokens]:
    rng = torch_stream(0, "batches to try")
    left = _TRIED_VALUES
    for size in _TRIED_SIZES:
        left -= size * _TRIED_LENGTH * backbone.dim
        if left < 0:
            return
        values = torch.randn(size, _TRIED_LENGTH, backbone.dim, generator=rng)
        lengths = torch.randint(2, _TRIED_LENGTH + 1, (size, 1), generator=rng)
        mask = torch.arange(_TRIED_LENGTH) < lengths
        device, owner = backbone.device, torch.zeros(_TRIED_LENGTH, dtype=torch.int64)
        yield Tokens(values.to(device).requires_grad_(), mask.to(device), owner.to(device), summary=0)
