"""Which column of a table is what, as a person states it."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class TableOptions:
    """Which column is what; what is empty is found out from the names of columns and from cells."""

    columns: tuple[str, ...] = ()
    """Which column is which modality (table), as image=file_name text=title+text price:table=cost+discount; kinds are
    image, text, audio, table, numbers; table=* means all other numbers and categories; none named means those with
    usual names, or table=* where there is nothing else."""
    label: tuple[str, ...] = ()
    """The column of classes (table), or of several labels a column of yes or no for each; none means "label"."""
    several_labels: bool = False
    """Whether samples have any number of labels (mmimdb: all 23 genres), or one column of a table has, as
    "red|round" or a list."""
    split: str = ""
    """The column with train, validation or test (table); "none" for no such column; if not named, "split"."""
    client: str = ""
    """The column of natural clients, for partition.kind site (table); "none" for none; if not named, "client"."""
    rows: tuple[str, ...] = ()
    """Which rows to use (table), as speaker=lucas,theo; all of several conditions hold."""
    classes: tuple[str, ...] = ()
    """The names of all classes or labels (table), so that a site or a split may lack some; none means those found."""
    encoding: str = ""
    """Of a CSV file (table), as utf-8, utf-16, cp1252; found out, if not named."""
    delimiter: str = ""
    """What stands between cells of a CSV file (table): one character, or "tab"; found out, if not named."""


def stated_columns(word: str, names: Collection[str] = ()) -> tuple[str, list[str]]:
    """Returns of ``modality:kind=column+column`` the modality and its columns.

    Args:
        names: Columns that there are: one of them may have a + in its own name.

    >>> stated_columns("facts:table=price+brand")
    ('facts', ['price', 'brand'])
    >>> stated_columns("facts=price+tax", ["price+tax"])
    ('facts', ['price+tax'])
    """
    stated, _, columns = word.partition("=")
    return stated.partition(":")[0], [columns] if columns in names else columns.split("+")
