"""Temperatures of highest likelihood, against automatic differentiation and a general optimiser."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from fedprime.data.batches import Task
from fedprime.models.calibration import SCALES, best_temperatures, curvature, log_likelihoods


def drawn(task: Task) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(5)
    evidence = 2 * torch.randn(60, 3, 4, generator=rng, dtype=torch.float64)
    signal = evidence[:, 0] + 0.3 * evidence[:, 1] + torch.randn(60, 4, generator=rng, dtype=torch.float64) * 2
    labels = signal.argmax(dim=1) if task == "one_class" else (signal > 0).float()
    return evidence, torch.tensor([0.1, -0.3, 0.2, 0.0], dtype=torch.float64), labels


def likelihood(temperatures: Tensor, evidence: Tensor, log_prior: Tensor, labels: Tensor, task: Task) -> Tensor:
    return log_likelihoods((evidence * temperatures[:, None]).sum(dim=1) + log_prior, labels, task).sum()


def test_the_log_likelihood_of_a_class_by_hand():
    logits = torch.tensor([[0.0, 0.0], [np.log(3.0), 0.0]], dtype=torch.float64)
    found = log_likelihoods(logits, torch.tensor([1, 0]), "one_class").exp()
    np.testing.assert_allclose(found.numpy(), [0.5, 0.75])


def test_the_log_likelihood_of_several_labels_by_hand():
    logits = torch.tensor([[np.log(3.0), 0.0]], dtype=torch.float64)
    found = log_likelihoods(logits, torch.tensor([[0.0, 1.0]]), "several_labels").exp()
    np.testing.assert_allclose(found.numpy(), [0.25 * 0.5])


@pytest.mark.parametrize("task", ["one_class", "several_labels"])
def test_derivatives_are_those_of_automatic_differentiation(task: Task):
    evidence, log_prior, labels = drawn(task)
    at = torch.tensor([0.7, 0.2, 0.4], dtype=torch.float64)
    found = curvature(evidence, log_prior, labels, at, task)

    def function(temperatures: Tensor) -> Tensor:
        return likelihood(temperatures, evidence, log_prior, labels, task)

    torch.testing.assert_close(found.value, function(at))
    torch.testing.assert_close(found.gradient, torch.autograd.functional.jacobian(function, at))
    torch.testing.assert_close(found.hessian, torch.autograd.functional.hessian(function, at))


@pytest.mark.parametrize("task", ["one_class", "several_labels"])
def test_two_steps_come_close_to_the_best_temperatures(task: Task):
    evidence, log_prior, labels = drawn(task)

    def loss(temperatures: np.ndarray) -> float:
        return -float(likelihood(torch.from_numpy(temperatures), evidence, log_prior, labels, task))

    best = minimize(loss, np.full(3, 0.5), bounds=[(0, 5)] * 3)
    found = torch.ones(3, dtype=torch.float64)
    for _ in range(2):
        places = torch.tensor(SCALES, dtype=torch.float64)[:, None] * found
        around = [curvature(evidence, log_prior, labels, place, task) for place in places]
        found = best_temperatures(places, around, len(labels))
    assert (found > 0).all()
    assert loss(found.numpy()) < best.fun + 0.01 * len(labels)


def test_a_step_that_would_turn_evidence_round_is_held_back():
    evidence = torch.tensor([[[3.0, 0.0], [-3.0, 0.0]]], dtype=torch.float64).repeat(50, 1, 1)
    labels = torch.zeros(50, dtype=torch.int64)
    at = torch.ones(1, 2, dtype=torch.float64)
    nothing = torch.zeros(2, dtype=torch.float64)
    found = best_temperatures(at, [curvature(evidence, nothing, labels, at[0], "one_class")], 50)
    assert found[1] >= 0.2
    assert found[0] <= 3
