"""Tables in Markdown and LaTeX."""

import re
from collections.abc import Sequence

from fedprime.report.tables import Entry, Table

__all__ = ["latex_document", "latex_escaped", "markdown_escaped", "markdown_rows", "markdown_table"]

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "⁶": r"\textsuperscript{6}",
}


def markdown_escaped(text: str) -> str:
    r"""Returns text that Markdown shows as it is, also inside a table.

    Args:
        text: Any text.

    >>> markdown_escaped("a|b *c*")
    'a\\|b \\*c\\*'
    """
    return re.sub(r"([\\`*_|<>\[\]~])", r"\\\1", " ".join(text.split()))


def markdown_rows(heads: Sequence[str], rows: Sequence[Sequence[str]], num_left: int = 1) -> str:
    """Returns a Markdown table of entries that are escaped already.

    Args:
        heads: One per column.
        rows: The entries.
        num_left: How many columns are set flush left; the others hold numbers.
    """
    rule = [":--" if column < num_left else "--:" for column in range(len(heads))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, rule, *rows]) + "\n"


def markdown_table(table: Table) -> str:
    """Returns a table in Markdown.

    Args:
        table: The table.
    """
    heads = [markdown_escaped(head) for head in (*table.labels, *table.scenarios, *table.costs)]
    rows = [[_markdown_entry(entry) for entry in row] for row in table.rows]
    return markdown_rows(heads, rows, len(table.labels))


def latex_escaped(text: str) -> str:
    r"""Returns text that LaTeX sets as it is.

    Args:
        text: Any text.

    >>> print(latex_escaped("50 % of a_b"))
    50 \% of a\_b
    """
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def latex_document(tables: Sequence[Table], caption: str) -> str:
    """Returns tables to be included in a LaTeX document that uses booktabs.

    What a page has no room for stands in a second table: what the runs took.

    Args:
        tables: The tables.
        caption: What a reader has to know about them.
    """
    parts = ["% \\usepackage{booktabs}\n"]
    for number, table in enumerate(tables, start=1):
        num_labels, num_scenarios = len(table.labels), len(table.scenarios)
        title = f"{latex_escaped(table.title[:1].upper() + table.title[1:])}. " if table.title else ""
        accuracies = [row[: num_labels + num_scenarios] for row in table.rows]
        costs = [(*row[:num_labels], *row[num_labels + num_scenarios :]) for row in table.rows if row[-1].text]
        parts.append(
            _latex_table(
                (*table.labels, *table.scenarios),
                accuracies,
                num_labels,
                title + latex_escaped(caption),
                f"acc-{number}",
            )
        )
        parts.append(
            _latex_table((*table.labels, *table.costs), costs, num_labels, f"{title}What it took.", f"cost-{number}")
        )
    return "\n".join(parts)


def _markdown_entry(entry: Entry) -> str:
    text = markdown_escaped(entry.text)
    return f"**{text}**" if entry.is_bold else text


def _latex_entry(entry: Entry) -> str:
    text = latex_escaped(entry.text)
    return rf"\textbf{{{text}}}" if entry.is_bold else text


def _latex_table(heads: Sequence[str], rows: Sequence[Sequence[Entry]], num_left: int, caption: str, label: str) -> str:
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{'l' * num_left}{'r' * (len(heads) - num_left)}}}",
        r"\toprule",
        f"{' & '.join(latex_escaped(head) for head in heads)} \\\\",
        r"\midrule",
    ]
    lines += [f"{' & '.join(_latex_entry(entry) for entry in row)} \\\\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])
