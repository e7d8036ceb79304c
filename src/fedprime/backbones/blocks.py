"""Blocks: of each modality of a sample one or more frozen vectors, which no prompt reaches, from its embedding."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.backbones.backbone import Backbone

_AT_ONCE = 64  # samples whose blocks are computed together, which bounds memory where a tower runs for them


@runtime_checkable
class BlockBackbone(Protocol):
    """A backbone that knows better vectors of a modality than the moments of its embedding.

    Attributes:
        blocks: By modality, how many numbers each of its vectors has, by name; the first is called as the modality is.
    """

    blocks: Mapping[str, Mapping[str, int]]

    def block(self, modality: str, embedded: Sequence[Float[Tensor, "_ width"]]) -> Float[Tensor, "sample block"]:
        """Returns the vectors of each sample, side by side; those of one do not depend on the others."""
        ...


def blocks_by_modality(backbone: Backbone) -> dict[str, dict[str, int]]:
    """Returns how many numbers each block of each modality has, by name."""
    if isinstance(backbone, BlockBackbone):
        return {modality: dict(backbone.blocks[modality]) for modality in backbone.modalities}
    return {modality: {modality: 2 * backbone.dim} for modality in backbone.modalities}


def block_widths(backbone: Backbone) -> dict[str, int]:
    """Returns how many numbers each block has, by name, whatever modality it is of."""
    return {name: width for own in blocks_by_modality(backbone).values() for name, width in own.items()}


def block_of(
    backbone: Backbone, modality: str, embedded: Sequence[Float[Tensor, "_ width"]]
) -> Float[Tensor, "sample block"]:
    """Returns the blocks of a modality for samples that have it, side by side, in main memory and without gradients.

    They are what the backbone says, or else one: the mean of the embedded tokens and the standard deviation of each
    coordinate over them, for a mean alone cannot tell two things from twice the thing between them.
    """
    width = sum(blocks_by_modality(backbone)[modality].values())
    blocks = [torch.empty(0, width)]
    with torch.no_grad():
        for start in range(0, len(embedded), _AT_ONCE):
            chunk = embedded[start : start + _AT_ONCE]
            if isinstance(backbone, BlockBackbone):
                blocks.append(backbone.block(modality, chunk).cpu())
            else:
                blocks.append(torch.stack([moments(tokens) for tokens in chunk]))
    return torch.cat(blocks)


def moments(tokens: Float[Tensor, "token width"]) -> Float[Tensor, " block"]:
    """Returns the mean of tokens and, behind it, the standard deviation of each coordinate."""
    return torch.cat([tokens.mean(dim=0), tokens.std(dim=0, correction=0)])
