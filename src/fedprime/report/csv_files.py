"""The numbers of a report as CSV, one fact per row: accuracies as shares, times in seconds, traffic in bytes."""

import csv
import io
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from fedprime.report.cells import Block, mean_and_deviation
from fedprime.report.collection import Collection
from fedprime.report.comparisons import Comparison
from fedprime.report.finished_runs import Results

__all__ = ["cells_csv", "comparisons_csv", "runs_csv"]

_DIGITS = 6


def runs_csv(collection: Collection) -> str:
    """Returns a row per run and test scenario.

    Args:
        collection: The runs.
    """
    results = ("method", "rounds", "seconds", "bytes_down", "bytes_up", "trained_values", "sent_values")
    scores = ("accuracy", "bayes_accuracy", "macro_f1", "loss", "num_samples")
    axes = [_axis_head(axis, results) for axis in collection.axes]
    return _csv(
        [*axes, "seed", "scenario", *scores, *results, "commit", "processor", "finished"],
        (
            [
                *(run.labels or {}).values(),
                run.results.seed,
                scenario,
                *(getattr(of_scenario, name) for name in scores),
                *(getattr(run.results, name) for name in results),
                run.environment.commit,
                run.environment.processor,
                run.finished,
            ]
            for run in collection.runs
            for scenario, of_scenario in run.results.scenarios.items()
        ),
    )


def cells_csv(collection: Collection, blocks: Sequence[Block]) -> str:
    """Returns a row per combination of labels and test scenario, over its seeds.

    Args:
        collection: The runs.
        blocks: The same, grouped.
    """
    heads = ["scenario", "mean", "sd", "n", "seeds", "bayes", "gap_to_bayes", "macro_f1", "rounds", "seconds_median"]
    heads += ["bytes_per_round", "bytes", "trained_values", "sent_values", "epsilon", "delta"]
    rows: list[list[Any]] = []
    for cell in (cell for block in blocks for cell in block.cells):
        results = [run.results for run in cell.runs]
        sent = [entry.bytes_down + entry.bytes_up for entry in results]
        for scenario in dict.fromkeys(name for entry in results for name in entry.scenarios):
            accuracies = cell.scores(scenario)
            mean, deviation = mean_and_deviation(list(accuracies.values()))
            limits = list(cell.scores(scenario, "bayes_accuracy").values())
            bayes = statistics.fmean(limits) if limits else None
            rows.append(
                [
                    *(cell.labels[axis] for axis in collection.axes),
                    scenario,
                    mean,
                    deviation,
                    len(accuracies),
                    " ".join(map(str, accuracies)),
                    bayes,
                    None if bayes is None else bayes - mean,
                    statistics.fmean(cell.scores(scenario, "macro_f1").values()),
                    statistics.fmean(entry.rounds for entry in results),
                    statistics.median(entry.seconds for entry in results),
                    statistics.fmean(a / b.rounds for a, b in zip(sent, results, strict=True)),
                    statistics.fmean(sent),
                    statistics.fmean(entry.trained_values for entry in results),
                    statistics.fmean(entry.sent_values for entry in results),
                    *_privacy_spent(results),
                ]
            )
    return _csv([*(_axis_head(axis, heads) for axis in collection.axes), *heads], rows)


def comparisons_csv(blocks: Sequence[Block], comparisons: Sequence[Sequence[Comparison]]) -> str:
    """Returns a row per pair and test scenario.

    Args:
        blocks: What was compared.
        comparisons: By block, as from `compare_cells`.
    """
    heads = ["scenario", "first", "second", "n", "difference", "ci95_low", "ci95_high", "p", "p_holm", "verdict"]
    return _csv(
        [*(_axis_head(axis, heads) for axis in blocks[0].labels), *heads],
        (
            [
                *block.labels.values(),
                entry.scenario,
                entry.first,
                entry.second,
                entry.num_seeds,
                entry.difference,
                entry.low,
                entry.high,
                entry.p,
                entry.p_holm,
                entry.verdict,
            ]
            for block, of_block in zip(blocks, comparisons, strict=True)
            for entry in of_block
        ),
    )


def _privacy_spent(results: Sequence[Results]) -> tuple[float | None, float | None]:
    """Returns the largest epsilon and delta; nothing where a run is not private, infinity where there is no bound."""
    spent = [entry.privacy for entry in results if entry.privacy is not None]
    if len(spent) < len(results):
        return None, None
    bounds = [math.inf if entry.epsilon is None else entry.epsilon for entry in spent]
    return max(bounds), max(entry.delta for entry in spent)


def _axis_head(axis: str, taken: Sequence[str]) -> str:
    return f"{axis} (label)" if axis in taken else axis


def _csv(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([_shortened(value) for value in row] for row in rows)
    return text.getvalue()


def _shortened(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return f"{value:.0f}" if abs(value) >= 10 ** (_DIGITS - 1) else f"{value:.{_DIGITS}g}"
