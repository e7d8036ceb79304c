"""The page that opens a report: its tables and plots, and how to make it again."""

from collections.abc import Mapping, Sequence

from fedprime.report.collection import Collection
from fedprime.report.markup import markdown_escaped, markdown_table
from fedprime.report.plots import Drawing
from fedprime.report.tables import Table

__all__ = ["index_page", "tables_page"]

_FILES = {
    "tables.md": "the tables alone",
    "tables.tex": "the same for LaTeX (booktabs)",
    "tables.csv": "a row per combination of labels and test scenario; accuracies are shares from 0 to 1",
    "runs.csv": "a row per run and test scenario",
    "comparisons.md": "who is significantly better than whom, and every pair",
    "comparisons.csv": "a row per pair and test scenario",
    "runs.json": "everything above is made from it",
}


def tables_page(tables: Sequence[Table], caption: str) -> str:
    """Returns the page of tables in Markdown.

    Args:
        tables: The tables.
        caption: What a reader has to know about them.
    """
    return "\n".join(["# Tables\n", markdown_escaped(caption) + "\n", _tables(tables)])


def index_page(
    name: str,
    collection: Collection,
    tables: Sequence[Table],
    caption: str,
    drawings: Sequence[Drawing],
    reasons: Mapping[str, str],
    command: str,
) -> str:
    """Returns the page that opens a report, in Markdown.

    Args:
        name: What the report is called.
        collection: The runs.
        tables: The tables.
        caption: What a reader has to know about them.
        drawings: The plots.
        reasons: By kind of plot that is not there, why.
        command: How the report was made.
    """
    runs, axes = collection.runs, collection.axes
    labels = "; ".join(f"{axis}: {', '.join(of_axis)}" for axis, of_axis in axes.items())
    parts = [
        f"# {markdown_escaped(name)}",
        f"{len(runs)} run(s). {markdown_escaped(labels)}.",
        f"Made by `{command}`; `fedprime report runs.json --output .` in this folder makes it again without the runs.",
        "## Accuracy",
        markdown_escaped(caption),
        _tables(tables, level=3),
        "Which differences are significant, pair by pair: [comparisons.md](comparisons.md).",
        "## Plots",
        *(f"{markdown_escaped(drawing.says)}.\n\n![{drawing.name}]({drawing.name}.svg)" for drawing in drawings),
    ]
    if reasons:
        lines = [f"- `{kind}`: {reason}" for kind, reason in reasons.items()]
        parts += ["Plots that are not here:", "\n".join(lines)]
    for title, entries in (("Left out", collection.problems), ("Notes", collection.notes)):
        if entries:
            parts += [f"## {title}", "\n".join(f"- {markdown_escaped(entry)}" for entry in entries)]
    parts += ["## Files", "\n".join(f"- [{file}]({file}): {what}" for file, what in _FILES.items())]
    parts.append("Every plot is there as SVG and as PNG.")
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _tables(tables: Sequence[Table], level: int = 2) -> str:
    parts: list[str] = []
    for table in tables:
        if table.title:
            parts.append(f"{'#' * level} {markdown_escaped(table.title[:1].upper() + table.title[1:])}\n")
        parts.append(markdown_table(table))
    return "\n".join(parts)
