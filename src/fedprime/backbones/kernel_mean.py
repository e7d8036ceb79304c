"""The kernel mean of tokens: which tokens there are and how many of each, which their mean and spread do not tell.

Patches of a picture that are embedded one by one, without a look at each other, and frames of a sound are like words of
a text in a bag. Two bags are alike if their tokens are, each compared with each by a Gaussian kernel; random Fourier
features make of that the distance between two short vectors, the means over tokens of cosines.

Sources: Rahimi and Recht. Random Features for Large-Scale Kernel Machines. NeurIPS 2007; Muandet et al. Kernel Mean
Embedding of Distributions. Foundations and Trends in Machine Learning 2017; Csurka et al. Visual Categorization with
Bags of Keypoints. ECCV Workshops 2004.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.reproducibility.seeding import torch_stream

_LEAST_SPREAD = 0.01  # of a coordinate, as a share of that of all


class KernelMean:
    """Random Fourier features, drawn once and for all, of tokens whose place and spread are known."""

    def __init__(
        self, centre: Float[Tensor, " width"], spread: Float[Tensor, " width"], num_features: int, sharpness: float
    ) -> None:
        """Draws the features.

        Args:
            centre: Where tokens lie.
            spread: How far each coordinate spreads.
            num_features: Numbers of a kernel mean.
            sharpness: One divided by the width of the kernel, where tokens are about one apart in the mean square.
        """
        width = len(centre)
        rng = torch_stream(0, "kernel mean", width)
        directions = torch.randn(width, num_features, generator=rng) * sharpness * width**-0.5
        self._centre = centre
        self._directions = directions / spread[:, None]
        self._phases = 2 * math.pi * torch.rand(num_features, generator=rng)

    @classmethod
    def around(cls, known: Float[Tensor, "token width"], num_features: int, sharpness: float) -> "KernelMean":
        """Returns those of tokens like some known ones; at least two."""
        spread = known.std(dim=0)
        return cls(known.mean(dim=0), spread.clamp(min=_LEAST_SPREAD * float(spread.mean())), num_features, sharpness)

    def of(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, " feature"]:
        """Returns the kernel mean of some tokens, whatever their order."""
        return torch.cos((tokens - self._centre) @ self._directions + self._phases).mean(dim=0)
