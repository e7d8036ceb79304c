"""The kernel mean: distances are those of the kernel, and it tells what mean and spread do not."""

import numpy as np
import torch

from fedprime.backbones.kernel_mean import KernelMean
from fedprime.reproducibility.seeding import torch_stream

WIDTH = 6
SHARPNESS, NUM_FEATURES = 0.7, 128


def tokens(number: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(number, WIDTH, generator=torch_stream(seed, "tokens"))


def test_products_of_tokens_are_those_of_a_gaussian_kernel_of_standardised_tokens():
    known = 3 * tokens(500) + 1
    some = 3 * tokens(40, 1) + 1
    kernel_mean = KernelMean.around(known, NUM_FEATURES, SHARPNESS)
    features = torch.stack([kernel_mean.of(token[None]) for token in some]).double().numpy()
    standardised = ((some - known.mean(0)) / known.std(0)).double().numpy()
    apart = ((standardised[:, None] - standardised) ** 2).sum(axis=2)
    expected = np.exp(-0.5 * SHARPNESS**2 / WIDTH * apart)
    found = 2 / NUM_FEATURES * features @ features.T
    off_diagonal = ~np.eye(40, dtype=bool)
    assert np.abs(found - expected)[off_diagonal].mean() < 1.2 * NUM_FEATURES**-0.5
    assert np.corrcoef(found[off_diagonal], expected[off_diagonal])[0, 1] > 0.6


def test_a_kernel_mean_is_a_mean_over_tokens_in_whatever_order():
    kernel_mean, some = KernelMean.around(tokens(50), NUM_FEATURES, SHARPNESS), tokens(7, 1)
    each = torch.stack([kernel_mean.of(token[None]) for token in some])
    assert torch.allclose(kernel_mean.of(some), each.mean(dim=0), atol=1e-6)
    assert torch.allclose(kernel_mean.of(some.flip(0)), kernel_mean.of(some), atol=1e-6)


def test_two_bags_of_the_same_mean_and_spread_are_told_apart():
    one, two = torch.zeros(4, WIDTH), torch.zeros(4, WIDTH)
    one[:, 0] = torch.tensor([-3.0, -3.0, 3.0, 3.0])
    two[:, 0] = torch.tensor([-(18.0**0.5), 0.0, 0.0, 18.0**0.5])
    assert torch.allclose(one.mean(0), two.mean(0))
    assert torch.allclose(one.std(0), two.std(0))
    kernel_mean = KernelMean.around(tokens(50), NUM_FEATURES, SHARPNESS)
    assert (kernel_mean.of(one) - kernel_mean.of(two)).abs().max() > 0.01


def test_features_are_the_same_each_time_and_a_coordinate_that_never_changes_does_no_harm():
    known = tokens(50)
    known[:, 2] = 1.0
    first, second = (
        KernelMean.around(known, NUM_FEATURES, SHARPNESS).of(tokens(5, 1)),
        KernelMean.around(known, NUM_FEATURES, SHARPNESS).of(tokens(5, 1)),
    )
    assert torch.equal(first, second)
    assert first.isfinite().all()
