"""Comparisons: a cell has the same labels and several seeds, a block the cells to compare, pair by pair.

Runs with the same seed share clients, masks and what is drawn at the start, so they are compared seed by seed, by a
paired t-test, corrected for how many are made. The test speaks about other seeds of the same data: whether another data
set would give the same order, it cannot know.

Source: Student. The probable error of a mean (Biometrika 1908); Holm. A simple sequentially rejective multiple test
procedure (Scandinavian Journal of Statistics 1979).
"""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scipy.special import stdtr, stdtrit

from fedprime.report.collection import Collection
from fedprime.report.finished_runs import FinishedRun, Scores

Score = Literal["accuracy", "macro_f1", "bayes_accuracy", "own_accuracy", "own_bayes_accuracy", "majority_accuracy"]
#: With fewer common seeds there is no test.
MIN_SEEDS = 3
_LEVEL = 0.05
# Accuracies are rounded to 5 digits; differences below this are rounding.
_ROUNDING = 1e-9
# Limits that differ by less were computed on different machines.
_SAME = 1e-4


@dataclass(frozen=True)
class Cell:
    """Runs that differ in their seed alone.

    Attributes:
        label: The label that is compared with others, mostly the method.
        labels: By axis, all labels.
        runs: At least one, in ascending order of seeds.
    """

    label: str
    labels: Mapping[str, str]
    runs: tuple[FinishedRun, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in ascending order."""
        return tuple(run.results.seed for run in self.runs)

    @property
    def is_reference(self) -> bool:
        """Whether it is an upper reference, which has all data in one place and is no federated method."""
        return any(name.startswith("centralized") for name in (self.label, self.runs[0].results.method))

    def scores(self, scenario: str, score: Score = "accuracy") -> dict[int, float]:
        """Returns a score in a test scenario, by seed; seeds for which it is not known are left out."""
        found = {run.results.seed: run.results.scenarios.get(scenario) for run in self.runs}
        values = {seed: getattr(scores, score) for seed, scores in found.items() if isinstance(scores, Scores)}
        return {seed: value for seed, value in values.items() if value is not None}


@dataclass(frozen=True)
class Limit:
    """The best possible accuracy, for the cells for which it is the same.

    Attributes:
        cells: Their labels.
        by_scenario: By test scenario, the mean over seeds; scenarios for which it is not known are left out.
    """

    cells: tuple[str, ...]
    by_scenario: Mapping[str, float]


@dataclass(frozen=True)
class Block:
    """Cells to compare with each other: they differ in one label.

    Attributes:
        labels: By every other axis, the label that they share.
        cells: In the order of labels; those without runs are left out.
    """

    labels: Mapping[str, str]
    cells: tuple[Cell, ...]

    @property
    def compared(self) -> str:
        """The axis whose labels tell its cells apart."""
        return next(axis for axis in self.cells[0].labels if axis not in self.labels)

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The test scenarios, in their order."""
        return tuple(dict.fromkeys(name for cell in self.cells for run in cell.runs for name in run.results.scenarios))

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The Bayes limits: one in most cases, others for methods whose clients have models of their own."""
        seeds = set(self.cells[0].seeds).intersection(*(cell.seeds for cell in self.cells))
        groups: list[list[Cell]] = []
        for cell in self.cells:
            # Cells may lack different seeds: only those that all have can tell whether limits are the same.
            same = (group for group in groups if seeds and _have_same_limits(group[0], cell, self.scenarios, seeds))
            group = next(same, [])
            groups += [] if group else [group]
            group.append(cell)
        limits: list[Limit] = []
        for cells in groups:
            merged = {
                name: {seed: value for cell in cells for seed, value in cell.scores(name, "bayes_accuracy").items()}
                for name in self.scenarios
            }
            means = {name: statistics.fmean(of.values()) for name, of in merged.items() if of}
            if means:
                limits.append(Limit(tuple(cell.label for cell in cells), means))
        return tuple(limits)


def _have_same_limits(one: Cell, other: Cell, scenarios: Sequence[str], seeds: set[int]) -> bool:
    limits = [(one.scores(name, "bayes_accuracy"), other.scores(name, "bayes_accuracy")) for name in scenarios]
    return all(
        (seed in ours) == (seed in theirs) and abs(ours.get(seed, 0) - theirs.get(seed, 0)) <= _SAME
        for ours, theirs in limits
        for seed in seeds
    )


def group_runs(collection: Collection) -> list[Block]:
    """Groups runs into cells, and cells into blocks, in the order of labels."""
    compared = collection.compared
    others = [axis for axis in collection.axes if axis != compared]
    by_labels: dict[tuple[str, ...], list[FinishedRun]] = {}
    for run in collection.runs:
        labels = run.labels
        by_labels.setdefault((*(labels[axis] for axis in others), labels[compared]), []).append(run)
    blocks: list[Block] = []
    for values in itertools.product(*(collection.axes[axis] for axis in others)):
        shared = dict(zip(others, values, strict=True))
        cells = tuple(
            Cell(label, shared | {compared: label}, tuple(by_labels[*values, label]))
            for label in collection.axes[compared]
            if (*values, label) in by_labels
        )
        if cells:
            blocks.append(Block(shared, cells))
    return blocks


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Returns the mean and the standard deviation of a sample (n - 1), which one value does not have.

    >>> mean_and_deviation([1.0, 2.0, 3.0])
    (2.0, 1.0)
    """
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


@dataclass(frozen=True)
class Comparison:
    """Two cells compared in one test scenario, seed by seed.

    Attributes:
        num_seeds: Seeds that both have.
        difference: Mean of first - second over those seeds, as a share; None if there are none.
        low: Lower end of its 95 % confidence interval; None where there is no test.
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
    """Returns the 95 % confidence interval of the mean of at least two differences, and the two-sided p-value of none.

    Without spread p is 1 where all are zero, and None otherwise, for then there is no test.

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

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def compare_cells(block: Block, score: Score = "accuracy") -> list[Comparison]:
    """Compares all cells of a block with each other in every test scenario: scenario after scenario, in order."""
    comparisons: list[Comparison] = []
    for scenario in block.scenarios:
        found = [_compare_pair(*pair, scenario, score) for pair in itertools.combinations(block.cells, 2)]
        for with_reference in (False, True):
            family = [n for n, one in enumerate(found) if one.p is not None and one.with_reference == with_reference]
            for number, p in zip(family, holm([found[number].p or 0.0 for number in family]), strict=True):
                found[number] = replace(found[number], p_holm=p)
        comparisons += found
    return comparisons


def significantly_best(block: Block, comparisons: Sequence[Comparison]) -> Mapping[str, str]:
    """Returns by test scenario the label that is significantly better than every other, where there is one.

    Upper references do not compete: they are no federated methods.
    """
    competing = [cell.label for cell in block.cells if not cell.is_reference]
    best: dict[str, str] = {}
    for scenario in block.scenarios:
        better = [entry.better for entry in comparisons if entry.scenario == scenario and not entry.with_reference]
        for label in competing:
            if 0 < better.count(label) == len(competing) - 1:
                best[scenario] = label
    return best


def _compare_pair(first: Cell, second: Cell, scenario: str, score: Score) -> Comparison:
    ours, theirs = first.scores(scenario, score), second.scores(scenario, score)
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
