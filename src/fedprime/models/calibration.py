"""How much weight each block's evidence gets: one temperature for each, and which shrinkage, by validation likelihood.

Evidence is too sure of itself: means and covariances are guesses from few samples, features are not normal, and blocks
of one sample repeat each other. So

    logit_c = log prior_c + sum over blocks b of  t_b · evidence_b,c

with the temperatures ``t_b`` of highest likelihood on samples that nothing was fitted to. The likelihood is concave in
them, and sums over clients: each sends its value, gradient and second derivatives at a few places, and the server takes
Newton's step.

Where every one of few samples is told right, nothing would be too sure. So one more sample counts, which has each label
alike: with n samples, labels are taken to be wrong by 1 / (n + 1).

Source: Guo et al. On Calibration of Modern Neural Networks. ICML 2017, for one temperature; Platt. Probabilistic
    Outputs for Support Vector Machines. 1999, for targets that are never quite 0 or 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from fedprime.data.sources import Task

#: What is tried as the temperature of a block by itself.
TEMPERATURES: tuple[float, ...] = (0.02, 0.04, 0.07, 0.12, 0.2, 0.3, 0.45, 0.65, 0.9, 1.2)
#: A block's temperature where nothing says which is the likeliest.
USUAL_TEMPERATURE = 0.3
#: What all temperatures are multiplied by, to look for the place to take Newton's step from.
SCALES: tuple[float, ...] = (0.25, 0.4, 0.6, 0.8, 1.0, 1.25)

_LEAST, _MOST = 0.2, 3.0  # what a step may multiply a temperature by
_DAMPING = 1e-3  # of a sample's second derivatives, so that what hardly matters hardly moves


def as_target(labels: Tensor, num_outputs: int, task: Task) -> Float64[Tensor, "sample output"]:
    """Returns the probability of each label: 1 where it applies, else 0."""
    target = torch.nn.functional.one_hot(labels.long(), num_outputs) if task == "one_class" else labels > 0
    return target.double()


def flat_target(num_samples: int, num_outputs: int, task: Task) -> Float64[Tensor, "sample output"]:
    """Returns the probability of each label where nothing is known of it: all classes alike, or half."""
    each = 1 / num_outputs if task == "one_class" else 0.5
    return torch.full((num_samples, num_outputs), each, dtype=torch.float64)


def with_doubt(
    known: Float64[Tensor, "*shape"], flat: Float64[Tensor, "*shape"], num_samples: int | float
) -> Float64[Tensor, "*shape"]:
    """Returns a sum over samples as if one more had counted, of which nothing is known.

    Args:
        known: The sum for the labels of samples.
        flat: That for labels of which nothing is known.
    """
    doubt = 1 / (num_samples + 1)
    return (1 - doubt) * known + doubt * flat


def log_likelihoods(
    logits: Float[Tensor, "*batch sample output"], target: Float[Tensor, "*target sample output"], task: Task
) -> Float[Tensor, "*both sample"]:
    """Returns the logarithm of the probability of each sample's label, or of all its labels.

    Args:
        logits: Evidence and the logarithm of a prior.
        target: How probable each label is; of uncertain labels, the mean over them is returned. Axes in front are
            joined with those of the scores.
    """
    if task == "one_class":
        return (target * logits.log_softmax(dim=-1)).sum(dim=-1)
    sigmoid = torch.nn.functional.logsigmoid
    return (target * sigmoid(logits) + (1 - target) * sigmoid(-logits)).sum(dim=-1)


@dataclass(frozen=True)
class Curvature:
    """The likelihood around a place: summed over samples.

    Attributes:
        value: Sum of log-likelihoods, for each target.
        gradient: Its derivatives by the temperatures.
        hessian: Its second derivatives, which are the same for any target.
    """

    value: Float64[Tensor, "*target"]
    gradient: Float64[Tensor, "*target block"]
    hessian: Float64[Tensor, "block block"]


def curvature(
    evidence: Float64[Tensor, "sample block output"],
    log_prior: Float64[Tensor, " output"],
    target: Float64[Tensor, "*target sample output"],
    temperatures: Float64[Tensor, " block"],
    task: Task,
) -> Curvature:
    """Returns value, gradient and second derivatives of the log-likelihood of samples.

    Args:
        evidence: What each block of each sample says; zeros where it is absent.
        target: How probable each label of a sample is; several targets cost little more than one.
    """
    logits = torch.einsum("nbc,b->nc", evidence, temperatures) + log_prior
    value = log_likelihoods(logits, target, task).sum(dim=-1)
    if task == "one_class":
        probabilities = logits.softmax(dim=1)
        mean = torch.einsum("nbc,nc->nb", evidence, probabilities)
        hessian = mean.T @ mean - torch.einsum("nbc,nc,ndc->bd", evidence, probabilities, evidence)
    else:
        probabilities = logits.sigmoid()
        hessian = -torch.einsum("nbc,nc,ndc->bd", evidence, probabilities * (1 - probabilities), evidence)
    gradient = torch.einsum("nbc,...nc->...b", evidence, target - probabilities)
    return Curvature(value, gradient, hessian)


def best_temperatures(
    places: Float64[Tensor, "place block"], found: Sequence[Curvature], num_samples: int | float
) -> Float64[Tensor, " block"]:
    """Returns temperatures that are likely better than the best of some: Newton's step from there, held in bounds.

    Args:
        found: What the likelihood is around each.
        num_samples: How many samples that was summed over.
    """
    best = max(range(len(found)), key=lambda index: float(found[index].value))
    start, around = places[best], found[best]
    damping = _DAMPING * max(1.0, num_samples) * torch.eye(len(start), dtype=torch.float64)
    step = torch.linalg.solve(damping - around.hessian, around.gradient)
    return torch.minimum(torch.maximum(start + step, _LEAST * start), _MOST * start)
