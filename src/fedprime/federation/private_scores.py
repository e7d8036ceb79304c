"""Scores of sites under noise: what a private run tells of what its sites measured.

Each site clips its scores and adds its share of the noise. The noise of all sites together hides one of them as that of
a round of training does: a site that is replaced by another moves the sum of what they tell by at most the root of the
number of scores, each in units of its largest value, and the noise on the sum is `PrivacyOptions.noise_multiplier` / 2
times that: one more Gaussian mechanism of the noise multiplier that `spent_epsilon` counts with.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedprime.federation.differential_privacy import operating_system_noise
from fedprime.federation.training_options import PrivacyOptions

#: Of what a site measures, what it tells, and the largest value that counts.
_SCORES = {"accuracy": 1.0, "loss": 10.0}

_Scores = Mapping[str, Mapping[str, float]]


def noisy_scores(measured: _Scores, names: Sequence[str], privacy: PrivacyOptions, num_clients: int) -> _Scores:
    """Returns what a site tells of what it measured: clipped, and under its share of the noise.

    Args:
        names: Of all samples that are asked for; where a site has none, it tells noise.
        num_clients: How many sites share it.
    """
    noise = _noise(names, privacy, 1 / num_clients)
    return {
        name: {
            kind: min(max(measured.get(name, {}).get(kind, 0.0), 0.0), most) + noise[name][kind]
            for kind, most in _SCORES.items()
        }
        for name in names
    }


def mean_scores(told: Mapping[int, _Scores], privacy: PrivacyOptions, num_clients: int) -> dict[str, dict[str, Any]]:
    """Returns the mean of what sites told, with the noise of those that did not answer, and how many answered.

    Args:
        told: By client that answered, at least one, what it told.
    """
    names = sorted({name for scores in told.values() for name in scores})
    rest = _noise(names, privacy, (num_clients - len(told)) / num_clients)
    means: dict[str, dict[str, Any]] = {}
    for name in names:
        means[name] = {"num_samples": len(told)}
        for kind, most in _SCORES.items():
            total = sum(scores.get(name, {}).get(kind, 0.0) for scores in told.values()) + rest[name][kind]
            means[name][kind] = min(max(total / len(told), 0.0), most)
    return means


def _noise(names: Sequence[str], privacy: PrivacyOptions, share: float) -> dict[str, dict[str, float]]:
    """Returns a share of the variance of the noise on a sum of scores."""
    deviation = privacy.noise_multiplier / 2 * math.sqrt(len(names) * len(_SCORES) * share)
    drawn = (operating_system_noise((len(names), len(_SCORES))) * deviation).tolist()
    return {
        name: {kind: most * value for (kind, most), value in zip(_SCORES.items(), row, strict=True)}
        for name, row in zip(names, drawn, strict=True)
    }
