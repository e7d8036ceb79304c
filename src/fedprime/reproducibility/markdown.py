"""Words and tables in Markdown, for reports, trackers and model cards."""

import re
from collections.abc import Sequence


def markdown_escaped(value: object) -> str:
    r"""Returns a text or number so that Markdown shows it as it is, also inside a table.

    >>> markdown_escaped("a|b *c*")
    'a\\|b \\*c\\*'
    """
    return re.sub(r"([\\`*_|<>\[\]~])", r"\\\1", " ".join(str(value).split()))


def markdown_rows(heads: Sequence[str], rows: Sequence[Sequence[str]], num_left: int = 1) -> str:
    """Returns a Markdown table of entries that are escaped already.

    Args:
        num_left: How many columns are set flush left; the others hold numbers.
    """
    rule = [":--" if column < num_left else "--:" for column in range(len(heads))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, rule, *rows]) + "\n"
