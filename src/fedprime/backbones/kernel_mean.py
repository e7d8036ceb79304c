"""The kernel mean of tokens: which tokens there are and how many of each, which their mean and spread do not tell.

Patches of a picture that are embedded one by one, without a look at each other, are like words of a text in a bag. Two
bags are alike if their tokens are, each compared with each by a Gaussian kernel; random Fourier features make of that
the distance between two short vectors, the means over tokens of cosines.

Sources: Rahimi and Recht. Random Features for Large-Scale Kernel Machines. NeurIPS 2007; Muandet et al. Kernel Mean
Embedding of Distributions. Foundations and Trends in Machine Learning 2017; Csurka et al. Visual Categorization with
Bags of Keypoints. ECCV Workshops 2004.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.reproducibility.seeding import torch_stream

#: Numbers of a kernel mean.
NUM_FEATURES = 128

_SHARPNESS = 0.7  # one divided by the width of the kernel, where tokens are about one apart in the mean square
_LEAST_SPREAD = 0.01  # of a coordinate, as a share of that of all


class KernelMean:
    """Random Fourier features, drawn once and for all, of tokens that are standardised by some known ones."""

    def __init__(self, known: Float[Tensor, "token width"]) -> None:
        """Draws the features.

        Args:
            known: Tokens that tell where tokens of this kind lie and how far they spread; at least two.
        """
        width = known.shape[1]
        rng = torch_stream(0, "kernel mean", width)
        spread = known.std(dim=0)
        spread = spread.clamp(min=_LEAST_SPREAD * float(spread.mean()))
        directions = torch.randn(width, NUM_FEATURES, generator=rng) * _SHARPNESS * width**-0.5
        self._centre = known.mean(dim=0)
        self._directions = directions / spread[:, None]
        self._phases = 2 * math.pi * torch.rand(NUM_FEATURES, generator=rng)

    def of(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " feature"]:
        """Returns the kernel mean of some tokens, whatever their order."""
        return torch.cos((tokens - self._centre) @ self._directions + self._phases).mean(dim=0)
