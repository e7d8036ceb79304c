"""Tables for people: accuracy of every cell in every test scenario, the Bayes limit, what it took, what was sent."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fedprime.report.collection import Collection, in_words
from fedprime.report.compare import MIN_SEEDS, Block, Cell, Comparison, mean_and_deviation, significantly_best
from fedprime.report.finished_runs import OWN_OBJECTS, Results

#: Longer tables are divided by the first axis that is not compared.
_MAX_ROWS = 24
_MAX_COMMITS = 4
_PRIVACY = "ε, δ"
_DIRECTIONS: tuple[Literal["down", "up"], ...] = ("down", "up")
_COSTS = ("n", "validation", "rounds", "s/run", "MB/round", "MB", "trained", "sent")


@dataclass(frozen=True)
class Entry:
    """What stands in one place of a table; its text is not yet escaped."""

    text: str
    is_bold: bool = False


@dataclass(frozen=True)
class Table:
    """A table, before it is written in some language.

    Attributes:
        title: What holds for all of it; empty if nothing does.
        labels: Heads of the first columns, which say what a row is.
        scenarios: Heads of the columns with accuracies.
        costs: Heads of the last columns.
        rows: The entries of every row, in the order of the heads.
    """

    title: str
    labels: tuple[str, ...]
    scenarios: tuple[str, ...]
    costs: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]


def percent(mean: float, deviation: float | None = None) -> str:
    """Returns a share in %, with its standard deviation if there is one.

    >>> percent(0.8314, 0.0052)
    '83.1 ± 0.5'
    """
    return f"{100 * mean:.1f}" if deviation is None else f"{100 * mean:.1f} ± {100 * deviation:.1f}"


def accuracy_tables(blocks: Sequence[Block], comparisons: Sequence[Sequence[Comparison]]) -> list[Table]:
    """Returns the tables: all in one, or one per label of the first axes where one would be too long.

    Args:
        comparisons: By block, as from `compare_cells`.
    """
    best = [significantly_best(block, of_block) for block, of_block in zip(blocks, comparisons, strict=True)]
    return _divided(list(zip(blocks, best, strict=True)), {})


def caption(collection: Collection, blocks: Sequence[Block]) -> str:
    """Returns what a reader has to know about the tables."""
    runs = collection.runs
    seeds = sorted({run.results.seed for run in runs})
    own = (str(run.settings.get(f"{OWN_OBJECTS}source") or run.settings["data.name"]) for run in runs)
    names = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in own))
    of_world = ("data.num_classes", "data.num_train", "data.num_test", "data.world_seed")
    world = _fixed(collection, of_world) if names == "builtin" else ""  # of other data they mean nothing
    machines = dict.fromkeys(f"{run.environment.processor} ({run.environment.cores} cores)" for run in runs)
    commits = list(dict.fromkeys(run.environment.commit or "none recorded" for run in runs))
    days = sorted({run.finished for run in runs})
    num_seeds = [cell.seeds for block in blocks for cell in block.cells]
    if max(map(len, num_seeds)) < MIN_SEEDS:
        bold = f"Nothing is bold: with fewer than {MIN_SEEDS} seeds nothing can be tested."
    elif all(sum(not cell.is_reference for cell in block.cells) < 2 for block in blocks):
        bold = "Nothing is bold: there is nothing to compare."
    else:
        bold = (
            "Bold: significantly better than every other in its column and group (paired t-test over seeds, two-sided, "
            "Holm-corrected p < 0.05; centralized methods are upper references and do not compete)."
        )
    over = "seeds" if len(seeds) > 1 else "seed"
    limit = any(block.limits for block in blocks)
    return " ".join(
        [
            f"Accuracy in %, mean ± standard deviation over {over} {', '.join(map(str, seeds))} (n: how many).",
            "Bayes limit: the accuracy that no classifier can beat on these samples, mean over seeds." * limit,
            bold,
            "validation: accuracy on validation samples after the last round, by which settings may be chosen;",
            "s/run: median of the rounds' seconds; MB: 10⁶ bytes, sent in both directions by all clients; trained, "
            "sent: how many values.",
            "ε, δ: what the run tells about any one client (docs/privacy.md)."
            * any(run.results.privacy for run in runs),
            f"Data: {names}{f' ({world})' if world else ''}.",
            f"Machine: {'; '.join(machines)}.",
            f"Commit: {', '.join(commits[:_MAX_COMMITS])}{' and others' * (len(commits) > _MAX_COMMITS)}.",
            f"Finished: {days[0]}{f' to {days[-1]}' if len(days) > 1 else ''}.",
        ]
    ).replace("  ", " ")


def _fixed(collection: Collection, names: Sequence[str]) -> str:
    """Returns the settings that hold for all runs, in words."""
    values = {name: {str(run.settings.get(name)) for run in collection.runs} for name in names}
    return ", ".join(
        f"{name.rpartition('.')[2].removeprefix('num_').replace('_', ' ')}: {found.pop()}"
        for name, found in values.items()
        if len(found) == 1
    )


def _divided(blocks: Sequence[tuple[Block, Mapping[str, str]]], shared: Mapping[str, str]) -> list[Table]:
    first = blocks[0][0]
    axis = next((axis for axis in first.labels if axis not in shared), None)
    if axis is None or sum(len(block.cells) for block, _ in blocks) <= _MAX_ROWS:
        return [_table(blocks, shared)]
    tables: list[Table] = []
    for label in dict.fromkeys(block.labels[axis] for block, _ in blocks):
        inside = [entry for entry in blocks if entry[0].labels[axis] == label]
        tables += _divided(inside, {**shared, axis: label})
    return tables


def _table(blocks: Sequence[tuple[Block, Mapping[str, str]]], shared: Mapping[str, str]) -> Table:
    scenarios = tuple(dict.fromkeys(name for block, _ in blocks for name in block.scenarios))
    axes = [axis for axis in blocks[0][0].labels if axis not in shared]
    compared = blocks[0][0].compared
    are_private = any(run.results.privacy for block, _ in blocks for cell in block.cells for run in cell.runs)
    costs = (*_COSTS, _PRIVACY) if are_private else _COSTS
    rows: list[tuple[Entry, ...]] = []
    for block, best in blocks:
        before = tuple(Entry(block.labels[axis]) for axis in axes)
        for cell in block.cells:
            accuracies = [_accuracy(cell, name, best.get(name) == cell.label) for name in scenarios]
            rows.append((*before, Entry(cell.label), *accuracies, *map(Entry, _costs(cell)[: len(costs)])))
        limits = sorted(block.limits, key=lambda limit: -len(limit.cells))
        for number, limit in enumerate(limits):
            alone = number == 0 and len(limit.cells) > len(block.cells) / 2
            name = "Bayes limit" if alone else f"Bayes limit of {', '.join(limit.cells)}"
            known = [
                Entry(percent(limit.by_scenario[name]) if name in limit.by_scenario else "-") for name in scenarios
            ]
            rows.append((*before, Entry(name), *known, *(Entry("") for _ in costs)))
    return Table(in_words(shared), (*axes, compared), scenarios, costs, tuple(rows))


def _accuracy(cell: Cell, scenario: str, is_bold: bool) -> Entry:
    values = list(cell.scores(scenario).values())
    return Entry(percent(*mean_and_deviation(values)), is_bold) if values else Entry("-")


def _costs(cell: Cell) -> tuple[str, ...]:
    results = [run.results for run in cell.runs]
    megabytes = [entry.bytes_sent / 1e6 for entry in results]
    seconds = statistics.median(entry.seconds for entry in results)
    per_round = [sent / max(1, entry.rounds) for sent, entry in zip(megabytes, results, strict=True)]
    measured = [[value for value in run.history.accuracy if value is not None] for run in cell.runs]
    validation = [values[-1] for values in measured if values]
    return (
        str(len(results)),
        percent(*mean_and_deviation(validation)) if validation else "-",
        _range([entry.rounds for entry in results]),
        f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}",
        f"{statistics.fmean(per_round):.2f}",
        f"{statistics.fmean(megabytes):.1f}",
        _range([entry.trained_values for entry in results]),
        _range([entry.sent_values for entry in results]),
        _epsilon(results),
    )


def privacy_spent(results: Sequence[Results]) -> tuple[float, float] | None:
    """Returns the largest epsilon, infinite where there is no noise, and delta; None where a run is not private."""
    spent = [entry.privacy for entry in results if entry.privacy is not None]
    if len(spent) < len(results):
        return None
    return max(math.inf if entry.epsilon is None else entry.epsilon for entry in spent), max(e.delta for e in spent)


def _epsilon(results: Sequence[Results]) -> str:
    spent = privacy_spent(results)
    if spent is None:
        return "-"
    return f"{spent[0]:.1f}, {spent[1]:g}" if math.isfinite(spent[0]) else "∞"


def _range(values: Sequence[int]) -> str:
    """Returns the one value, or the smallest and the largest: pools grow differently with every seed."""
    return f"{min(values):,}" if len(set(values)) == 1 else f"{min(values):,}-{max(values):,}"


def client_tables(blocks: Sequence[Block]) -> list[Table]:
    """Returns the table of accuracy at its client, beside its limit where that is known; none if no run knows it."""
    known = [block for block in blocks if any(_at_client(block, name) for name in block.scenarios)]
    if not known:
        return []
    scenarios = tuple(dict.fromkeys(name for block in known for name in block.scenarios if _at_client(block, name)))
    rows: list[tuple[Entry, ...]] = []
    for block in known:
        before = tuple(map(Entry, block.labels.values()))
        for cell in block.cells:
            found = [list(cell.scores(name, "own_accuracy").values()) for name in scenarios]
            if any(found):
                shown = [percent(*mean_and_deviation(values)) if values else "-" for values in found]
                rows.append((*before, Entry(cell.label), *map(Entry, shown)))
        limits = [
            [value for cell in block.cells for value in cell.scores(name, "own_bayes_accuracy").values()]
            for name in scenarios
        ]
        if any(limits):
            shown = [percent(statistics.fmean(values)) if values else "-" for values in limits]
            rows.append((*before, Entry("Bayes limit there"), *map(Entry, shown)))
    title = "at its client: with the label frequencies of the client that a sample belongs to"
    return [Table(title, (*known[0].labels, known[0].compared), scenarios, (), tuple(rows))]


def _at_client(block: Block, scenario: str) -> bool:
    return any(cell.scores(scenario, "own_accuracy") for cell in block.cells)


def traffic_tables(blocks: Sequence[Block]) -> list[Table]:
    """Returns the table of traffic: a row per cell and direction, a column per part; none if nothing is known."""
    cells = [(block, cell) for block in blocks for cell in block.cells if _parts(cell)]
    if not cells:
        return []
    parts = tuple(dict.fromkeys(part for _, cell in cells for part in _parts(cell)))
    axes = tuple(cells[0][0].labels)
    rows: list[tuple[Entry, ...]] = []
    for block, cell in cells:
        for direction in _DIRECTIONS:
            sent = [_kilobytes(cell, direction, part) for part in parts]
            amounts = [f"{amount:,.1f}" if amount else "-" for amount in (*sent, sum(sent))]
            rows.append(tuple(map(Entry, [*block.labels.values(), cell.label, direction, *amounts])))
    title = "sent in a round, in kB (10³ bytes), by part of the model"
    return [Table(title, (*axes, cells[0][0].compared, "direction"), (*parts, "all"), (), tuple(rows))]


def _parts(cell: Cell) -> list[str]:
    """Returns the parts that the runs of a cell sent, in the order in which they are first met."""
    found = (part for run in cell.runs for sent in run.results.bytes_by_part.values() for part in sent)
    return list(dict.fromkeys(found))


def _kilobytes(cell: Cell, direction: Literal["down", "up"], part: str) -> float:
    """Returns the mean over runs."""
    known = [run.results for run in cell.runs if run.results.bytes_by_part]
    return statistics.fmean(
        entry.bytes_by_part[direction].get(part, 0) / max(1, entry.rounds) / 1000 for entry in known
    )
