"""Scores under noise: what a site tells, and what the mean of all tells."""

import pytest

from fedprime.federation.differential_privacy import ClientPrivacy
from fedprime.federation.private_scores import mean_scores, noisy_scores

EXACT = ClientPrivacy(clip_norm=1.0, noise_multiplier=0.0, delta=0.01, secret=True)
NOISY = ClientPrivacy(clip_norm=1.0, noise_multiplier=1.0, delta=0.01, secret=True)


def test_a_site_tells_clipped_scores_of_all_that_is_asked_for_and_nothing_else():
    measured = {"full": {"accuracy": 0.25, "loss": 99.0, "auroc": 0.5, "num_samples": 7}}
    assert noisy_scores(measured, ["full", "text only"], EXACT, 4) == {
        "full": {"accuracy": 0.25, "loss": 10.0},
        "text only": {"accuracy": 0.0, "loss": 0.0},
    }


def test_the_mean_counts_each_site_alike():
    told = {0: {"full": {"accuracy": 0.5, "loss": 1.0}}, 3: {"full": {"accuracy": 1.0, "loss": 2.0}}}
    assert mean_scores(told, EXACT, 4) == {"full": {"accuracy": 0.75, "loss": 1.5, "num_samples": 2}}


@pytest.mark.parametrize("num_answered", [25, 100])
def test_the_noise_on_the_mean_is_that_of_all_sites_however_many_answered(num_answered: int):
    # Two scores under each of 16 names, noise multiplier 1: a deviation of 1 / 2 * sqrt(32) of each sum of accuracies,
    # and ten times that of each sum of losses, which are clipped at 10.
    names = [str(number) for number in range(16)]
    measured = {name: {"accuracy": 0.5, "loss": 5.0} for name in names}
    means: list[float] = []
    for _ in range(25):
        told = {client: noisy_scores(measured, names, NOISY, 100) for client in range(num_answered)}
        means += [scores["loss"] for scores in mean_scores(told, NOISY, 100).values()]
    deviation = (sum((value - 5.0) ** 2 for value in means) / len(means)) ** 0.5
    assert deviation == pytest.approx(10 * 32**0.5 / 2 / num_answered, rel=0.2)
