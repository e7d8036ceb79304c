"""Accuracy against the Bayes limit: per test scenario, and along an axis of numbers."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedprime.experiment.build import LIKE_TRAIN
from fedprime.report.collection import Collection, in_words
from fedprime.report.compare import Block, Cell, mean_and_deviation
from fedprime.report.plots.canvas import (
    LIMIT_COLOR,
    WIDTH,
    Drawing,
    LimitLines,
    Mark,
    add_legend,
    block_figures,
    limit_entries,
    marks_in,
    marks_of,
    own_limits,
    pages,
    share_axes,
    slug,
)

_FULL = "full"
# Along an axis whose largest value is so many times its smallest, values are spread by their logarithm.
_WIDE = 20


def draw_scenarios(collection: Collection, blocks: Sequence[Block]) -> Iterator[Drawing]:
    """Draws accuracy per test scenario, a panel per block."""
    compared = collection.compared
    marks = marks_of(collection.axes[compared])
    figures = list(block_figures(blocks, 3.2, 0.9))
    for _, figure, panels in figures:
        for panel, block in panels:
            _draw_scenarios(panel, block, marks)
        panels[-1][0].set_xlabel("what test samples have")
        some = [block for _, block in panels]
        add_legend(figure, marks_in(marks, some), limit_entries(some, marks))
    share_axes([panel for _, _, panels in figures for panel, _ in panels], "y")
    for ending, figure, _ in figures:
        says = f"Accuracy per test scenario and {compared}, mean over seeds with one standard deviation"
        yield Drawing(f"scenarios{ending}", says, figure)


def draw_curves(collection: Collection, blocks: Sequence[Block]) -> Iterator[Drawing]:
    """Draws accuracy along every axis whose labels are numbers."""
    compared = collection.compared
    cells = [cell for block in blocks for cell in block.cells]
    scenarios = dict.fromkeys(name for block in blocks for name in block.scenarios)
    shown = [name for name in (LIKE_TRAIN, _FULL) if name in scenarios] or list(scenarios)[:2]
    for axis, labels in collection.axes.items():
        numbers = {label: _number(label) for label in labels}
        values = {label: value for label, value in numbers.items() if value is not None}
        if len(values) < len(labels) or len(set(values.values())) < 2:
            continue
        lines: dict[tuple[tuple[str, str], ...], dict[str, list[Cell]]] = {}
        for cell in cells:
            rest = tuple((name, label) for name, label in cell.labels.items() if name not in (axis, compared))
            line = cell.label if compared != axis else cell.runs[0].results.method
            lines.setdefault(rest, {}).setdefault(line, []).append(cell)
        # A point alone is no curve.
        lines = {rest: of_panel for rest, of_panel in lines.items() if _is_curve(of_panel, axis, shown)}
        marks = marks_of(list(dict.fromkeys(line for of_panel in lines.values() for line in of_panel)))
        drawn: list[Axes] = []
        figures: list[tuple[str, Figure]] = []
        for ending, some in pages(list(lines)):
            limits = LimitLines()
            figure = Figure(figsize=(WIDTH, 0.8 + 3.0 * len(some)), layout="constrained")
            panels = figure.subplots(len(some), len(shown), squeeze=False)
            for row, rest in zip(panels, some, strict=True):
                for panel, scenario in zip(row, shown, strict=True):
                    for line, of_line in lines[rest].items():
                        points = [(values[cell.labels[axis]], cell) for cell in of_line]
                        _draw_curve(panel, points, scenario, marks[line])
                    limits.draw(panel, {line: _limits(of, axis, values, scenario) for line, of in lines[rest].items()})
                    panel.set_title("; ".join(filter(None, [in_words(dict(rest)), f"tested on {scenario}"])))
                    _set_numbers(panel, axis, values)
                row[0].set_ylabel("accuracy, %")
                drawn.extend(row)
            add_legend(figure, marks, limits.entries(), lines=True)
            figures.append((ending, figure))
        if drawn:
            share_axes(drawn, "y")
        for ending, figure in figures:
            says = f"Accuracy against {axis}, mean over seeds with one standard deviation"
            yield Drawing(f"curve-{slug(axis)}{ending}", says, figure)


def _set_numbers(panel: Axes, axis: str, values: Mapping[str, float]) -> None:
    """Sets the horizontal axis, by the number of every label."""
    panel.set_xlabel(f"{axis}{', %' if '%' in next(iter(values)) else ''}")
    numbers = sorted(set(values.values()))
    if numbers[0] > 0 and numbers[-1] > _WIDE * numbers[0]:
        panel.set_xscale("log")
        panel.set_xticks(numbers, list(values), minor=False)
        panel.set_xticks([], minor=True)
    else:
        panel.set_xticks(numbers)


def _draw_scenarios(panel: Axes, block: Block, marks: dict[str, Mark]) -> None:
    slot = 0.84 / len(block.cells)
    size = 6 if slot > 0.1 else 4
    own = own_limits(block)
    for number, cell in enumerate(block.cells):
        mark = marks[cell.label]
        for place, scenario in enumerate(block.scenarios):
            x = place - 0.42 + (number + 0.5) * slot
            accuracies = list(cell.scores(scenario).values())
            if accuracies:
                mean, deviation = mean_and_deviation(accuracies)
                panel.errorbar(
                    x, 100 * mean, 100 * (deviation or 0), color=mark.color, marker=mark.marker, markersize=size
                )
            limits = list(cell.scores(scenario, "bayes_accuracy").values())
            if limits:
                color = mark.color if cell.label in own else LIMIT_COLOR
                panel.hlines(100 * float(np.mean(limits)), x - slot / 2, x + slot / 2, color=color, linewidth=1.5)
    panel.set_xticks(range(len(block.scenarios)), block.scenarios)
    panel.set_xlim(-0.5, len(block.scenarios) - 0.5)
    for edge in range(1, len(block.scenarios)):
        panel.axvline(edge - 0.5, color="#cccccc", linewidth=0.8)
    panel.grid(visible=False, axis="x")
    panel.set_ylabel("accuracy, %")
    panel.set_title(in_words(block.labels))


def _draw_curve(panel: Axes, points: Sequence[tuple[float, Cell]], scenario: str, mark: Mark) -> None:
    known = sorted(((x, cell) for x, cell in points if cell.scores(scenario)), key=lambda point: point[0])
    found = [mean_and_deviation(list(cell.scores(scenario).values())) for _, cell in known]
    means, deviations = [100 * mean for mean, _ in found], [100 * (deviation or 0) for _, deviation in found]
    panel.errorbar(
        [x for x, _ in known],
        means,
        deviations,
        color=mark.color,
        marker=mark.marker,
        linestyle=mark.dashes,
        markersize=5,
        capsize=2,
    )


def _limits(cells: Sequence[Cell], axis: str, values: Mapping[str, float], scenario: str) -> list[tuple[float, float]]:
    """Returns the best possible at every place of the axis where it is known."""
    scores = [(values[cell.labels[axis]], list(cell.scores(scenario, "bayes_accuracy").values())) for cell in cells]
    return sorted((x, 100 * float(np.mean(found))) for x, found in scores if found)


def _is_curve(lines: Mapping[str, Sequence[Cell]], axis: str, scenarios: Sequence[str]) -> bool:
    return any(
        len({cell.labels[axis] for cell in cells if cell.scores(scenario)}) > 1
        for cells in lines.values()
        for scenario in scenarios
    )


def _number(label: str) -> float | None:
    """Returns the number that a label is, if it is one: "0.25", "25 %"."""
    try:
        value = float(label.removesuffix("%"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
