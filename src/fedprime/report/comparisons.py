"""Pairwise comparisons over seeds: a paired t-test, corrected for how many are made.

Runs with the same seed share clients, masks and what is drawn at the start, so they are compared seed by seed. The test
speaks about other seeds of the same data: whether another data set would give the same order, it cannot know.

Source: Student. The probable error of a mean (Biometrika 1908); Holm. A simple sequentially rejective multiple test
procedure (Scandinavian Journal of Statistics 1979).
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scipy.special import stdtr, stdtrit

from fedprime.report.cells import Block, Cell, mean_and_deviation

__all__ = ["MIN_SEEDS", "Comparison", "compare_cells", "holm", "paired_t_test", "significantly_best"]

#: With fewer common seeds there is no test.
MIN_SEEDS = 3
_LEVEL = 0.05
# Accuracies are rounded to 5 digits; differences below this are rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Comparison:
    """Two cells compared in one test scenario, seed by seed.

    Attributes:
        first: Label of the one.
        second: Label of the other.
        scenario: The test scenario.
        num_seeds: Seeds that both have.
        difference: Mean of first - second over those seeds, as a share; None if there are none.
        low: Lower end of its 95 % confidence interval; None where there is no test.
        high: Upper end.
        p: Two-sided p-value of the paired t-test; None where there is no test.
        p_holm: The same, corrected over the comparisons of the same scenario and block.
        with_reference: Whether one of them is an upper reference; such comparisons are corrected among themselves.
    """

    first: str
    second: str
    scenario: str
    num_seeds: int
    difference: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    with_reference: bool = False

    @property
    def better(self) -> str | None:
        """The label that is significantly better; None if neither is."""
        if self.p_holm is None or self.p_holm >= _LEVEL or not self.difference:
            return None
        return self.first if self.difference > 0 else self.second

    @property
    def verdict(self) -> str:
        """What came out, in words."""
        if self.difference is None:
            return "no common seed"
        if self.num_seeds < MIN_SEEDS:
            return f"no test: fewer than {MIN_SEEDS} common seeds"
        if self.p is None:
            return "no test: the same difference with every seed"
        if self.better:
            return f"{self.better} is better"
        return "identical" if self.low == self.high == 0 else "not significant"


def paired_t_test(differences: Sequence[float]) -> tuple[float, float, float | None]:
    """Returns the 95 % confidence interval of the mean difference, and the two-sided p-value of no difference.

    Args:
        differences: One per pair, at least two.

    Returns:
        Low, high, p; without spread p is 1 where all are zero, and None otherwise, for then there is no test.

    >>> low, high, p = paired_t_test([1.0, 2.0, 3.0])  # t = 2 / (1 / sqrt(3)) with 2 degrees of freedom
    >>> round(low, 2), round(high, 2), round(p, 3)
    (-0.48, 4.48, 0.074)
    """
    mean, deviation = mean_and_deviation(differences)
    if not deviation or deviation < _ROUNDING:
        is_zero = abs(mean) < _ROUNDING
        return (0.0, 0.0, 1.0) if is_zero else (mean, mean, None)
    degrees, error = len(differences) - 1, deviation / math.sqrt(len(differences))
    margin = float(stdtrit(degrees, 0.975)) * error
    return mean - margin, mean + margin, 2 * float(stdtr(degrees, -abs(mean) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values corrected for how many there are, in the same order.

    Args:
        p_values: One per comparison.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def compare_cells(block: Block) -> list[Comparison]:
    """Compares all cells of a block with each other in every test scenario.

    Args:
        block: The cells.

    Returns:
        Scenario after scenario, the pairs in the order of cells.
    """
    return [comparison for scenario in block.scenarios for comparison in _compare(block.cells, scenario)]


def significantly_best(block: Block, comparisons: Sequence[Comparison]) -> Mapping[str, str]:
    """Returns by test scenario the label that is significantly better than every other, where there is one.

    Upper references do not compete: they are no federated methods.

    Args:
        block: The cells.
        comparisons: As from `compare_cells`.
    """
    competing = [cell.label for cell in block.cells if not cell.is_reference]
    best: dict[str, str] = {}
    for scenario in block.scenarios:
        better = [entry.better for entry in comparisons if entry.scenario == scenario and not entry.with_reference]
        for label in competing:
            if 0 < better.count(label) == len(competing) - 1:
                best[scenario] = label
    return best


def _compare(cells: Sequence[Cell], scenario: str) -> list[Comparison]:
    found = [_compare_pair(first, second, scenario) for first, second in itertools.combinations(cells, 2)]
    for with_reference in (False, True):
        family = [
            index for index, entry in enumerate(found) if entry.p is not None and entry.with_reference == with_reference
        ]
        for index, p in zip(family, holm([found[index].p or 0.0 for index in family]), strict=True):
            found[index] = replace(found[index], p_holm=p)
    return found


def _compare_pair(first: Cell, second: Cell, scenario: str) -> Comparison:
    ours, theirs = first.scores(scenario), second.scores(scenario)
    differences = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    compared = Comparison(
        first.label,
        second.label,
        scenario,
        len(differences),
        mean_and_deviation(differences)[0] if differences else None,
        with_reference=first.is_reference or second.is_reference,
    )
    if len(differences) < MIN_SEEDS:
        return compared
    low, high, p = paired_t_test(differences)
    return replace(compared, low=low, high=high, p=p)
