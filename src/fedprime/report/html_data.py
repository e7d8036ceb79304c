"""What the page of a report shows, as plain data: small, whatever the number of rounds and clients."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import tomlkit

from fedprime.report.collection import Collection
from fedprime.report.compare import MIN_SEEDS, Block, Cell, Score, compare_cells, mean_and_deviation
from fedprime.report.compare import significantly_best as best_of
from fedprime.report.finished_runs import OWN_OBJECTS, FinishedRun, History, over_seeds
from fedprime.report.plots.canvas import marks_of
from fedprime.report.tables import privacy_spent

#: By score, what it is called.
SCORES: Mapping[Score, str] = {
    "accuracy": "accuracy",
    "own_accuracy": "at its client",
    "bayes_accuracy": "Bayes limit",
    "own_bayes_accuracy": "limit there",
    "majority_accuracy": "majority",
    "macro_f1": "macro-F1",
}
_TESTED: tuple[Score, ...] = ("accuracy", "own_accuracy")
# So many points of a curve and rows of a heat map are shown at most, evenly chosen.
_MAX_POINTS = 100
_MAX_CLIENTS = 200
_DIGITS = 5


def page_data(
    name: str, collection: Collection, blocks: Sequence[Block], caption: str, commands: Sequence[str]
) -> dict[str, Any]:
    """Returns everything that the page of a report shows.

    Args:
        commands: How the report was made, and how it is made again.
    """
    compared = collection.compared
    cells = [cell for block in blocks for cell in block.cells]
    known = {score for cell in cells for score in SCORES for name in _scenarios(cell) if cell.scores(name, score)}
    shared, differing = _settings(collection.runs)
    return {
        "name": name,
        "caption": caption,
        "compared": compared,
        "axes": {axis: list(labels) for axis, labels in collection.axes.items()},
        "scenarios": list(dict.fromkeys(name for block in blocks for name in block.scenarios)),
        "scores": {score: title for score, title in SCORES.items() if score in known},
        "colors": {label: mark.color for label, mark in marks_of(collection.axes[compared]).items()},
        "cells": [_cell(cell, differing) for cell in cells],
        "comparisons": [row for block in blocks for score in _TESTED if score in known for row in _pairs(block, score)],
        "min_seeds": MIN_SEEDS,
        "runs": [_run(run) for run in collection.runs],
        "settings": {"shared": shared, "differing": differing},
        "commands": list(commands),
        "problems": list(collection.problems),
        "notes": list(collection.notes),
    }


def curves_of(histories: Sequence[History]) -> dict[str, Any]:
    """Returns by quantity what was measured round by round: the rounds, means and deviations over seeds.

    Args:
        histories: One per seed.
    """
    columns = {
        "validation accuracy, %": [[*map(_scaled, history.accuracy)] for history in histories],
        "Bayes limit": [[*map(_scaled, history.bayes_accuracy)] for history in histories],
        "training loss": [history.loss for history in histories],
        "sent, MB": [[sent / 1e6 for sent in history.bytes] for history in histories],
    }
    for pool in dict.fromkeys(pool for history in histories for pool in history.pool_sizes):
        sizes = [history.sizes_of(pool) for history in histories if pool in history.pool_sizes]
        columns[f"prompts in the {pool.removeprefix('pools.')} pool"] = sizes
    curves: dict[str, Any] = {}
    for quantity, of_seeds in columns.items():
        rounds, mean, deviation = over_seeds(of_seeds, histories[0].start)
        if len(rounds):
            kept = _evenly(len(rounds), _MAX_POINTS)
            curves[quantity] = [
                [_short(float(column[number])) for number in kept] for column in (rounds, mean, deviation)
            ]
    return curves


def _evenly(number: int, most: int) -> list[int]:
    """Returns at most so many places among a number of them, the first and the last included."""
    if number <= most:
        return list(range(number))
    return [round(place * (number - 1) / (most - 1)) for place in range(most)]


def _short(value: float | None) -> float | int | None:
    """Returns a number with no more digits than anybody sees."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else float(f"{value:.{_DIGITS}g}")


def _scenarios(cell: Cell) -> list[str]:
    return list(dict.fromkeys(name for run in cell.runs for name in run.results.scenarios))


