"""What all plots share: how they look, which mark stands for which label, how they are saved."""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fedprime.report.compare import Block
from fedprime.reproducibility.atomic_files import replaced_file

#: Inches; at 100 pixels an inch, a plot is read at 800 pixels.
WIDTH = 8.0
LIMIT_COLOR = "#222222"
#: Lines of Bayes limits that are not the same, in the order in which they are met.
_LIMIT_DASHES = ("--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)), (0, (8, 4)))
Item = TypeVar("Item")
Dashes = Literal["-", "--", ":", "-."]

# Okabe and Ito's colours and some of Tol's, each with a form of its own: told apart without seeing colour as well.
_SLOTS = (
    *(("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#56b4e9", "v"), ("#332288", "D"), ("#e69f00", "P")),
    *(("#882255", "X"), ("#aaaaaa", "p"), ("#999933", "h"), ("#000000", "*"), ("#cc79a7", "<"), ("#8c564b", ">")),
    *(("#0000ff", "d"), ("#b22222", "H"), ("#00c5cd", "8"), ("#ff69b4", "1"), ("#6b8e23", "2"), ("#4b0082", "3")),
)
_DASHES: tuple[Dashes, ...] = ("-", "--", ":", "-.")
#: These look the same in every report; other labels take what is free.
_FIXED = (
    *("fedprime", "fedavg-p", "pfpt", "fed-inter", "fed-intra", "fedprox-p", "fedmsplit-p", "head-only", "local-p"),
    *("centralized-p", "centralized-pools", "fedavgm-p", "fedadam-p", "scaffold-p"),
)
# Panels of a figure.
_MAX_PANELS = 4


@dataclass(frozen=True)
class Mark:
    """How the points and lines of a label are drawn."""

    color: str
    marker: str
    dashes: Dashes


@dataclass(frozen=True)
class Drawing:
    """A finished plot.

    Attributes:
        name: Name of its files, without ending.
        says: What it shows, in a sentence.
    """

    name: str
    says: str
    figure: Figure


def house_style() -> AbstractContextManager[None]:
    """Sets how plots look, and makes their files the same each time."""
    return mpl.rc_context(
        {
            "font.size": 9.5,
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#e5e5e5",
            "legend.frameon": False,
            "svg.hashsalt": "fedprime",
        }
    )


_LETTERS = 100  # of a legend, in its width
_INCHES_OF_ROW = 0.22  # of a legend
_ROWS_WITH_ROOM = 3  # of a legend, within the margin of a figure


def marks_of(labels: Sequence[str]) -> dict[str, Mark]:
    """Returns how each label is drawn, wherever it occurs."""
    fixed = {label: _FIXED.index(label) for label in labels if label in _FIXED}
    free = [number for number in range(len(_SLOTS)) if number not in fixed.values()] or list(range(len(_SLOTS)))
    others = dict(zip((label for label in labels if label not in fixed), itertools.cycle(free), strict=False))
    slots = fixed | others
    seen: dict[int, int] = {}
    marks: dict[str, Mark] = {}
    for label in labels:
        slot = slots[label]
        again = seen[slot] = seen.get(slot, -1) + 1
        # Where colours run out, they come back with other forms and lines.
        marker = _SLOTS[(slot + 4 * again) % len(_SLOTS)][1]
        marks[label] = Mark(_SLOTS[slot][0], marker, _DASHES[again % len(_DASHES)])
    return marks


def add_legend(figure: Figure, marks: Mapping[str, Mark], extra: Iterable[Line2D] = (), *, lines: bool = False) -> None:
    """Adds a legend below everything else.

    Args:
        extra: Further entries.
        lines: Whether labels are lines with points, rather than points.
    """
    handles = [
        Line2D([], [], color=mark.color, marker=mark.marker, linestyle=mark.dashes if lines else "none", label=label)
        for label, mark in marks.items()
    ]
    handles += list(extra)
    lengths = [len(str(handle.get_label())) for handle in handles]
    columns = max((number for number in range(1, 7) if _width_of_columns(lengths, number) <= _LETTERS), default=1)
    columns = min(columns, len(handles))
    rows = math.ceil(len(handles) / columns)
    # Panels keep their height below which they cannot be read, however many labels there are.
    figure.set_figheight(figure.get_figheight() + _INCHES_OF_ROW * max(0, rows - _ROWS_WITH_ROOM))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def _width_of_columns(lengths: Sequence[int], number: int) -> int:
    """Returns how many letters wide entries are in so many columns, as even as can be, the longer ones first."""
    rows, num_longer = divmod(len(lengths), number)
    ends = list(itertools.accumulate(rows + (column < num_longer) for column in range(number)))
    return sum(max(lengths[start:end], default=0) + 8 for start, end in itertools.pairwise([0, *ends]))


def share_axes(panels: Sequence[Axes], which: Literal["x", "y", "both"] = "both") -> None:
    """Gives panels that are compared with each other, also those of several figures, the same axes."""
    for axis in "xy" if which == "both" else which:
        ends = [getattr(panel, f"get_{axis}lim")() for panel in panels]
        for panel in panels:
            getattr(panel, f"set_{axis}lim")(min(low for low, _ in ends), max(high for _, high in ends))


def round_ticks() -> MaxNLocator:
    """Returns what sets ticks on whole numbers, also where there is one round alone."""
    return MaxNLocator(integer=True, min_n_ticks=1)


def limit_groups(curves: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, Sequence[tuple[float, float]]]:
    """Returns limits that are not the same by name: that of most labels, and those of others.

    Limits are the same if they are wherever both are known.

    Args:
        curves: By label, the points of its limit; none where it is not known.

    >>> limit_groups({"a": [(1.0, 0.9)], "b": [(1.0, 0.8)], "c": [(0.0, 0.7), (1.0, 0.9)], "d": []})
    {'Bayes limit': [(0.0, 0.7), (1.0, 0.9)], 'Bayes limit of b': [(1.0, 0.8)]}
    """
    groups: list[tuple[dict[float, float], list[str]]] = []
    for label in sorted(curves, key=lambda label: -len(curves[label])):
        points = dict(curves[label])
        alike = [group for group in groups if _agree(group[0], points)]
        if alike:
            known, labels = max(alike, key=lambda group: len(group[1]))
            known.update(points | known)
            labels.append(label)
        elif points:
            groups.append((points, [label]))
    groups.sort(key=lambda group: -len(group[1]))
    number = sum(len(labels) for _, labels in groups)
    order = list(curves)
    return {
        "Bayes limit"
        if len(labels) > number / 2
        else f"Bayes limit of {', '.join(sorted(labels, key=order.index))}": sorted(points.items())
        for points, labels in groups
    }


def _agree(one: Mapping[float, float], other: Mapping[float, float]) -> bool:
    shared = one.keys() & other.keys()
    return bool(shared) and all(math.isclose(one[x], other[x], abs_tol=5e-4) for x in shared)


class LimitLines:
    """The lines of Bayes limits in one figure: told apart by their dashes, wherever they occur."""

    def __init__(self) -> None:
        self._dashes: dict[str, Any] = {}

    def draw(self, panel: Axes, curves: Mapping[str, Sequence[tuple[float, float]]]) -> None:
        """Draws each limit once.

        Args:
            curves: As for `limit_groups`, in points.
        """
        for name, points in limit_groups(curves).items():
            dashes = self._dashes.setdefault(name, _LIMIT_DASHES[len(self._dashes) % len(_LIMIT_DASHES)])
            x, y = zip(*points, strict=True)
            if len(points) > 1:
                panel.plot(x, y, color=LIMIT_COLOR, linestyle=dashes, linewidth=1.2, zorder=1)
            else:  # a line of one point would not be seen
                panel.axhline(y[0], color=LIMIT_COLOR, linestyle=dashes, linewidth=1.2, zorder=1)

    def entries(self) -> list[Line2D]:
        """Returns what a legend says of them."""
        return [
            Line2D([], [], color=LIMIT_COLOR, linestyle=dashes, label=name) for name, dashes in self._dashes.items()
        ]


def own_limits(block: Block) -> list[str]:
    """Returns the labels of cells whose Bayes limit is not that of most."""
    limits = sorted(block.limits, key=lambda limit: -len(limit.cells))
    shared = limits[0].cells if limits and 2 * len(limits[0].cells) > sum(len(own.cells) for own in limits) else ()
    return [label for limit in limits for label in limit.cells if label not in shared]


def limit_entries(blocks: Sequence[Block], marks: Mapping[str, Mark]) -> list[Line2D]:
    """Returns what a legend says of Bayes limits: that of most cells, and others in the colours of theirs."""
    own = [label for block in blocks for label in own_limits(block)]
    of_most = any({*limit.cells} - {*own_limits(block)} for block in blocks for limit in block.limits)
    entries = [(LIMIT_COLOR, "Bayes limit")] if of_most else []
    entries += [(marks[own[0]].color, "Bayes limit of its own, in its colour")] if own else []
    return [Line2D([], [], color=color, linestyle="-", label=label) for color, label in entries]


def marks_in(marks: Mapping[str, Mark], blocks: Sequence[Block]) -> dict[str, Mark]:
    """Returns the marks of the labels that occur in blocks."""
    labels = {cell.label for block in blocks for cell in block.cells}
    return {label: mark for label, mark in marks.items() if label in labels}


def block_figures(
    blocks: Sequence[Block], inches: float, margin: float = 0.8
) -> Iterator[tuple[str, Figure, list[tuple[Axes, Block]]]]:
    """Yields figures with a panel per block, and what each figure's name ends with.

    Args:
        inches: The height of a panel.
        margin: Inches for what stands below all panels.
    """
    for ending, some in pages(blocks, _MAX_PANELS):
        figure = Figure(figsize=(WIDTH, margin + inches * len(some)), layout="constrained")
        panels = figure.subplots(len(some), squeeze=False)[:, 0]
        yield ending, figure, list(zip(panels, some, strict=True))


def pages(items: Sequence[Item], most: int = _MAX_PANELS) -> list[tuple[str, Sequence[Item]]]:
    """Divides panels among figures; returns what each figure's name ends with, and its panels.

    >>> pages("abcde", 2)
    [('', 'ab'), ('-2', 'cd'), ('-3', 'e')]
    """
    starts = range(0, len(items), most)
    return [("" if start == 0 else f"-{start // most + 1}", items[start : start + most]) for start in starts]


def slug(text: str) -> str:
    """Returns text that can stand in the name of a file.

    >>> slug("missing rate")
    'missing-rate'
    """
    return re.sub(r"[^\w.+-]+", "-", text).strip("-.") or "-"


def save(drawing: Drawing, folder: Path) -> list[Path]:
    """Writes a plot as SVG, PNG and PDF, each whole or not at all; returns the files."""
    paths = [folder / f"{drawing.name}.{ending}" for ending in ("svg", "png", "pdf")]
    for path in paths:
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix, {})
        with replaced_file(path) as beside:
            drawing.figure.savefig(beside, format=path.suffix.removeprefix("."), dpi=150, metadata=metadata)
    return paths
