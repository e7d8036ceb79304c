"""Client by client: which patterns its training data has, and how far it stays below the best possible."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure, SubFigure

from fedprime.report.collection import Collection, in_words
from fedprime.report.compare import Block, Cell
from fedprime.report.finished_runs import FinishedRun
from fedprime.report.plots.canvas import WIDTH, Drawing, pages

_MAX_INCHES = 12.0
_LETTER = 0.05  # inches that each letter of a turned label takes below a panel


def draw_clients(collection: Collection, blocks: Sequence[Block]) -> Iterator[Drawing]:
    """Draws heat maps of clients: the shares of patterns beside the accuracy of every cell, for one seed.

    Clients are other ones with every seed, so there is no mean over seeds.
    """
    compared = collection.compared
    panels = [(block, *group) for block in blocks for group in _groups(block)]
    panels = [panel for panel in panels if _is_known(panel[2])]
    if not panels:
        return
    scales = _scales([runs for _, _, runs in panels])
    found = [name for run in collection.runs for name, counts in run.patterns.items() if any(counts)]
    patterns = list(dict.fromkeys(found))
    foot = _LETTER * max(len(name) for name in (*patterns, *(cell.label for block in blocks for cell in block.cells)))
    heights = [0.9 + foot + max(1.6, min(4.0, 0.15 * len(_patterns(group[0], patterns)))) for _, _, group in panels]
    most = max(1, int(_MAX_INCHES / max(heights)))
    for ending, some in pages(list(range(len(panels))), most):
        figure = Figure(figsize=(WIDTH, sum(heights[index] for index in some)), layout="constrained")
        rows = figure.subfigures(len(some), squeeze=False, height_ratios=[heights[index] for index in some])[:, 0]
        for row, index in zip(rows, some, strict=True):
            block, cells, runs = panels[index]
            _draw(row, block, cells, runs, scales, patterns)
        says = (
            f"Clients, sorted by their training data: share of each pattern, and per {compared} the accuracy on their "
            "own test samples minus the Bayes limit that knows their labels; one seed"
        )
        yield Drawing(f"clients{ending}", says, figure)


def _groups(block: Block) -> Iterator[tuple[tuple[Cell, ...], tuple[FinishedRun, ...]]]:
    """Yields the cells whose clients are the same, each with its run that knows its clients."""
    groups: dict[tuple[object, ...], list[tuple[Cell, FinishedRun]]] = {}
    for cell in block.cells:
        run = next((run for run in cell.runs if run.results.clients and run.patterns), None)
        if run is not None:
            key = (run.results.seed, tuple(sorted(run.patterns.items())))
            groups.setdefault(key, []).append((cell, run))
    for group in groups.values():
        yield tuple(cell for cell, _ in group), tuple(run for _, run in group)


def _patterns(run: FinishedRun, names: Sequence[str]) -> np.ndarray:
    """Returns the share of every pattern in the training data of every client."""
    none = (0,) * max(map(len, run.patterns.values()))
    counts = np.array([run.patterns.get(name, none) for name in names], dtype=float).T
    return counts / np.maximum(1, counts.sum(axis=1, keepdims=True))


def _differences(run: FinishedRun) -> tuple[np.ndarray, bool]:
    """Returns accuracy minus Bayes limit per client in points, or accuracy where no limit is known, and which."""
    scores = [run.results.clients[name] for name in sorted(run.results.clients, key=int)]
    has_limit = all(entry is None or entry.bayes_accuracy is not None for entry in scores)
    values = [
        np.nan if entry is None else 100 * (entry.accuracy - (entry.bayes_accuracy or 0.0) * has_limit)
        for entry in scores
    ]
    return np.array(values), has_limit


def _is_known(runs: Sequence[FinishedRun]) -> bool:
    return any(scores is not None for run in runs for scores in run.results.clients.values())


def _scales(groups: Sequence[Sequence[FinishedRun]]) -> Mapping[bool, tuple[float, float]]:
    """Returns the ends of the colour scale that all panels share, for points to the limit and for accuracies."""
    ends: dict[bool, tuple[float, float]] = {}
    for runs in groups:
        found = [_differences(run) for run in runs]
        values = np.concatenate([column for column, _ in found])
        has_limit = all(known for _, known in found)
        low, high = ends.get(has_limit, (np.inf, -np.inf))
        ends[has_limit] = min(low, float(np.nanmin(values))), max(high, float(np.nanmax(values)))
    return ends


def _draw(
    figure: SubFigure,
    block: Block,
    cells: Sequence[Cell],
    runs: Sequence[FinishedRun],
    scales: Mapping[bool, tuple[float, float]],
    names: Sequence[str],
) -> None:
    shares = _patterns(runs[0], names)
    order = np.lexsort(shares.T[::-1])[::-1]
    found = [_differences(run) for run in runs]
    values = np.stack([column[order] for column, _ in found], axis=1)
    has_limit = all(known for _, known in found)
    width = min(0.6, max(0.25, len(names) / (len(names) + 1.3 * len(cells))))
    left, right = figure.subplots(1, 2, width_ratios=[width, 1 - width])
    mixes = left.imshow(100 * shares[order], aspect="auto", cmap="Greys", vmin=0, vmax=100, interpolation="nearest")
    low, high = scales[has_limit]
    accuracies = right.imshow(values, aspect="auto", cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
    figure.colorbar(mixes, ax=left, label="training samples, %", pad=0.02)
    figure.colorbar(accuracies, ax=right, label="points to Bayes limit" if has_limit else "accuracy, %", pad=0.02)
    labels = in_words(block.labels)
    figure.suptitle(", ".join(filter(None, [labels, f"seed {runs[0].results.seed}"])), x=0.01, ha="left", fontsize=10.5)
    for panel, heads, room in ((left, names, 100 * width), (right, [cell.label for cell in cells], 100 * (1 - width))):
        turned = (max(map(len, heads)) + 2) * len(heads) > 0.7 * room
        panel.set_xticks(range(len(heads)), heads, rotation=40 if turned else 0, ha="right" if turned else "center")
        panel.grid(visible=False)
        panel.set_yticks([])
    step = max(1, len(order) // 20)
    left.set_yticks(range(0, len(order), step), [str(client) for client in order[::step]], fontsize=7)
    left.set_ylabel("client")
