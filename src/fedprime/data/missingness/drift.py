"""Missingness that moves over the rounds; what a round finds is a pure function of (setting, seed, round)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from fedprime.data.batches import EmbeddedSamples, Shard
from fedprime.data.missingness.kinds import ANY
from fedprime.data.missingness.mechanisms import Mechanism, Split, patterns_at, spread
from fedprime.data.missingness.patterns import all_patterns, pattern_shares, what_is_left
from fedprime.reproducibility.seeding import stream


def drift_stages(modalities: Sequence[str], rate: float, lacking: str = ANY) -> Float[np.ndarray, "stage pattern"]:
    """Returns the shares of patterns that a run moves through, evenly in time.

    With ``"any"``, the samples that lack something lack the first modality in the first round and the last one in the
    last round; their share is the rate all the time. With a modality, it is the rate that moves: around its mean, as
    far as shares go, from ``max(0, 2 * rate - 1)`` to ``min(1, 2 * rate)``.

    Args:
        rate: Share of the samples that lack something, in the mean over rounds.
        lacking: The modality that they lack, or ``"any"``.

    Raises:
        ValueError: As `pattern_shares`.

    >>> drift_stages(("image", "text"), 0.7)
    array([[0. , 0.7, 0.3],
           [0.7, 0. , 0.3]])
    """
    if lacking == ANY:
        return np.stack([pattern_shares(modalities, rate, modality) for modality in modalities])
    pattern_shares(modalities, rate, lacking)  # complains about the rate as it was given
    return np.stack([pattern_shares(modalities, end, lacking) for end in (max(0.0, 2 * rate - 1), min(1.0, 2 * rate))])


class Drift(Mechanism):
    """Shares of patterns that move over the rounds, the same for all clients.

        shares(round r of R) = stages at (r / (R - 1)) · (S - 1), linear between the S stages

    Every sample has a number in [0, 1) for good, and patterns divide that interval by their shares. As the bounds move,
    a sample changes what it lacks at its own moment and never back. Counts are met up to one sample in every round.
    """

    def __init__(self, stages: Float[np.ndarray, "stage pattern"], *, seed: int) -> None:
        """Takes the parts.

        Args:
            stages: Shares of patterns that are moved through.
        """
        self._stages = stages
        self._seed = seed
        # Later patterns come first and the complete one last, so that every bound only moves up.
        times = np.arange(len(stages)) @ stages / np.maximum(stages.sum(axis=0), np.finfo(float).tiny)
        times[-1] = -1
        self._order = np.argsort(-times, kind="stable")

    def shares(self, progress: float) -> Float[np.ndarray, " pattern"]:
        """Returns the share of each pattern.

        Args:
            progress: From 0 in the first round to 1 in the last.
        """
        place = progress * (len(self._stages) - 1)
        return np.array([np.interp(place, np.arange(len(self._stages)), stage) for stage in self._stages.T])

    def numbers(self, split: Split) -> Float[np.ndarray, " sample"]:
        """Returns the number of each sample that decides at which moment it has which pattern."""
        return spread(len(split), stream(self._seed, "missingness", split.name))

    def present(self, numbers: Float[np.ndarray, " sample"], progress: float) -> Bool[np.ndarray, "sample modality"]:
        """Returns what is present of samples at a moment."""
        patterns = all_patterns(int(np.log2(self._stages.shape[1] + 1)))
        return patterns[self._order[patterns_at(self.shares(progress)[self._order], numbers)]]

    def draw(self, split: Split) -> Bool[np.ndarray, "sample modality"]:
        """Returns what is present of each sample in the last round."""
        return split.left_of(self.present(self.numbers(split), 1.0))

    def likelihood(self) -> None:
        """Returns None: at any moment the pattern depends on nothing of the sample, so it can be ignored."""


@dataclass(frozen=True, kw_only=True)
class DriftingShard(Shard):
    """A shard of which other things are present in other rounds; `present` is what there is in the first.

    Attributes:
        numbers: Those of the samples, as from `Drift.numbers`.
    """

    drift: Drift
    numbers: Float[np.ndarray, " sample"]

    @classmethod
    def begin(
        cls,
        samples: EmbeddedSamples,
        indices: Int[np.ndarray, " sample"],
        drift: Drift,
        numbers: Float[np.ndarray, " sample"],
    ) -> "DriftingShard":
        """Returns the shard as it is in the first round."""
        present = what_is_left(drift.present(numbers, 0.0), samples.there[indices])
        return cls(samples, indices, present, drift=drift, numbers=numbers)

    @classmethod
    def joined(cls, parts: Sequence["DriftingShard"]) -> "DriftingShard":  # pyright: ignore[reportIncompatibleMethodOverride]
        """Returns the samples of several holders of one data set as those of one, in the order of the data set."""
        indices = np.concatenate([part.indices for part in parts])
        order = np.argsort(indices, kind="stable")
        numbers = np.concatenate([part.numbers for part in parts])
        return cls.begin(parts[0].samples, indices[order], parts[0].drift, numbers[order])

    def rows(self, rows: Int[np.ndarray, " row"]) -> "DriftingShard":
        """Returns some of the samples."""
        return replace(self, indices=self.indices[rows], present=self.present[rows], numbers=self.numbers[rows])

    def at(self, round_number: int, num_rounds: int) -> Shard:
        """Returns the shard as it is in a round; a run of one round is at its end."""
        progress = round_number / (num_rounds - 1) if num_rounds > 1 else 1.0
        drawn = self.drift.present(self.numbers, progress)
        return Shard(self.samples, self.indices, what_is_left(drawn, self.samples.there[self.indices]))
