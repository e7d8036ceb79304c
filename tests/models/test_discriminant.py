"""The closed form, against scikit-learn and by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import betabinom, dirichlet_multinomial
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from fedprime.data.sources import Task
from fedprime.models.class_sums import ClassSums, sum_blocks
from fedprime.models.discriminant import (
    SHRINKAGES,
    BlockDiscriminant,
    frequencies_of,
    log_frequencies,
    own_log_frequencies,
)
from fedprime.models.readout import Blocks


def samples(num_samples: int = 200, width: int = 6, num_classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = np.concatenate([np.arange(num_classes), rng.integers(0, num_classes, num_samples - num_classes)])
    centres = rng.normal(size=(num_classes, width))
    mixing = rng.normal(size=(width, width))
    return 5 + (centres[labels] + rng.normal(size=(num_samples, width)) @ mixing) * np.arange(1, width + 1), labels


def summed(values: np.ndarray, labels: np.ndarray, num_labels: int, task: str = "one_class") -> ClassSums:
    there = torch.ones(len(values), dtype=torch.bool)
    blocks = Blocks({"image": torch.from_numpy(values)}, {"image": there})
    return sum_blocks(blocks, torch.from_numpy(labels), num_labels, task)  # pyright: ignore[reportArgumentType]


def scores(sums: ClassSums, values: np.ndarray, shrinkage: float, task: str = "one_class") -> np.ndarray:
    found = BlockDiscriminant.of_sums(sums, "image", task, mean_strength=0.0)  # pyright: ignore[reportArgumentType]
    weight, bias = found.evidence(shrinkage)
    mean, deviation = found.moments
    return ((torch.from_numpy(values) - mean) / deviation @ weight.T + bias).numpy()


@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 0.7])
def test_it_is_the_linear_discriminant_of_scikit_learn(shrinkage: float):
    values, labels = samples()
    standardised = (values - values.mean(axis=0)) / values.std(axis=0)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage or None).fit(standardised, labels)
    expected = theirs.decision_function(standardised) - np.log(np.bincount(labels) / len(labels))
    found = scores(summed(values, labels, 4), values, shrinkage)
    # Evidence is known up to what is the same for all classes.
    np.testing.assert_allclose(found - found[:, :1], expected - expected[:, :1], rtol=1e-6, atol=1e-6)


def test_of_several_labels_each_is_the_discriminant_between_samples_with_and_without_it():
    values, labels = samples()
    applies = np.stack([labels == 0, labels >= 2], axis=1)
    standardised = (values - values.mean(axis=0)) / values.std(axis=0)
    found = scores(summed(values, applies.astype(np.float32), 2, "several_labels"), values, 0.0, "several_labels")
    for column, own in enumerate(applies.T):
        theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(standardised, own)
        expected = theirs.decision_function(standardised) - np.log(own.mean() / (1 - own.mean()))
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shrinkage", [0.001, 0.3, 0.9])
def test_of_several_labels_the_covariance_within_each_is_shrunk(shrinkage: float):
    values, labels = samples()
    applies = np.stack([labels == 0, labels >= 2], axis=1)
    standardised = (values - values.mean(axis=0)) / values.std(axis=0)
    sums = summed(values, applies.astype(np.float32), 2, "several_labels")
    found, _ = BlockDiscriminant.of_sums(sums, "image", "several_labels", mean_strength=0.0).evidence(shrinkage)
    for own, weight in zip(applies.T, found.numpy(), strict=True):
        within = sum(np.cov(standardised[of].T, bias=True) * of.mean() for of in (own, ~own))
        shrunk = (1 - shrinkage) * within + shrinkage * np.eye(values.shape[1])
        expected = np.linalg.solve(shrunk, standardised[own].mean(axis=0) - standardised[~own].mean(axis=0))
        np.testing.assert_allclose(weight, expected, rtol=1e-6)


def test_full_shrinkage_measures_distances_to_the_means():
    values, labels = samples()
    found = BlockDiscriminant.of_sums(summed(values, labels, 4), "image", "one_class", mean_strength=0.0)
    weight, bias = found.evidence(1.0)
    level = found.spectrum.mean()
    torch.testing.assert_close(weight, found.means / level)
    torch.testing.assert_close(bias, -0.5 * found.means.square().sum(dim=1) / level)


def test_a_class_without_samples_says_nothing():
    values, labels = samples(num_classes=3)
    weight, bias = BlockDiscriminant.of_sums(summed(values, labels, 4), "image", "one_class").evidence(0.1)
    assert not weight[3].any()
    assert bias[3] == 0


def test_means_of_small_classes_move_towards_the_mean_of_all():
    sums = summed(np.array([[2.0], [-1.0], [-1.0]]), np.array([0, 1, 1]), 2)
    found = BlockDiscriminant.of_sums(sums, "image", "one_class", mean_strength=1.0)
    deviation = 2**0.5  # of 2, -1, -1
    torch.testing.assert_close(found.means[:, 0], torch.tensor([2 / 2, -2 / 3], dtype=torch.float64) / deviation)


def test_fewer_samples_than_coordinates_still_have_finite_evidence():
    values, labels = samples(num_samples=5, width=9)
    for shrinkage in SHRINKAGES:
        weight, bias = BlockDiscriminant.of_sums(summed(values, labels, 4), "image", "one_class").evidence(shrinkage)
        assert weight.isfinite().all()
        assert bias.isfinite().all()


def test_where_all_samples_of_a_class_are_alike_evidence_grows_with_how_many_they_are():
    for number in (40, 400):
        labels = np.arange(number) % 2
        values = np.stack([labels, 3.0 - labels], axis=1)
        found = scores(summed(values, labels, 2), values, 0.1)
        assert (found.argmax(axis=1) == labels).all()
        # Standardised, the classes lie at (1, -1) and (-1, 1), with a variance of 0.9 x 0 + 0.1 / n: (2 + 2) x 10 n.
        assert np.abs(found[:, 0] - found[:, 1]) == pytest.approx(40 * number, rel=1e-6)


def test_a_coordinate_that_is_the_same_for_all_samples_does_not_matter():
    values, labels = samples()
    constant = np.concatenate([values, np.full((len(values), 1), 3.0)], axis=1)
    found, expected = scores(summed(constant, labels, 4), constant, 0.1), scores(summed(values, labels, 4), values, 0.1)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.97


def test_log_frequencies_of_several_labels_are_log_odds():
    counts = torch.tensor([3.0, 1.0], dtype=torch.float64)
    expected = [np.log(3.5 / 1.5), np.log(1.5 / 3.5)]
    np.testing.assert_allclose(log_frequencies(counts, 4, "several_labels").numpy(), expected)


def test_frequencies_are_smoothed_by_the_shared_ones():
    counts = torch.tensor([2.0, 0.0, 0.0], dtype=torch.float64)
    found = log_frequencies(counts, 2, "one_class", shared=[0.2, 0.6, 0.2]).exp()
    np.testing.assert_allclose(found.numpy(), [2.2 / 3, 0.6 / 3, 0.2 / 3])


@pytest.mark.parametrize("task", ["one_class", "several_labels"])
def test_few_samples_of_many_labels_say_little_and_many_samples_nearly_all(task: Task):
    """Counts as the shared frequencies would draw them leave these; a thousand samples elsewhere take over."""
    shared = torch.full((100,), 0.01, dtype=torch.float64)
    few = torch.zeros(100, dtype=torch.float64)
    few[:40] = 1
    found = frequencies_of(own_log_frequencies(few, 40, task, shared), task)
    assert found.max() < 2 * 0.01
    elsewhere = torch.zeros(100, dtype=torch.float64)
    elsewhere[3] = 1000
    assert frequencies_of(own_log_frequencies(elsewhere, 1000, task, shared), task)[3] > 0.99


def test_strength_is_weighed_by_the_likelihood_of_a_dirichlet_and_multinomial():
    """By scipy: the mean over strengths of (counts + strength * shared) / (n + strength)."""
    shared, counts = np.array([0.6, 0.3, 0.1]), np.array([2, 5, 1])
    strengths = 2.0 ** np.arange(-2, 14)
    likely = np.array([dirichlet_multinomial.pmf(counts, strength * shared, 8) for strength in strengths])
    expected = (likely / likely.sum()) @ ((counts + strengths[:, None] * shared) / (8 + strengths[:, None]))
    found = own_log_frequencies(torch.tensor(counts).double(), 8, "one_class", torch.tensor(shared))
    np.testing.assert_allclose(found.exp().numpy(), expected)


def test_of_several_labels_each_has_a_beta_and_all_the_same_strength():
    shared, counts = np.array([0.6, 0.1]), np.array([2, 5])
    strengths = 2.0 ** np.arange(-2, 14)
    each = [betabinom.pmf(counts, 8, strength * shared, strength * (1 - shared)) for strength in strengths]
    likely = np.prod(each, axis=1)
    expected = (likely / likely.sum()) @ ((counts + strengths[:, None] * shared) / (8 + strengths[:, None]))
    found = own_log_frequencies(torch.tensor(counts).double(), 8, "several_labels", torch.tensor(shared))
    np.testing.assert_allclose(found.sigmoid().numpy(), expected)
