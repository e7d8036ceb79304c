"""Which client, or site, each row of a table is of."""

import logging
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from fedprime.data.sets.table.columns import column_names, need_column
from fedprime.data.sets.table.label_words import cell_words
from fedprime.data.sets.table.parts import Part
from fedprime.reproducibility.errors import counted

_logger = logging.getLogger(__name__)

#: Columns that are taken for it where none is named.
SITE_NAMES = ("client", "site")
#: Says that no column is meant.
NO_COLUMN = "none"


def site_words(stated: str, parts: Sequence[Part]) -> list[str | None] | None:
    """Returns the word of every row that tells its client; None if no column does.

    Args:
        stated: The column, `NO_COLUMN`, or nothing for one with a usual name.
    """
    column = stated or next((name for name in SITE_NAMES if name in column_names(parts)), NO_COLUMN)
    if column == NO_COLUMN:
        return None
    need_column(column, parts, "data.client")
    return cell_words(column, parts)


def sites_of(
    words: Sequence[str | None] | None, rows: Int[np.ndarray, " sample"]
) -> tuple[Int[np.ndarray, " sample"], tuple[str, ...]]:
    """Returns the number of the client of each sample, and the names of clients."""
    if words is None:
        return np.zeros(len(rows), dtype=np.int64), ()
    without = sum(words[row] is None for row in rows)
    if without:
        _logger.warning("%s without a client: they are a client of their own, (none)", counted(without, "row"))
    names, numbers = np.unique([words[row] or "(none)" for row in rows], return_inverse=True)
    return numbers.astype(np.int64), tuple(names.tolist())
