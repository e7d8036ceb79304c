"""The linear discriminant of each block, in closed form from sums.

With class means ``mu_c`` and the shared covariance ``S`` within classes, of standardised coordinates ``z``,

    evidence_c(z) = mu_c' S^-1 z - mu_c' S^-1 mu_c / 2

is the logarithm of ``p(z | c)`` for normal classes, up to what is the same for all. Few samples make ``S`` a bad guess;
*shrinkage* moves it towards a multiple of the identity. Several labels have one discriminant each, between samples that
the label applies to and the others.

Source: Fisher. The Use of Multiple Measurements in Taxonomic Problems. 1936; Friedman. Regularized Discriminant
Analysis. JASA 1989, for shrinkage.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from fedprime.data.sources import Task
from fedprime.models.class_sums import ClassSums

#: What is tried as shrinkage.
SHRINKAGES: tuple[float, ...] = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9)

_STRENGTHS = tuple(2.0**power for power in range(-2, 14))  # samples that frequencies may be smoothed with
_LEAST_DEVIATION = 1e-6  # of a coordinate that is the same for all samples
_MOST_EXPLAINED = 1 - 1e-6  # of the variance along a discriminant, between a label and the rest


@dataclass(frozen=True)
class BlockDiscriminant:
    """Everything that the evidence of a block needs, whatever the shrinkage.

    Attributes:
        moments: Mean and standard deviation of each coordinate over the samples that have the block.
        means: Standardised class means; of several labels, of samples with and then without each.
        spectrum: Eigenvalues of the covariance: within classes; of several labels, over all samples.
        directions: Its eigenvectors, in columns.
        spread: Of several labels, p (1 - p) of each; None for one class.
        num_samples: How many samples have the block.
    """

    moments: Float64[Tensor, "2 width"]
    means: Float64[Tensor, "*group label width"]
    spectrum: Float64[Tensor, " width"]
    directions: Float64[Tensor, "width width"]
    spread: Float64[Tensor, " label"] | None
    num_samples: float

    @classmethod
    def of_sums(cls, sums: ClassSums, block: str, task: Task, mean_strength: float = 1.0) -> "BlockDiscriminant":
        """Makes the discriminant of a block.

        Args:
            sums: Over all samples; at least one has the block.
            mean_strength: A class mean counts as if so many more samples lay at the mean of all; it matters to classes
                with few samples.
        """
        number, sum_of_all = sums.total[block][0], sums.total[block][1:]
        mean = sum_of_all / number
        covariance = sums.second_moments(block) / number - torch.outer(mean, mean)
        deviation = covariance.diagonal().clamp(min=0).sqrt().clamp(min=_LEAST_DEVIATION)
        covariance = covariance / torch.outer(deviation, deviation)
        count, first = sums.count[block][:, None], sums.first[block]
        offsets = (first - count * mean) / deviation  # sums of standardised coordinates
        means, spread = offsets / (count + mean_strength).clamp(min=1e-12), None
        if task == "one_class":
            # Between classes: sum over classes of n_c mu_c mu_c', with the means as they are.
            covariance = covariance - offsets.T @ (offsets / count.clamp(min=1)) / number
        else:
            without = -offsets / (number - count + mean_strength).clamp(min=1e-12)
            means = torch.stack([means, without])
            share = count[:, 0] / number
            spread = share * (1 - share)
        spectrum, directions = torch.linalg.eigh((covariance + covariance.T) / 2)
        return cls(torch.stack([mean, deviation]), means, spectrum.clamp(min=0), directions, spread, float(number))

    def evidence(self, shrinkage: float) -> tuple[Float64[Tensor, "label width"], Float64[Tensor, " label"]]:
        """Returns weight and bias of the evidence for each class or label.

        Args:
            shrinkage: From 0, the covariance as it is, to 1, a multiple of the identity.
        """
        # Where all samples of a class are alike, no evidence would be too much. One of n might have been another one:
        # coordinates have a variance of 1 over all, and within classes no less than an n-th of it.
        level = max(float(self.spectrum.mean()), 1 / self.num_samples)
        inverse = 1 / ((1 - shrinkage) * self.spectrum + shrinkage * level).clamp(min=1e-12)
        if self.spread is None:
            weight = self.means @ self.directions * inverse @ self.directions.T
            return weight, -0.5 * (weight * self.means).sum(dim=1)
        with_label, without = self.means
        difference = with_label - without
        weight = difference @ self.directions * inverse @ self.directions.T
        # From the covariance of all samples to that within a label and the rest, by Sherman and Morrison; what lies
        # between them is shrunk with it, or shrinkage would leave less within than nothing.
        explained = ((1 - shrinkage) * self.spread * (weight * difference).sum(dim=1)).clamp(max=_MOST_EXPLAINED)
        weight = weight / (1 - explained)[:, None]
        return weight, -0.5 * (weight * (with_label + without)).sum(dim=1)


def log_frequencies(
    counts: Float64[Tensor, " label"],
    num_samples: int | float,
    task: Task,
    shared: Sequence[float] | Tensor | None = None,
) -> Float64[Tensor, " label"]:
    """Returns the logarithm of smoothed label frequencies; of several labels, their log-odds.

    Args:
        counts: Samples of each class, or that each label applies to.
        shared: Frequencies that the samples are smoothed towards, as if one more sample had them; equal ones if None.

    >>> log_frequencies(torch.tensor([3.0, 0.0], dtype=torch.float64), 3, "one_class").exp().round(decimals=9).tolist()
    [0.875, 0.125]
    """
    if shared is None:
        shared = torch.full_like(counts, 1 / len(counts) if task == "one_class" else 0.5)
    frequencies = (counts + torch.as_tensor(shared, dtype=torch.float64)) / (num_samples + 1)
    return frequencies.log() if task == "one_class" else frequencies.logit()


def own_log_frequencies(
    counts: Float64[Tensor, " label"],
    num_samples: int | float,
    task: Task,
    shared: Float64[Tensor, " label"],
) -> Float64[Tensor, " label"]:
    """Returns the logarithm of a client's own label frequencies; of several labels, their log-odds.

    A few samples say little of frequencies, less the more labels there are. How much they are smoothed towards the
    shared frequencies is told by the samples themselves: for each strength (as if so many more samples had the shared
    frequencies), how likely these counts are of a client whose frequencies lie around the shared ones that closely.
    The frequencies are the mean over strengths by that likelihood. Nobody else needs to be asked.

    Source: empirical Bayes with a Dirichlet prior, or a beta for each of several labels; Good. The Estimation of
        Probabilities. 1965.

    Args:
        num_samples: All samples of the client.
        shared: Frequencies over all clients, none of them 0.

    >>> shared = torch.tensor([0.5, 0.5], dtype=torch.float64)
    >>> counts = torch.tensor([[26.0, 24.0], [50.0, 0.0]], dtype=torch.float64)
    >>> [own_log_frequencies(own, 50, "one_class", shared).exp()[0].item() for own in counts]  # doctest: +ELLIPSIS
    [0.50..., 0.99...]
    """
    strengths = torch.tensor(_STRENGTHS, dtype=torch.float64)[:, None]
    around, known = strengths * shared, counts + strengths * shared
    likely = (known.lgamma() - around.lgamma()).sum(dim=1)
    of_all = (strengths.lgamma() - (strengths + num_samples).lgamma())[:, 0]
    if task == "one_class":
        likely = likely + of_all
    else:
        without = strengths * (1 - shared)
        likely = likely + ((without + num_samples - counts).lgamma() - without.lgamma()).sum(dim=1)
        likely = likely + len(counts) * of_all
    frequencies = (likely.softmax(dim=0)[:, None] * known / (num_samples + strengths)).sum(dim=0)
    return frequencies.log() if task == "one_class" else frequencies.logit()


def frequencies_of(log_prior: Float[Tensor, " label"], task: Task) -> Float64[Tensor, " label"]:
    """Returns the label frequencies whose logarithms, or log-odds, are given.

    Args:
        log_prior: As from `log_frequencies`.
    """
    return log_prior.double().softmax(dim=0) if task == "one_class" else log_prior.double().sigmoid()


def label_counts(
    labels: Int[np.ndarray, " sample"] | Float[np.ndarray, "sample label"], num_labels: int
) -> Float64[Tensor, " label"]:
    """Returns how many samples each class has, or each label applies to.

    >>> label_counts(np.array([0, 2, 2]), 3).tolist()
    [1.0, 0.0, 2.0]
    """
    if labels.ndim == 1:
        return torch.from_numpy(np.bincount(labels, minlength=num_labels)).double()
    return torch.from_numpy((labels > 0).sum(axis=0)).double()
