"""The pages of a report in Markdown: what opens it, its tables, its comparisons."""

from collections.abc import Mapping, Sequence

from fedprime.report.collection import Collection, in_words
from fedprime.report.compare import MIN_SEEDS, Block, Comparison
from fedprime.report.plots import Drawing
from fedprime.report.tables import Entry, Table
from fedprime.reproducibility.errors import counted
from fedprime.reproducibility.markdown import markdown_escaped, markdown_rows

_FILES = {
    "tables.md": "the tables alone",
    "tables.tex": "the same for LaTeX (booktabs)",
    "tables.csv": "a row per combination of labels and test scenario; accuracies are shares from 0 to 1",
    "runs.csv": "a row per run and test scenario",
    "comparisons.md": "who is significantly better than whom, and every pair",
    "comparisons.csv": "a row per pair and test scenario",
    "runs.json": "everything above is made from it",
}


def markdown_table(table: Table) -> str:
    """Returns a table in Markdown."""

    def written(entry: Entry) -> str:
        text = markdown_escaped(entry.text)
        return f"**{text}**" if entry.is_bold else text

    heads = [markdown_escaped(head) for head in (*table.labels, *table.scenarios, *table.costs)]
    return markdown_rows(heads, [list(map(written, row)) for row in table.rows], len(table.labels))


def tables_page(tables: Sequence[Table], caption: str) -> str:
    """Returns the page of tables."""
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
    """Returns the page that opens a report.

    Args:
        reasons: By kind of plot that is not there, why.
        command: How the report was made.
    """
    labels = "; ".join(f"{axis}: {', '.join(of_axis)}" for axis, of_axis in collection.axes.items())
    parts = [
        f"# {markdown_escaped(name)}",
        f"{counted(len(collection.runs), 'run')}. {markdown_escaped(labels)}.",
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
    return _joined([*parts, "Every plot is there as SVG, PNG and PDF."])


def comparisons_page(axis: str, blocks: Sequence[Block], comparisons: Sequence[Sequence[Comparison]]) -> str:
    """Returns the page of comparisons: who is better than whom, and every pair with its numbers.

    Args:
        axis: Whose labels are compared.
        comparisons: By block, as from `compare_cells`.
    """
    parts = [
        "# Comparisons",
        f"Every {markdown_escaped(axis)} with every other, in each test scenario: a two-sided paired t-test over the "
        "seeds that both have (runs with the same seed share data, clients, masks and what is drawn at the start; the "
        "test takes the differences to be normally distributed). Differences are in percentage points, first minus "
        "second, with the 95 % confidence interval of their mean, not corrected for how many there are. "
        "p (Holm) is corrected over all comparisons of the same scenario and group; those with an upper reference "
        "(centralized) are corrected among themselves. Better means p (Holm) < 0.05. "
        f"With fewer than {MIN_SEEDS} common seeds there is no test. It speaks about other seeds on the same data, not "
        "about other data.",
    ]
    for block, of_block in zip(blocks, comparisons, strict=True):
        if block.labels:
            parts.append(f"## {_title(in_words(block.labels))}")
        if not of_block:
            parts.append("There is nothing to compare.")
            continue
        parts.append(_counts(axis, block, of_block))
        for scenario in block.scenarios:
            of_scenario = [entry for entry in of_block if entry.scenario == scenario]
            head = (
                f"<details><summary>{markdown_escaped(scenario)}: {counted(len(of_scenario), 'comparison')}</summary>"
            )
            parts += [head, _pairs(of_scenario), "</details>"]
    return _joined(parts)


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _title(text: str) -> str:
    return markdown_escaped(text[:1].upper() + text[1:])


def _tables(tables: Sequence[Table], level: int = 2) -> str:
    parts: list[str] = []
    for table in tables:
        parts += [f"{'#' * level} {_title(table.title)}\n"] if table.title else []
        parts.append(markdown_table(table))
    return "\n".join(parts)


def _counts(axis: str, block: Block, comparisons: Sequence[Comparison]) -> str:
    """Returns how many others each cell is significantly better and worse than, by scenario."""
    rows: list[list[str]] = []
    for cell in block.cells:
        row = [markdown_escaped(cell.label)]
        for scenario in block.scenarios:
            own = [e for e in comparisons if e.scenario == scenario and cell.label in (e.first, e.second)]
            better = sum(entry.better == cell.label for entry in own)
            worse = sum(entry.better not in (None, cell.label) for entry in own)
            row.append(f"+{better} -{worse}" if any(entry.p is not None for entry in own) else "no test")
        rows.append(row)
    heads = [markdown_escaped(name) for name in (axis, *block.scenarios)]
    others = counted(len(block.cells) - 1, "other")
    return f"Of {others}, significantly better than (+) and worse than (-):\n\n{markdown_rows(heads, rows)}"


def _pairs(comparisons: Sequence[Comparison]) -> str:
    rows = [
        [
            markdown_escaped(entry.first),
            markdown_escaped(entry.second),
            "" if entry.difference is None else f"{100 * entry.difference:+.2f}",
            "" if entry.low is None or entry.high is None else f"{100 * entry.low:+.2f} to {100 * entry.high:+.2f}",
            _p_value(entry.p),
            _p_value(entry.p_holm),
            str(entry.num_seeds),
            markdown_escaped(entry.verdict),
        ]
        for entry in comparisons
    ]
    heads = ["first", "second", "difference", "95 % interval", "p", "p (Holm)", "n", "verdict"]
    return markdown_rows(heads, rows, num_left=2)


def _p_value(p: float | None) -> str:
    if p is None:
        return ""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
