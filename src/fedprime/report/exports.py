"""The numbers of a report for other programs: tables for LaTeX, and CSV with one fact per row.

In CSV, accuracies are shares, times are in seconds, traffic is in bytes.
"""

import csv
import io
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from fedprime.report.collection import Collection
from fedprime.report.compare import Block, Comparison, mean_and_deviation
from fedprime.report.tables import Entry, Table, privacy_spent

_DIGITS = 6
_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "{}&%$#_"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "⁶": r"\textsuperscript{6}",
}


def runs_csv(collection: Collection) -> str:
    """Returns a row per run and test scenario."""
    results = ("method", "rounds", "seconds", "bytes_down", "bytes_up", "trained_values", "sent_values")
    scores = ("accuracy", "bayes_accuracy", "macro_f1", "loss", "num_samples")
    environment = ("commit", "processor")
    axes = [_axis_head(axis, results) for axis in collection.axes]
    return _csv(
        [*axes, "seed", "scenario", *scores, *results, *environment, "finished"],
        (
            [
                *run.labels.values(),
                run.results.seed,
                scenario,
                *(getattr(of_scenario, name) for name in scores),
                *(getattr(run.results, name) for name in results),
                *(getattr(run.environment, name) for name in environment),
                run.finished,
            ]
            for run in collection.runs
            for scenario, of_scenario in run.results.scenarios.items()
        ),
    )


def cells_csv(collection: Collection, blocks: Sequence[Block]) -> str:
    """Returns a row per combination of labels and test scenario, over its seeds."""
    heads = ["scenario", "mean", "sd", "n", "seeds", "bayes", "gap_to_bayes", "macro_f1", "rounds", "seconds_median"]
    heads += ["bytes_per_round", "bytes", "trained_values", "sent_values", "epsilon", "delta"]
    rows: list[list[Any]] = []
    for cell in (cell for block in blocks for cell in block.cells):
        results = [run.results for run in cell.runs]
        costs = [
            statistics.fmean(entry.rounds for entry in results),
            statistics.median(entry.seconds for entry in results),
            statistics.fmean(entry.bytes_sent / max(1, entry.rounds) for entry in results),
            statistics.fmean(entry.bytes_sent for entry in results),
            statistics.fmean(entry.trained_values for entry in results),
            statistics.fmean(entry.sent_values for entry in results),
            *(privacy_spent(results) or (None, None)),
        ]
        for scenario in dict.fromkeys(name for entry in results for name in entry.scenarios):
            accuracies = cell.scores(scenario)
            mean, deviation = mean_and_deviation(list(accuracies.values()))
            limits = list(cell.scores(scenario, "bayes_accuracy").values())
            bayes = statistics.fmean(limits) if limits else None
            macro_f1 = statistics.fmean(cell.scores(scenario, "macro_f1").values())
            seeds = " ".join(map(str, accuracies))
            gap = None if bayes is None else bayes - mean
            labels = [cell.labels[axis] for axis in collection.axes]
            rows.append([*labels, scenario, mean, deviation, len(accuracies), seeds, bayes, gap, macro_f1, *costs])
    return _csv([*(_axis_head(axis, heads) for axis in collection.axes), *heads], rows)


def comparisons_csv(blocks: Sequence[Block], comparisons: Sequence[Sequence[Comparison]]) -> str:
    """Returns a row per pair and test scenario."""
    heads = ["scenario", "first", "second", "n", "difference", "ci95_low", "ci95_high", "p", "p_holm", "verdict"]
    names = ["scenario", "first", "second", "num_seeds", "difference", "low", "high", "p", "p_holm", "verdict"]
    return _csv(
        [*(_axis_head(axis, heads) for axis in blocks[0].labels), *heads],
        (
            [*block.labels.values(), *(getattr(entry, name) for name in names)]
            for block, of_block in zip(blocks, comparisons, strict=True)
            for entry in of_block
        ),
    )


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


def latex_escaped(text: str) -> str:
    r"""Returns text that LaTeX sets as it is.

    >>> print(latex_escaped("50 % of a_b"))
    50 \% of a\_b
    """
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def latex_document(tables: Sequence[Table], caption: str) -> str:
    """Returns tables to be included in a LaTeX document that uses booktabs.

    What a page has no room for stands in a second table: what the runs took.
    """
    parts = ["% \\usepackage{booktabs}\n"]
    for number, table in enumerate(tables, start=1):
        num_labels = len(table.labels)
        num_words = num_labels + len(table.scenarios)
        title = f"{latex_escaped(table.title[:1].upper() + table.title[1:])}. " if table.title else ""
        says = title + latex_escaped(caption)
        accuracies = [row[:num_words] for row in table.rows]
        parts.append(_latex_table((*table.labels, *table.scenarios), accuracies, num_labels, says, f"acc-{number}"))
        costs = [(*row[:num_labels], *row[num_words:]) for row in table.rows if row[-1].text]
        heads = (*table.labels, *table.costs)
        parts.append(_latex_table(heads, costs, num_labels, f"{title}What it took.", f"cost-{number}"))
    return "\n".join(parts)


def _latex_table(heads: Sequence[str], rows: Sequence[Sequence[Entry]], num_left: int, caption: str, label: str) -> str:
    def written(entry: Entry) -> str:
        text = latex_escaped(entry.text)
        return rf"\textbf{{{text}}}" if entry.is_bold else text

    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{'l' * num_left}{'r' * (len(heads) - num_left)}}}",
        r"\toprule",
        f"{' & '.join(map(latex_escaped, heads))} \\\\",
        r"\midrule",
    ]
    lines += [f"{' & '.join(map(written, row))} \\\\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])
