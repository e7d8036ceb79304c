"""Layers of a backbone one by one: prompts that enter before a later layer, and the frozen states that they meet there.

Below the layer that prompts enter before, nothing is trained: what a sample has come to there depends on nothing but
itself and what is present of it, is computed once, and a training step costs the layers above alone.

Source: Liu et al. Late Prompt Tuning. Findings of EMNLP 2022.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.backbones.backbone import Backbone, BackboneError, Embedded, Tokens


@runtime_checkable
class LayeredBackbone(Backbone, Protocol):
    """A backbone whose transformer can be run in two parts; its `encode` goes on at the layer that `Tokens` name.

    Attributes:
        num_layers: Layers of its transformer; of several, those of the one with the fewest.
    """

    num_layers: int

    def advance(self, tokens: Tokens, layer: int) -> Tokens:
        """Runs the layers below one, and returns the tokens that go into it."""
        ...


def check_layers(backbone: Backbone, first: int, depth: int) -> None:
    """Refuses layers that prompts cannot enter before.

    Args:
        first: The layer that prompts enter before, from 0.
        depth: How many layers from there on have prompts of their own.

    Raises:
        BackboneError: If there are no such layers, or the backbone cannot be run in parts.
    """
    if (first, depth) == (0, 1):
        return
    asked = f"prompt_layer is {first} and deep_prompts {depth}"
    if not isinstance(backbone, LayeredBackbone):
        raise BackboneError(
            f"{asked}; the backbone {backbone.reference!r} ({type(backbone).__name__}) runs its layers in one piece, "
            "so prompts enter before the first alone: set 0 and 1"
        )
    if not (0 <= first < backbone.num_layers and 1 <= depth <= backbone.num_layers - first):
        raise BackboneError(
            f"{asked}; the backbone {backbone.reference!r} has {backbone.num_layers} layers: prompt_layer can be 0 to "
            f"{backbone.num_layers - 1}, and deep_prompts 1 to {backbone.num_layers} less prompt_layer"
        )


@torch.no_grad()
def states_before(backbone: Backbone, embedded: Embedded, layer: int) -> list[Float[Tensor, "_ dim"]]:
    """Returns what the tokens of each sample have come to before a layer, in main memory.

    Each sample is run alone, so that not even the last bit depends on what stands beside it.

    Args:
        backbone: The frozen model, one that `check_layers` lets pass.
    """
    if not isinstance(backbone, LayeredBackbone):
        raise TypeError(f"{type(backbone).__name__} cannot be run in parts")
    num_samples = len(next(iter(embedded.values())))
    alone = ({modality: [parts[row]] for modality, parts in embedded.items()} for row in range(num_samples))
    return [backbone.advance(backbone.assemble(sample), layer).values[0].cpu() for sample in alone]


def tokens_before(
    backbone: Backbone, embedded: Embedded, layer: int, states: Sequence[Float[Tensor, "_ dim"]]
) -> Tokens:
    """Joins the states of a batch as its embeddings would be joined."""
    tokens = backbone.assemble(embedded)
    # Of each sample, the tokens that are there stand in the order in which they stand in a batch of it alone.
    there = tokens.mask[:, :, None].expand_as(tokens.values)
    values = torch.zeros_like(tokens.values).masked_scatter(there, torch.cat(list(states)).to(tokens.values))
    return replace(tokens, values=values, layer=layer)
