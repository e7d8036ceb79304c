"""The page of comparisons: who is better than whom, and every pair with its numbers."""

from collections.abc import Sequence

from fedprime.report.cells import Block, in_words
from fedprime.report.comparisons import MIN_SEEDS, Comparison
from fedprime.report.markup import markdown_escaped, markdown_rows

__all__ = ["comparisons_page"]


def comparisons_page(axis: str, blocks: Sequence[Block], comparisons: Sequence[Sequence[Comparison]]) -> str:
    """Returns the page in Markdown.

    Args:
        axis: Whose labels are compared.
        blocks: What was compared.
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
            title = in_words(block.labels)
            parts.append(f"## {markdown_escaped(title[:1].upper() + title[1:])}")
        if not of_block:
            parts.append("There is nothing to compare.")
            continue
        parts.append(_counts(axis, block, of_block))
        for scenario in block.scenarios:
            of_scenario = [entry for entry in of_block if entry.scenario == scenario]
            head = f"<details><summary>{markdown_escaped(scenario)}: {len(of_scenario)} comparison(s)</summary>"
            parts += [head, _pairs(of_scenario), "</details>"]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


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
    others = len(block.cells) - 1
    return f"Of {others} other(s), significantly better than (+) and worse than (-):\n\n{markdown_rows(heads, rows)}"


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
