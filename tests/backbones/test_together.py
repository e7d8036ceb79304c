"""Whether batches that are run as one keep their bits is found out, not believed."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from fedprime.backbones.backbone import Backbone, Tokens
from fedprime.backbones.together import keeps_bits


class Rowwise:
    """A backbone whose features are sums of a sample's tokens, times a factor that depends on how many batches come."""

    modalities, kinds, versions = ("image",), {"image": "image"}, {"image": 1}
    dim = feature_dim = 8
    reference, options, fingerprint, device = "rows", {}, "rows", torch.device("cpu")

    def __init__(self, factor_together: float = 1.0, width: int = 8) -> None:
        self.factor_together, self.dim = factor_together, width

    def embed(self, modality: str, values: Sequence[object]) -> list[Tensor]:
        raise NotImplementedError

    def assemble(self, embedded: object) -> Tokens:
        raise NotImplementedError

    def encode(self, tokens: Tokens) -> Tensor:
        return tokens.values.sum(dim=1)

    def encode_together(self, batches: Sequence[Tokens]) -> list[Tensor]:
        return [self.factor_together * self.encode(tokens) for tokens in batches]


def test_a_backbone_that_computes_each_sample_alike_keeps_bits():
    assert keeps_bits(Rowwise())


@pytest.mark.parametrize("factor", [1 + 2**-23, 2.0])
def test_the_last_bit_counts(factor: float):
    assert not keeps_bits(Rowwise(factor))


def test_what_is_too_wide_to_be_tried_is_not_believed():
    assert not keeps_bits(Rowwise(width=2**15))


@pytest.mark.parametrize("sizes", [(4, 7), (5, 16, 4)])
def test_batches_together_are_close_to_each_alone(tiny: Backbone, sizes: tuple[int, ...]):
    rng = torch.Generator().manual_seed(0)
    batches = []
    for size in sizes:
        mask = torch.arange(9) < torch.randint(1, 10, (size, 1), generator=rng)
        values = torch.randn(size, 9, tiny.dim, generator=rng)
        batches.append(Tokens(values, mask, torch.zeros(9, dtype=torch.int64), summary=0))
    for found, tokens in zip(tiny.encode_together(batches), batches, strict=True):
        torch.testing.assert_close(found, tiny.encode(tokens), rtol=0, atol=1e-6)