def _cell(cell: Cell, differing: Sequence[str]) -> dict[str, Any]:
    results = [run.results for run in cell.runs]
    spent = privacy_spent(results)
    return {
        "labels": dict(cell.labels),
        "reference": cell.is_reference,
        "seeds": list(cell.seeds),
        "scores": {name: _means(cell, name) for name in _scenarios(cell)},
        "costs": {
            "n": len(results),
            "rounds": max(entry.rounds for entry in results),
            "s/run": _short(statistics.median(entry.seconds for entry in results)),
            "MB": _short(statistics.fmean(entry.bytes_sent / 1e6 for entry in results)),
            "trained": max(entry.trained_values for entry in results),
            "sent": max(entry.sent_values for entry in results),
            **({} if spent is None else {"ε": _short(spent[0]) if math.isfinite(spent[0]) else "∞", "δ": spent[1]}),
        },
        "curves": curves_of([run.history for run in cell.runs]),
        "clients": next((_clients(run) for run in cell.runs if run.results.clients or run.patterns), None),
        "settings": _lines(cell.runs[0], differing),
        "own_objects": sorted(name for name in cell.runs[0].settings if name.startswith(OWN_OBJECTS)),
    }


def _means(cell: Cell, scenario: str) -> dict[str, Any]:
    found = {score: list(cell.scores(scenario, score).values()) for score in SCORES}
    return {
        score: [_short(_scaled(part)) for part in mean_and_deviation(values)]
        for score, values in found.items()
        if values
    }


def _clients(run: FinishedRun) -> dict[str, Any]:
    """Returns what is known client by client of one run, of some clients where there are many."""
    number = max(len(run.results.clients), *map(len, run.patterns.values()), 0)
    kept = _evenly(number, _MAX_CLIENTS)
    scores = [run.results.clients.get(str(client)) for client in kept]
    return {
        "seed": run.results.seed,
        "all": number,
        "names": kept,
        "patterns": {name: [counts[client] for client in kept] for name, counts in run.patterns.items()},
        "scores": {
            score: [None if entry is None else _short(_scaled(getattr(entry, score))) for entry in scores]
            for score in SCORES
            if any(entry is not None and getattr(entry, score) is not None for entry in scores)
        },
    }


def _scaled(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _pairs(block: Block, score: Score) -> list[dict[str, Any]]:
    """Returns every pair that can be tested, and in how many points its first is ahead."""
    compared = compare_cells(block, score)
    best = best_of(block, compared)
    return [
        {
            "labels": dict(block.labels),
            "score": score,
            "scenario": entry.scenario,
            "first": entry.first,
            "second": entry.second,
            "n": entry.num_seeds,
            **{key: _short(_scaled(getattr(entry, key))) for key in ("difference", "low", "high")},
            "p": _short(entry.p),
            "p_holm": _short(entry.p_holm),
            "better": entry.better,
            "verdict": entry.verdict,
            "best": best.get(entry.scenario),
        }
        for entry in compared
        if entry.num_seeds >= MIN_SEEDS
    ]


def _run(run: FinishedRun) -> dict[str, Any]:
    where, results = run.environment, run.results
    return {
        "labels": dict(run.labels),
        "seed": results.seed,
        "finished": run.finished,
        "machine": f"{where.processor}, {where.cores} cores",
        "commit": where.commit,
        "backbone": where.backbone,
        "seconds": _short(results.seconds),
        "scores": {
            name: {
                score: _short(_scaled(getattr(scores, score))) for score in SCORES if getattr(scores, score) is not None
            }
            for name, scores in results.scenarios.items()
        },
    }


def _settings(runs: Sequence[FinishedRun]) -> tuple[dict[str, str], list[str]]:
    """Returns the settings that hold for all runs, as TOML writes them, and the names of the others."""
    names = dict.fromkeys(name for run in runs for name in run.settings if name != "seed")
    first = runs[0]
    shared = [name for name in names if all(_same(run, first, name) for run in runs)]
    return _lines(first, shared), [name for name in names if name not in shared]


def _same(run: FinishedRun, other: FinishedRun, name: str) -> bool:
    return (name in run.settings) == (name in other.settings) and run.settings.get(name) == other.settings.get(name)


def _lines(run: FinishedRun, names: Sequence[str]) -> dict[str, str]:
    """Returns settings as TOML writes them; it has no word for None."""
    known = {name: run.settings[name] for name in names if run.settings.get(name) is not None}
    return {name: tomlkit.item(value).as_string() for name, value in known.items()}
