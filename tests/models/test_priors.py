"""Priors: given, equal, or found from samples without labels."""

import numpy as np
import pytest
import torch

from fedprime.models.priors import PriorError, check_prior, estimated_log_prior, given_log_prior, uniform_log_prior
from fedprime.reproducibility.seeding import stream

NAMES = ["apple", "pear", "plum"]


def test_equal_frequencies_prefer_no_label():
    torch.testing.assert_close(uniform_log_prior(4, "one_class").exp(), torch.full((4,), 0.25, dtype=torch.float64))
    assert uniform_log_prior(2, "several_labels").tolist() == [0, 0]


def test_of_given_frequencies_only_ratios_count():
    for scale in (1, 0.01, 100):
        found = given_log_prior({"plum": scale, "apple": 2 * scale, "pear": scale}, NAMES, "one_class").exp()
        np.testing.assert_allclose(found, [0.5, 0.25, 0.25])
    shares = dict.fromkeys(NAMES, 0.5) | {"pear": 0.2}
    np.testing.assert_allclose(given_log_prior(shares, NAMES, "several_labels").sigmoid(), [0.5, 0.2, 0.5])


@pytest.mark.parametrize(
    ("frequencies", "expected"),
    [
        ({"aple": 1}, "'aple' is no label of the model: apple, pear, plum; did you mean apple"),
        ({"apple": 1, "pear": 1}, "it says nothing of plum"),
        ({"apple": 1, "pear": 0, "plum": 1}, "found 0 for 'pear'; expected a number above 0"),
        ({"apple": 1, "pear": float("nan"), "plum": 1}, "found nan for 'pear'"),
    ],
)
def test_what_cannot_be_frequencies_is_refused(frequencies: dict[str, int | float], expected: str):
    with pytest.raises(PriorError, match=expected):
        given_log_prior(frequencies, NAMES, "one_class")
    with pytest.raises(PriorError, match="found 2 for 'pear'; expected a share above 0 and below 1"):
        given_log_prior({"apple": 0.5, "pear": 2, "plum": 0.5}, NAMES, "several_labels")


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        ("unifrom", "found 'unifrom'; expected train, uniform, estimate, or .*; did you mean uniform"),
        ({"pear": "many"}, "found 'many' for 'pear'; expected a number"),
        ([0.5, 0.5], "found list; expected train, .* a number for each label, as {label: number}"),
    ],
)
def test_what_is_no_prior_at_all_is_told(prior: object, expected: str):
    with pytest.raises(PriorError, match=expected):
        check_prior(prior)


@pytest.mark.parametrize("wanted", [[0.7, 0.2, 0.1], [0.05, 0.05, 0.9]])
def test_frequencies_are_found_without_a_label(wanted: list[float]):
    rng = stream(0, "test")
    labels = rng.choice(3, size=4000, p=wanted)
    # Normal features of variance 1 around (2, 0, 0), (0, 2, 0), (0, 0, 2): the evidence is 2 x, and 2 for all.
    features = 2 * np.eye(3)[labels] + rng.standard_normal((4000, 3))
    found = estimated_log_prior(torch.from_numpy(2 * features), uniform_log_prior(3, "one_class"), "one_class")
    np.testing.assert_allclose(found.exp(), wanted, atol=0.025)


def test_frequencies_of_several_labels_are_found_each_by_itself():
    rng = stream(0, "test")
    wanted = np.array([0.9, 0.3])
    applies = rng.random((4000, 2)) < wanted
    features = np.where(applies, 1.0, -1.0) + rng.standard_normal((4000, 2)) / 1.5
    evidence = torch.from_numpy(2 * 1.5**2 * features)  # log p(x | yes) - log p(x | no)
    found = estimated_log_prior(evidence, uniform_log_prior(2, "several_labels"), "several_labels")
    np.testing.assert_allclose(found.sigmoid(), wanted, atol=0.03)


def test_samples_that_say_nothing_leave_the_prior_as_it_was():
    start = given_log_prior({"apple": 5, "pear": 3, "plum": 2}, NAMES, "one_class")
    found = estimated_log_prior(torch.zeros(10, 3), start, "one_class")
    torch.testing.assert_close(found, start, atol=1e-6, rtol=0)
    with pytest.raises(PriorError, match="no sample"):
        estimated_log_prior(torch.zeros(0, 3), start, "one_class")
