"""Blocks: for each modality of a sample one frozen vector, which no prompt reaches, computed from its embedding."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.backbones.backbone import Backbone

__all__ = ["BlockBackbone", "block_of", "block_widths"]

_AT_ONCE = 64  # samples whose blocks are computed together, which bounds memory where a tower runs for them


@runtime_checkable
class BlockBackbone(Protocol):
    """A backbone that knows a better vector of a modality than the moments of its embedding.

    Attributes:
        blocks: By modality, how many numbers its vector has.
    """

    blocks: Mapping[str, int]

    def block(self, modality: str, embedded: Sequence[Float[Tensor, "_ width"]]) -> Float[Tensor, "sample block"]:
        """Returns the vector of each sample; one does not depend on the others.

        Args:
            modality: One of its modalities.
            embedded: What `embed` returned for each sample.
        """
        ...


def block_widths(backbone: Backbone) -> dict[str, int]:
    """Returns how many numbers the block of each modality has.

    Args:
        backbone: Any backbone.
    """
    if isinstance(backbone, BlockBackbone):
        return {modality: backbone.blocks[modality] for modality in backbone.modalities}
    return dict.fromkeys(backbone.modalities, 2 * backbone.dim)


def block_of(
    backbone: Backbone, modality: str, embedded: Sequence[Float[Tensor, "_ width"]]
) -> Float[Tensor, "sample block"]:
    """Returns the block of a modality for samples that have it, in main memory and without gradients.

    It is what the backbone says, or else the mean of the embedded tokens and the standard deviation of each coordinate
    over them: a mean alone cannot tell two things from twice the thing between them.

    Args:
        backbone: Any backbone.
        modality: One of its modalities.
        embedded: What `embed` returned for each sample.
    """
    width = block_widths(backbone)[modality]
    blocks = [torch.empty(0, width)]
    with torch.no_grad():
        for start in range(0, len(embedded), _AT_ONCE):
            chunk = embedded[start : start + _AT_ONCE]
            if isinstance(backbone, BlockBackbone):
                blocks.append(backbone.block(modality, chunk).cpu())
            else:
                blocks.append(torch.stack([torch.cat(_moments(tokens)) for tokens in chunk]))
    return torch.cat(blocks)


def _moments(tokens: Float[Tensor, "token width"]) -> tuple[Float[Tensor, " width"], Float[Tensor, " width"]]:
    return tokens.mean(dim=0), tokens.std(dim=0, correction=0)
