"""What happens round by round: accuracy on the validation samples, and the size of pools."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from fedprime.report.collection import Collection, in_words
from fedprime.report.compare import Block, Cell
from fedprime.report.finished_runs import over_seeds
from fedprime.report.plots.canvas import (
    Drawing,
    LimitLines,
    Mark,
    add_legend,
    block_figures,
    marks_in,
    marks_of,
    round_ticks,
    share_axes,
)

# Bands of so many lines hide each other.
_MAX_BANDS = 6
# One part in so many of the rounds is early: it may lie below the plot, where methods still differ by nothing but luck.
_EARLY = 6


def draw_rounds(collection: Collection, blocks: Sequence[Block]) -> Iterator[Drawing]:
    """Draws validation accuracy over rounds, a panel per block."""
    compared = collection.compared
    marks = marks_of(collection.axes[compared])
    measured = [block for block in blocks if any(len(_curve(cell)[0]) for cell in block.cells)]
    late = [
        mean[len(mean) // _EARLY :].min() for block in measured for _, mean, _ in map(_curve, block.cells) if len(mean)
    ]
    figures = list(block_figures(measured, 3.2))
    limits = [LimitLines() for _ in figures]
    for (_, figure, panels), lines in zip(figures, limits, strict=True):
        for panel, block in panels:
            for cell in block.cells:
                _draw_cell(panel, cell, marks[cell.label], 0.2 if len(block.cells) <= _MAX_BANDS else 0.12)
            lines.draw(panel, {cell.label: _limit(cell) for cell in block.cells})
            panel.set_ylim(bottom=100 * min(late) - 2)
            _label(panel, block, "validation accuracy, %")
        add_legend(figure, marks_in(marks, [block for _, block in panels]), lines.entries(), lines=True)
    share_axes([panel for _, _, panels in figures for panel, _ in panels])
    for ending, figure, _ in figures:
        says = f"Validation accuracy over rounds per {compared}, mean over seeds; band: one standard deviation"
        yield Drawing(f"rounds{ending}", says, figure)


def draw_pools(collection: Collection, blocks: Sequence[Block]) -> Iterator[Drawing]:
    """Draws the size of pools over rounds, a panel per block."""
    compared = collection.compared
    marks = marks_of(collection.axes[compared])
    pools = dict.fromkeys(name for run in collection.runs for name in run.history.pool_sizes)
    styles = dict(zip(pools, ("-", "--", ":", "-.") * len(pools), strict=False))
    sized = [block for block in blocks if any(run.history.pool_sizes for cell in block.cells for run in cell.runs)]
    figures = list(block_figures(sized, 2.8))
    for _, figure, panels in figures:
        shown: dict[str, Mark] = {}
        for panel, block in panels:
            for cell, (name, style) in itertools.product(block.cells, styles.items()):
                columns = [run.history.sizes_of(name) for run in cell.runs if name in run.history.pool_sizes]
                if columns:
                    color = marks[cell.label].color
                    shown[cell.label] = Mark(color, "", "-")
                    rounds, mean, deviation = over_seeds(columns, cell.runs[0].history.start)
                    panel.plot(rounds, mean, color=color, linestyle=style)
                    panel.fill_between(rounds, mean - deviation, mean + deviation, color=color, alpha=0.15, linewidth=0)
            _label(panel, block, "prompts in the pool")
            panel.yaxis.set_major_locator(round_ticks())
        kinds = [
            Line2D([], [], color="#555555", linestyle=style, label=f"{name.removeprefix('pools.')} pool")
            for name, style in styles.items()
        ]
        add_legend(figure, shown, kinds, lines=True)
    share_axes([panel for _, _, panels in figures for panel, _ in panels])
    for ending, figure, _ in figures:
        says = f"Size of the prompt pools over rounds per {compared}, mean over seeds; band: one standard deviation"
        yield Drawing(f"pools{ending}", says, figure)


def _label(panel: Axes, block: Block, quantity: str) -> None:
    panel.set_title(in_words(block.labels))
    panel.set_xlabel("round")
    panel.set_ylabel(quantity)
    panel.xaxis.set_major_locator(round_ticks())


def _draw_cell(panel: Axes, cell: Cell, mark: Mark, opacity: float) -> None:
    rounds, mean, deviation = _curve(cell)
    if not len(rounds):
        return
    panel.plot(
        rounds,
        100 * mean,
        color=mark.color,
        marker=mark.marker,
        linestyle=mark.dashes,
        markersize=4.5,
        markevery=max(1, len(rounds) // 8),
        linewidth=1.4,
    )
    low, high = 100 * (mean - deviation), 100 * (mean + deviation)
    panel.fill_between(rounds, low, high, color=mark.color, alpha=opacity, linewidth=0)


def _limit(cell: Cell) -> list[tuple[float, float]]:
    rounds, mean, _ = over_seeds([run.history.bayes_accuracy for run in cell.runs], cell.runs[0].history.start)
    return list(zip(rounds.astype(float).tolist(), (100 * mean).tolist(), strict=True))


def _curve(cell: Cell) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return over_seeds([run.history.accuracy for run in cell.runs], cell.runs[0].history.start)
