"""Runs in groups: a cell is what has the same labels and several seeds, a block is the cells to compare."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fedprime.report.collection import METHOD, Collection
from fedprime.report.finished_runs import FinishedRun, Scores

__all__ = ["Block", "Cell", "Limit", "compared_axis", "group_runs", "in_words", "mean_and_deviation"]

Score = Literal["accuracy", "macro_f1", "bayes_accuracy"]
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
        """Returns a score in a test scenario, by seed; seeds for which it is not known are left out.

        Args:
            scenario: The test scenario.
            score: Which score.
        """
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
            group = next(same, None)
            if group is None:
                groups.append([cell])
            else:
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
    for scenario in scenarios:
        ours, theirs = one.scores(scenario, "bayes_accuracy"), other.scores(scenario, "bayes_accuracy")
        if any(
            (seed in ours) != (seed in theirs) or abs(ours.get(seed, 0) - theirs.get(seed, 0)) > _SAME for seed in seeds
        ):
            return False
    return True


def compared_axis(axes: Sequence[str]) -> str:
    """Returns the axis whose labels are compared: that of methods, or the first.

    Args:
        axes: At least one.
    """
    return METHOD if METHOD in axes else axes[0]


def group_runs(collection: Collection) -> list[Block]:
    """Groups runs into cells, and cells into blocks, in the order of labels.

    Args:
        collection: The runs.
    """
    compared = compared_axis(list(collection.axes))
    others = [axis for axis in collection.axes if axis != compared]
    by_labels: dict[tuple[str, ...], list[FinishedRun]] = {}
    for run in collection.runs:
        labels = run.labels or {}
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


def in_words(labels: Mapping[str, str]) -> str:
    """Returns labels as one phrase.

    Args:
        labels: By axis.

    >>> in_words({"trained on": "miss text", "missing rate": "0.5"})
    'trained on miss text, missing rate 0.5'
    """
    return ", ".join(f"{axis} {label}" for axis, label in labels.items())


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Returns the mean and the standard deviation of a sample (n - 1), which one value does not have.

    Args:
        values: At least one.

    >>> mean_and_deviation([1.0, 2.0, 3.0])
    (2.0, 1.0)
    """
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None
