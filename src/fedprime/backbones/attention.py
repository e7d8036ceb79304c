"""Attention in the form that measures fastest on the device at hand."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


def attend(
    queries: Float[Tensor, "sample head read width"],
    keys: Float[Tensor, "sample head row width"],
    values: Float[Tensor, "sample head row width"],
    mask: Bool[Tensor, "sample 1 1 row"] | None,
) -> Float[Tensor, "sample head read width"]:
    """Returns ``softmax(queries keys^T / sqrt(width)) values`` for every sample and head.

    On a CPU the fused kernel takes twice as long in bfloat16 as the three steps it is made of, most of it in its
    backward pass; in float32, and on a GPU, it is the faster one (`benchmarks/attention_speed.py`).

    Args:
        mask: True where a row may be looked at, at least one of each sample; None where all may.
    """
    if queries.device.type != "cpu" or queries.dtype != torch.bfloat16:
        return nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    return attend_in_steps(queries, keys, values, mask)


def attend_in_steps(
    queries: Float[Tensor, "sample head read width"],
    keys: Float[Tensor, "sample head row width"],
    values: Float[Tensor, "sample head row width"],
    mask: Bool[Tensor, "sample 1 1 row"] | None,
) -> Float[Tensor, "sample head read width"]:
    """Returns the same as `attend`, by two matrix products and a softmax."""
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
    if mask is not None:
        scores = scores + torch.zeros_like(mask, dtype=scores.dtype).masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1) @ values
