"""What was measured round by round, over the seeds of a cell."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

__all__ = ["over_seeds"]


def over_seeds(
    columns: Sequence[Sequence[float | int | None]], start: int = 0
) -> tuple[Int[np.ndarray, " round"], Float[np.ndarray, " round"], Float[np.ndarray, " round"]]:
    """Returns the rounds in which every seed has a value, with mean and standard deviation over seeds.

    Rounds of training are counted from 1, so the start ends with 0.

    Args:
        columns: By seed, what was measured in each round; None where it was not.
        start: How many of these rounds came before the first of training.

    >>> rounds, mean, deviation = over_seeds([[None, 1.0, 2.0], [0.0, 3.0, 2.0]])
    >>> rounds.tolist(), mean.tolist(), deviation.round(3).tolist()
    ([2, 3], [2.0, 2.0], [1.414, 0.0])
    """
    length = min(len(column) for column in columns)
    values = np.array([column[:length] for column in columns], dtype=float)  # None becomes NaN
    rounds = np.flatnonzero(np.isfinite(values).all(axis=0))
    values = values[:, rounds]
    deviation = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(rounds))
    return rounds + 1 - start, values.mean(axis=0), deviation
