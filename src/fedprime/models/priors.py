"""Label frequencies to predict with: those of training, equal ones, given ones, or estimated from unlabelled samples.

Evidence holds nobody's label mix, so whoever predicts says which mix the samples come from.

Source: Saerens, Latinne, Decaestecker. Adjusting the Outputs of a Classifier to New a Priori Probabilities: A Simple
Procedure. Neural Computation 2002, for the estimate.
"""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Literal, cast

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from fedprime.data.sources import Task
from fedprime.models.discriminant import frequencies_of, log_frequencies
from fedprime.reproducibility.errors import FedprimeError, nearest_name

#: Label frequencies to predict with: of training, equal ones, estimated from what is predicted, or given by label.
Prior = Literal["train", "uniform", "estimate"] | Mapping[Any, int | float]

_WORDS = ("train", "uniform", "estimate")
_MOST_STEPS = 1000
_SETTLED = 1e-9  # of a frequency

_MOST = 1e15  # samples of a class: sums of them are finite


class PriorError(FedprimeError):
    """Label frequencies that cannot be used, or a model that cannot use any; in one line."""


def check_prior(prior: object) -> None:
    """Raises a `PriorError` if something is no prior; its labels are not looked at."""
    expected = f"expected {', '.join(_WORDS)}, or a number for each label"
    if isinstance(prior, str):
        if prior not in _WORDS:
            raise PriorError(f"prior: found {prior!r}; {expected}{nearest_name(prior, _WORDS)}")
    elif not isinstance(prior, Mapping):
        raise PriorError(f"prior: found {type(prior).__name__}; {expected}, as {{label: number}}")
    else:
        for label, own in cast("Mapping[object, object]", prior).items():
            if not isinstance(own, Real):
                raise PriorError(f"prior: found {own!r} for {label!r}; expected a number")


def uniform_log_prior(num_labels: int, task: Task) -> Float64[Tensor, " label"]:
    """Returns the prior that prefers no label."""
    return log_frequencies(torch.zeros(num_labels, dtype=torch.float64), 0, task)


def given_log_prior(
    frequencies: Mapping[str, int | float], label_names: Sequence[str], task: Task
) -> Float64[Tensor, " label"]:
    """Returns the prior of given label frequencies.

    Args:
        frequencies: By label, how frequent it is, or of one class also how many samples there are: only ratios count.
        label_names: All labels of the model; every one has to be among them.

    Raises:
        PriorError: If a label is unknown or lacks, or a frequency cannot be one.
    """
    unknown = [name for name in frequencies if name not in label_names]
    if unknown:
        raise PriorError(
            f"prior: {unknown[0]!r} is no label of the model: {', '.join(label_names)}"
            f"{nearest_name(str(unknown[0]), label_names)}"
        )
    lacking = [name for name in label_names if name not in frequencies]
    if lacking:
        raise PriorError(f"prior: it says nothing of {', '.join(lacking)}; give every label a number above 0")
    values = torch.tensor([min(frequencies[name], _MOST) for name in label_names], dtype=torch.float64)
    limit = _MOST if task == "one_class" else 1.0
    for name, value in zip(label_names, values.tolist(), strict=True):
        if not 0 < value < limit:
            allowed = "a number above 0 and below 1e15" if task == "one_class" else "a share above 0 and below 1"
            raise PriorError(f"prior: found {value:g} for {name!r}; expected {allowed}")
    return (values / values.sum()).log() if task == "one_class" else values.logit()


def estimated_log_prior(
    evidence: Float[Tensor, "sample label"], start: Float[Tensor, " label"], task: Task
) -> Float64[Tensor, " label"]:
    """Returns the prior under which unlabelled samples are likeliest, by expectation maximisation.

    Args:
        evidence: What is known of each sample, without a prior; at least one.
        start: The prior to begin with, which counts as one more sample.

    Raises:
        PriorError: If there is no sample.
    """
    if not len(evidence):
        raise PriorError("prior: there is no sample to estimate label frequencies from; name another prior")
    smoothing = frequencies_of(start, task)
    log_prior = start.double()
    frequencies = smoothing
    for _ in range(_MOST_STEPS):
        scores = evidence.double() + log_prior
        likely = scores.softmax(dim=1) if task == "one_class" else scores.sigmoid()
        log_prior = log_frequencies(likely.sum(dim=0), len(evidence), task, smoothing)
        before, frequencies = frequencies, frequencies_of(log_prior, task)
        if (frequencies - before).abs().max() < _SETTLED:
            break
    return log_prior
