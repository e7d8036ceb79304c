"""ViLT's transformer layers, run on packed tokens and for the rows that are read alone."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fedprime.backbones.attention import attend
from fedprime.backbones.backbone import Tokens
from fedprime.backbones.packing import Group, Packed, pack
from fedprime.backbones.transformer_layer import LayerParts


def run_layers(
    layers: Iterable[nn.Module], layernorm: nn.Module, batches: Sequence[Tokens], *, checkpointing: bool = False
) -> list[Float[Tensor, "sample dim"]]:
    """Runs a transformer from the layer that the tokens name, and returns each sample's normalised summary token.

    The weights are run here rather than by the library's own forward, which has no fast attention for ViLT and
    computes every row of the last layer although one is read, and padding too. A test holds both equal.

    Several batches are run as one, so that what a call costs beside its rows is paid once: a row is computed from
    itself, and in attention from the rows of its sample.

    The layers compute with numbers of the type that their weights have; what goes in and what comes out is float32.

    Args:
        layers: All layers, as `LayerParts` says; at least one is run.
        layernorm: What follows them.
        batches: Prompts and input tokens of batches that go into the same layer, with prompts of equally many layers.
        checkpointing: Whether only what goes into a layer is kept for gradients, and the layer is computed again.

    Source of checkpointing: Chen et al. Training Deep Nets with Sublinear Memory Cost. 2016.
    """
    packed = pack(*batches)
    own = cast("list[LayerParts]", list(layers)[batches[0].layer :])
    rows = _packed_rows(batches, packed, own)
    swapped = _prompt_places(batches, packed) if batches[0].deep else None
    for number, layer in enumerate(own):
        if swapped is not None and 0 < number <= len(batches[0].deep):
            places, sources = swapped
            prompts = _joined([tokens.deep[number - 1].flatten(0, 1) for tokens in batches]).index_select(0, sources)
            rows = rows.index_copy(0, places, prompts.to(rows.dtype))
        read = packed.summaries if layer is own[-1] else None
        if checkpointing and rows.requires_grad and read is None:
            # Nothing in a layer is random.
            rows = checkpoint(_run_layer, layer, rows, packed.groups, use_reentrant=False, preserve_rng_state=False)
        else:
            rows = _run_layer(layer, rows, packed.groups, read)
    features = layernorm(rows.to(batches[0].values.dtype)).index_select(0, packed.place)
    return list(features.split([len(tokens.mask) for tokens in batches])) if len(batches) > 1 else [features]


def advance_layers(layers: Iterable[nn.Module], tokens: Tokens, layer: int) -> Tokens:
    """Runs the layers from the one that the tokens name up to another, and returns the tokens that go into that.

    Args:
        layer: The layer that is not run any more.
    """
    own = cast("list[LayerParts]", list(layers)[tokens.layer : layer])
    if not own:
        return replace(tokens, layer=layer)
    packed = pack(tokens)
    rows = _packed_rows([tokens], packed, own)
    for each in own:
        rows = _run_layer(each, rows, packed.groups)
    # Padding repeats a token of its sample; each token comes from its own row alone.
    there = torch.cat(
        [
            torch.ones(group.num_samples * group.length, dtype=torch.bool, device=rows.device)
            if group.mask is None
            else group.mask.flatten()
            for group in packed.groups
        ]
    )
    values = tokens.values.flatten(0, 1).index_copy(0, packed.rows[there], rows[there].to(tokens.values.dtype))
    return replace(tokens, values=values.view_as(tokens.values), layer=layer)


def _packed_rows(batches: Sequence[Tokens], packed: Packed, layers: Sequence[LayerParts]) -> Float[Tensor, "row dim"]:
    dtype = layers[0].output.dense.weight.dtype
    return _joined([tokens.values.flatten(0, 1) for tokens in batches]).index_select(0, packed.rows).to(dtype)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]


def _prompt_places(batches: Sequence[Tokens], packed: Packed) -> tuple[Int[Tensor, " prompt"], Int[Tensor, " prompt"]]:
    """Returns the packed rows of prompts, and which prompt each is: they are the first tokens of every sample."""
    prompt_of, first = [], 0
    for tokens in batches:
        num_samples, num_prompts, _ = tokens.deep[0].shape
        own = tokens.mask.new_full(tokens.mask.shape, -1, dtype=torch.int64)
        own[:, :num_prompts] = torch.arange(first, first + num_samples * num_prompts).view(num_samples, num_prompts)
        prompt_of.append(own.flatten())
        first += num_samples * num_prompts
    of_row = _joined(prompt_of)[packed.rows]
    places = (of_row >= 0).nonzero()[:, 0]
    return places, of_row[places]


def _run_layer(
    layer: LayerParts,
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
