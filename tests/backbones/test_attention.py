"""Attention: every form gives the library's numbers."""

import pytest
import torch

from fedprime.backbones.attention import attend, attend_in_steps
from fedprime.reproducibility.seeding import torch_stream


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("num_read", [1, 7])
def test_attention_in_steps_gives_what_the_fused_kernel_gives_and_the_same_gradients(
    num_read: int, is_masked: bool
) -> None:
    rng = torch_stream(0, "attention")
    queries = torch.randn(3, 2, num_read, 8, generator=rng, requires_grad=True)
    keys, values = (torch.randn(3, 2, 7, 8, generator=rng, requires_grad=True) for _ in range(2))
    mask = torch.rand(3, 1, 1, 7, generator=rng) < 0.6 if is_masked else None
    if mask is not None:
        mask[..., 0] = True
    expected, found = attend(queries, keys, values, mask), attend_in_steps(queries, keys, values, mask)
    assert (found - expected).abs().max() < 1e-6
    weights = torch.randn(expected.shape, generator=rng)
    for one, other in zip(
        torch.autograd.grad((expected * weights).sum(), (queries, keys, values)),
        torch.autograd.grad((found * weights).sum(), (queries, keys, values)),
        strict=True,
    ):
        assert (one - other).abs().max() < 1e-6


def test_in_bfloat16_the_result_is_that_of_float32_to_three_digits_and_masked_rows_have_no_influence() -> None:
    rng = torch_stream(0, "attention")
    queries, keys, values = (torch.randn(2, 2, 9, 8, generator=rng) for _ in range(3))
    mask = torch.ones(2, 1, 1, 9, dtype=torch.bool)
    mask[..., 5:] = False
    expected = attend(queries, keys, values, mask)
    poisoned = values.clone()
    poisoned[:, :, 5:] = 1e6
    found = attend(queries.bfloat16(), keys.bfloat16(), poisoned.bfloat16(), mask)
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).abs().max() < 0.03
