"""The rows of a table to predict for: no labels, and any modality may be missing altogether."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import cast, get_args

from fedprime.data.batches import DataError
from fedprime.data.images import InputError
from fedprime.data.sets.table.cells import Cells
from fedprime.data.sets.table.columns import Kind, choose_columns, column_forms, column_names
from fedprime.data.sets.table.files import open_parts

__all__ = ["read_unlabelled"]

_logger = logging.getLogger(__name__)


def read_unlabelled(
    path: str, stated: Sequence[str], modalities: Mapping[str, str], label: Sequence[str] = ()
) -> Iterator[tuple[str, dict[str, object]]]:
    """Yields the name of each row and what there is of it; a file that cannot be read is missing, and the log names it.

    Args:
        path: Where the table is, as `table_files.open_parts` takes it.
        stated: Which column is which modality, as for `table_columns.choose_columns`; what is stated of modalities
            that are not asked for, or of columns that the table does not have, is left out.
        modalities: By modality that is asked for, of what kind its values are to be.
        label: Columns that are no inputs, if the table has them.

    Raises:
        DataError: If the table cannot be read, has none of the modalities, or one of another kind.
    """
    parts = open_parts(path)
    names = column_names(parts)
    forms = column_forms(parts)
    for name in label:
        forms.pop(name, None)
    asked = [word for word in stated if word.partition("=")[0].partition(":")[0] in modalities]
    usable = [word for word in asked if _columns_of(word, names)]
    if stated and not usable:
        raise DataError(
            f"{parts[0].place} has the columns {', '.join(names)}; expected those of {', '.join(modalities)}: "
            f"{', '.join(asked) or 'none are stated, say which with --columns'}"
        )
    # A few new rows would not tell what kind they are of.
    known: dict[str, Kind] = {}
    for name, kind in modalities.items():
        if kind in get_args(Kind):
            known[name] = cast("Kind", kind)
    chosen = [own for own in choose_columns(usable, parts, forms, known) if own.modality in modalities]
    for own in chosen:
        if own.kind != modalities[own.modality]:
            raise DataError(
                f"{parts[0].place}: {own} is stated, but the model reads {own.modality} as {modalities[own.modality]}"
            )
    if not chosen:
        raise DataError(
            f"{parts[0].place} has nothing that the model reads ({', '.join(modalities)}); say with --columns which "
            "column is what, as image=file_name"
        )
    absent = [modality for modality in modalities if modality not in [own.modality for own in chosen]]
    if absent:
        _logger.warning("%s has no column of %s: it is missing of all rows", path, ", ".join(absent))
    cells = [Cells(own, parts, forms) for own in chosen]
    for row in range(sum(len(part) for part in parts)):
        yield next((name for own in cells if (name := own.named(row))), f"row {row + 1}"), _values(cells, row, path)


def _columns_of(word: str, names: Sequence[str]) -> bool:
    """Returns whether a table has the columns that are stated of a modality."""
    stated = word.partition("=")[2]
    return stated in names or all(column in names for column in stated.split("+"))


def _values(cells: Sequence[Cells], row: int, path: str) -> dict[str, object]:
    values: dict[str, object] = {}
    for own in cells:
        if own.there[row]:
            try:
                values[own.own.modality] = own.read(row)
            except InputError as error:
                _logger.warning("%s: a missing %s: %s", path, own.own.modality, error)
    return values
