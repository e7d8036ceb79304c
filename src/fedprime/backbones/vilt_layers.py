"""ViLT's transformer layers, run on packed tokens and for the rows that are read alone."""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.models.vilt.modeling_vilt import ViltLayer

from fedprime.backbones.attention import attend
from fedprime.backbones.backbone import Tokens
from fedprime.backbones.packing import Group, pack

__all__ = ["run_layers"]


def run_layers(layers: Iterable[nn.Module], layernorm: nn.Module, tokens: Tokens) -> Float[Tensor, "sample dim"]:
    """Runs a transformer and returns the normalised output of each sample's summary token.

    The weights are run here rather than by the library's own forward, which has no fast attention for ViLT and
    computes every row of the last layer although one is read, and padding too. A test holds both equal.

    The layers compute with numbers of the type that their weights have; what goes in and what comes out is float32.

    Args:
        layers: Layers of the type `ViltLayer`, at least one.
        layernorm: What follows them.
        tokens: Prompts and input tokens.
    """
    packed = pack(tokens)
    *earlier, last = cast("list[ViltLayer]", list(layers))
    dtype = last.output.dense.weight.dtype
    rows = tokens.values.flatten(0, 1).index_select(0, packed.rows).to(dtype)
    for layer in earlier:
        rows = _run_layer(layer, rows, rows, packed.groups)
    summaries = _run_layer(last, rows.index_select(0, packed.summaries), rows, packed.groups)
    return layernorm(summaries.to(tokens.values.dtype)).index_select(0, packed.place)


def _run_layer(
    layer: ViltLayer, read: Float[Tensor, "read dim"], rows: Float[Tensor, "row dim"], groups: Sequence[Group]
) -> Float[Tensor, "read dim"]:
    """Returns a layer's output for the rows that are read: all of them, or one of each sample."""
    attention = layer.attention.attention
    normed = layer.layernorm_before(rows)
    queries = attention.query(normed if read is rows else layer.layernorm_before(read))
    keys, values = attention.key(normed), attention.value(normed)
    heads = (attention.num_attention_heads, attention.attention_head_size)
    sizes = [group.num_samples * group.length for group in groups]
    read_sizes = sizes if read is rows else [group.num_samples for group in groups]
    mixed = [
        attend(*(part.view(group.num_samples, -1, *heads).transpose(1, 2) for part in parts), mask=group.mask)
        .transpose(1, 2)
        .reshape(len(parts[0]), -1)
        for group, *parts in zip(groups, queries.split(read_sizes), keys.split(sizes), values.split(sizes), strict=True)
    ]
    read = read + layer.attention.output.dense(torch.cat(mixed))
    return read + layer.output.dense(layer.intermediate(layer.layernorm_after(read)))
