"""Temperatures of highest likelihood, against automatic differentiation and a general optimiser."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from fedprime.data.sources import Task
from fedprime.models.calibration import (
    SCALES,
    as_target,
    best_temperatures,
    curvature,
    flat_target,
    log_likelihoods,
    with_doubt,
)


def drawn(task: Task) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(5)
    evidence = 2 * torch.randn(60, 3, 4, generator=rng, dtype=torch.float64)
    signal = evidence[:, 0] + 0.3 * evidence[:, 1] + torch.randn(60, 4, generator=rng, dtype=torch.float64) * 2
    labels = signal.argmax(dim=1) if task == "one_class" else (signal > 0).float()
    return evidence, torch.tensor([0.1, -0.3, 0.2, 0.0], dtype=torch.float64), as_target(labels, 4, task)


def likelihood(temperatures: Tensor, evidence: Tensor, log_prior: Tensor, target: Tensor, task: Task) -> Tensor:
    return log_likelihoods((evidence * temperatures[:, None]).sum(dim=1) + log_prior, target, task).sum()


def test_the_log_likelihood_of_a_class_by_hand():
    logits = torch.tensor([[0.0, 0.0], [np.log(3.0), 0.0]], dtype=torch.float64)
    found = log_likelihoods(logits, as_target(torch.tensor([1, 0]), 2, "one_class"), "one_class").exp()
    np.testing.assert_allclose(found.numpy(), [0.5, 0.75])


def test_the_log_likelihood_of_several_labels_by_hand():
    logits = torch.tensor([[np.log(3.0), 0.0]], dtype=torch.float64)
    target = as_target(torch.tensor([[0.0, 1.0]]), 2, "several_labels")
    found = log_likelihoods(logits, target, "several_labels").exp()
    np.testing.assert_allclose(found.numpy(), [0.25 * 0.5])


@pytest.mark.parametrize("task", ["one_class", "several_labels"])
def test_derivatives_are_those_of_automatic_differentiation(task: Task):
    evidence, log_prior, target = drawn(task)
    at = torch.tensor([0.7, 0.2, 0.4], dtype=torch.float64)
    found = curvature(evidence, log_prior, target, at, task)

    def function(temperatures: Tensor) -> Tensor:
        return likelihood(temperatures, evidence, log_prior, target, task)

    torch.testing.assert_close(found.value, function(at))
    torch.testing.assert_close(found.gradient, torch.autograd.functional.jacobian(function, at))
    torch.testing.assert_close(found.hessian, torch.autograd.functional.hessian(function, at))


@pytest.mark.parametrize("task", ["one_class", "several_labels"])
def test_two_steps_come_close_to_the_best_temperatures(task: Task):
    evidence, log_prior, target = drawn(task)

    def loss(temperatures: np.ndarray) -> float:
        return -float(likelihood(torch.from_numpy(temperatures), evidence, log_prior, target, task))

    best = minimize(loss, np.full(3, 0.5), bounds=[(0, 5)] * 3)
    found = torch.ones(3, dtype=torch.float64)
    for _ in range(2):
        places = torch.tensor(SCALES, dtype=torch.float64)[:, None] * found
        around = [curvature(evidence, log_prior, target, place, task) for place in places]
        found = best_temperatures(places, around, len(target))
    assert (found > 0).all()
    assert loss(found.numpy()) < best.fun + 0.01 * len(target)


def test_a_step_that_would_turn_evidence_round_is_held_back():
    evidence = torch.tensor([[[3.0, 0.0], [-3.0, 0.0]]], dtype=torch.float64).repeat(50, 1, 1)
    target = as_target(torch.zeros(50), 2, "one_class")
    at = torch.ones(1, 2, dtype=torch.float64)
    nothing = torch.zeros(2, dtype=torch.float64)
    found = best_temperatures(at, [curvature(evidence, nothing, target, at[0], "one_class")], 50)
    assert found[1] >= 0.2
    assert found[0] <= 3


@pytest.mark.parametrize("task", ["one_class", "several_labels"])
def test_the_second_derivatives_are_the_same_whatever_the_labels(task: Task):
    evidence, log_prior, target = drawn(task)
    at = torch.tensor([0.7, 0.2, 0.4], dtype=torch.float64)
    flat = flat_target(len(target), 4, task)
    found = [curvature(evidence, log_prior, own, at, task).hessian for own in (target, flat)]
    torch.testing.assert_close(found[0], found[1])


def test_where_all_samples_are_told_right_one_more_that_is_not_bounds_how_sure_one_can_be():
    """Of n samples told right by a margin m, half of 1 / (n + 1) is taken to be wrong: t = log(2 n + 1) / m."""
    num_samples, margin = 9, 4.0
    evidence = torch.tensor([[[margin, 0.0]]], dtype=torch.float64).repeat(num_samples, 1, 1)
    nothing, labels = torch.zeros(2, dtype=torch.float64), torch.zeros(num_samples)
    targets = as_target(labels, 2, "one_class"), flat_target(num_samples, 2, "one_class")
    places = torch.linspace(0.1, 5, 5000, dtype=torch.float64)
    of_labels, of_none = (
        torch.stack([likelihood(place[None], evidence, nothing, own, "one_class") for place in places])
        for own in targets
    )
    best = places[with_doubt(of_labels, of_none, num_samples).argmax()]
    assert best == pytest.approx(np.log(2 * num_samples + 1) / margin, abs=0.01)
    assert places[of_labels.argmax()] > 4.9  # without doubt, the surest
