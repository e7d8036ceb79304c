"""ViLT's transformer layers, run on packed tokens and for the rows that are read alone."""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.models.vilt.modeling_vilt import ViltLayer

from fedprime.backbones.attention import attend
from fedprime.backbones.backbone import Tokens
from fedprime.backbones.packing import Group, pack

__all__ = ["run_layers"]


def run_layers(
    layers: Iterable[nn.Module], layernorm: nn.Module, tokens: Tokens, *, checkpointing: bool = False
) -> Float[Tensor, "sample dim"]:
    """Runs a transformer and returns the normalised output of each sample's summary token.

    The weights are run here rather than by the library's own forward, which has no fast attention for ViLT and
    computes every row of the last layer although one is read, and padding too. A test holds both equal.

    The layers compute with numbers of the type that their weights have; what goes in and what comes out is float32.

    Args:
        layers: Layers of the type `ViltLayer`, at least one.
        layernorm: What follows them.
        tokens: Prompts and input tokens.
        checkpointing: Whether only what goes into a layer is kept for gradients, and the layer is computed again.

    Source of checkpointing: Chen et al. Training Deep Nets with Sublinear Memory Cost. 2016.
    """
    packed = pack(tokens)
    *earlier, last = cast("list[ViltLayer]", list(layers))
    dtype = last.output.dense.weight.dtype
    rows = tokens.values.flatten(0, 1).index_select(0, packed.rows).to(dtype)
    for layer in earlier:
        if checkpointing and rows.requires_grad:
            # Nothing in a layer is random.
            rows = checkpoint(_run_layer, layer, rows, packed.groups, use_reentrant=False, preserve_rng_state=False)
        else:
            rows = _run_layer(layer, rows, packed.groups)
    summaries = _run_layer(last, rows, packed.groups, packed.summaries)
    return layernorm(summaries.to(tokens.values.dtype)).index_select(0, packed.place)


def _run_layer(
    layer: ViltLayer,
    rows: Float[Tensor, "row dim"],
    groups: Sequence[Group],
    summaries: Int[Tensor, " sample"] | None = None,
) -> Float[Tensor, "read dim"]:
    """Returns a layer's output for the rows that are read: one of each sample, or all where none are named."""
    attention = layer.attention.attention
    normed = layer.layernorm_before(rows)
    read = rows if summaries is None else rows.index_select(0, summaries)
    queries = attention.query(normed if summaries is None else layer.layernorm_before(read))
    keys, values = attention.key(normed), attention.value(normed)
    heads = (attention.num_attention_heads, attention.attention_head_size)
    sizes = [group.num_samples * group.length for group in groups]
    read_sizes = sizes if summaries is None else [group.num_samples for group in groups]
    mixed = [
        attend(*(part.view(group.num_samples, -1, *heads).transpose(1, 2) for part in parts), mask=group.mask)
        .transpose(1, 2)
        .reshape(len(parts[0]), -1)
        for group, *parts in zip(groups, queries.split(read_sizes), keys.split(sizes), values.split(sizes), strict=True)
    ]
    read = read + layer.attention.output.dense(torch.cat(mixed))
    return read + layer.output.dense(layer.intermediate(layer.layernorm_after(read)))
