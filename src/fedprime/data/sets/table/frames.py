"""Data frames as tables: columns or rows of Python objects, whatever library holds them; none is imported for it."""

import io
import json
import math
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import pyarrow as pa
from PIL import Image

from fedprime.data.images import InputError, image_pixels
from fedprime.data.sets.table.cells import read_value
from fedprime.data.sets.table.columns import is_sound
from fedprime.data.sets.table.half_characters import whole
from fedprime.data.sets.table.label_words import cell_words
from fedprime.data.sets.table.number_words import trained_row
from fedprime.data.sets.table.options import stated_columns
from fedprime.data.sets.table.parts import Part
from fedprime.data.sets.table.plain_words import cleaned
from fedprime.data.sounds import write_sound
from fedprime.data.sources import DataError, ValueKind

_FILE = pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])


def frame_columns(frame: object) -> dict[str, list[object]]:
    """Returns the cells of every column, as they are.

    Args:
        frame: A data frame of pandas, polars or Arrow, a mapping of columns, or a list of mappings, one for each row.

    Raises:
        DataError: If it is something else, or columns differ in length.
    """
    if isinstance(frame, Mapping):
        columns = {str(name): _listed(cells, str(name)) for name, cells in cast("Mapping[Any, Any]", frame).items()}
    elif isinstance(frame, list | tuple):
        rows = cast("Sequence[Any]", frame)
        odd = next((number for number, row in enumerate(rows, start=1) if not isinstance(row, Mapping)), None)
        if odd is not None:
            raise DataError(f"row {odd} is of {type(rows[odd - 1]).__name__}; expected a mapping from column to cell")
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {str(name): [row.get(name) for row in rows] for name in names}
    else:
        if type(frame).__name__ == "LazyFrame":
            raise DataError("found a LazyFrame, which holds no rows yet; call .collect() first")
        names = _column_names(frame)
        if names is None:
            raise DataError(f"found {type(frame).__name__}; expected a data frame, columns by name or a list of rows")
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise DataError(f"the frame has the column {str(twice[0])!r} twice; rename one")
        columns = {str(name): _listed(cast("Any", frame)[name], str(name)) for name in names}
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"columns of the frame differ in length: {lengths}; expected a cell for each row")
    return columns


def frame_part(frame: object, folder: Path = Path()) -> Part:
    """Returns a frame as the rows of a table: images and sounds at hand as files in memory, arrays as numbers.

    Args:
        frame: As for `frame_columns`.
        folder: What files that it names are relative to.

    Raises:
        DataError: If it is no frame.
        InputError: If a cell cannot be used; the message names its row.
    """
    columns = {
        name: _column([_cell(cell, f"row {row}, column {name}") for row, cell in enumerate(cells, start=1)], name)
        for name, cells in frame_columns(frame).items()
    }
    return Part(pa.table(columns), None, folder, "the frame")


def is_hole(cell: object) -> bool:
    """Returns whether a cell is none: None, not a number, a missing value of a data frame, blank text.

    >>> [is_hole(cell) for cell in (None, float("nan"), " ", 0, "nan")]
    [True, True, True, False, False]
    """
    if isinstance(cell, str):
        return not cleaned(cell)
    if isinstance(cell, float | np.floating):
        return math.isnan(cell)
    return cell is None or type(cell).__name__ in ("NAType", "NaTType")


def named_cells(cells: Sequence[object], names: Sequence[str]) -> list[object]:
    """Returns labels as they stand in a frame, by their names in a table: numbers stay numbers.

    Args:
        cells: Those of the column of labels; none means that labels are names.
        names: Of all labels.

    >>> named_cells([2.0, None, 1.0], ["1", "2"])
    [1.0, 2.0]
    """
    known = [cell for cell in cells if not is_hole(cell)]
    words = cell_words("label", [frame_part({"label": known})]) if known else []
    first = dict(zip(reversed(words), reversed(known), strict=True))
    return [own.item() if isinstance(own := first.get(name, name), np.generic) else own for name in names]


def as_samples(
    given: object, kinds: Mapping[str, ValueKind], trained: Sequence[str] = ()
) -> list[Mapping[str, object]]:
    """Returns samples by modality, of whatever a person has: nothing is read yet.

    Args:
        given: A file, an image, one mapping, several of these in a list, or a data frame with the columns of
            training, or some that are called as modalities are; its other columns are left out.
        trained: Which column was which modality in training, as `Table.about` says it.

    Raises:
        InputError: If the model reads nothing of the kind.
        DataError: If it is none of these.
    """
    if isinstance(given, Mapping):
        return [cast("Mapping[str, object]", given)]
    if isinstance(given, list | tuple):
        return [sample for entry in cast("Sequence[object]", given) for sample in as_samples(entry, kinds, trained)]
    if isinstance(given, str | Path | Image.Image | np.ndarray):
        kind = "audio" if isinstance(given, str | Path) and is_sound(str(given)) else "image"
        modality = next((name for name, own in kinds.items() if own == kind), None)
        if modality is None:
            raise InputError(
                f"the model reads {', '.join(kinds)}, none of which is of the kind {kind}; "
                f"say what it is, as {{{next(iter(kinds))!r}: ...}}"
            )
        return [{modality: given}]
    frame = frame_columns(given)
    columns = {name: cells for name, cells in frame.items() if name in kinds}
    for word in trained:
        modality, names = stated_columns(word, frame)
        if modality in kinds and (there := [frame[name] for name in names if name in frame]):
            rows = zip(*(frame.get(name, [None] * len(there[0])) for name in names), strict=True)
            columns[modality] = [_joined(dict(zip(names, row, strict=True)), kinds[modality]) for row in rows]
    if not columns:
        raise DataError(
            f"the frame has no column called as what the model reads: {', '.join(kinds)}; rename columns, or let "
            "FederatedPredictor.load predict, which knows the columns of training"
        )
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _joined(cells: Mapping[str, object], kind: ValueKind) -> object:
    """Returns the value of a modality of these cells; None if all are empty."""
    there = {name: cell for name, cell in cells.items() if not is_hole(cell)}
    if kind == "table" or len(there) < (1 if kind == "text" else len(cells)):
        return there if kind == "table" and there else None
    if len(cells) == 1:
        return next(iter(there.values()))
    return " ".join(map(str, there.values())) if kind == "text" else np.array([*there.values()], dtype=np.float32)


def read_sample(
    sample: Mapping[str, object],
    kinds: Mapping[str, ValueKind],
    place: str,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, object]:
    """Returns the raw values of a sample, whose images and sounds may be files or objects of libraries.

    Args:
        place: What it is called, for messages.
        about: What the model knows of the columns that it was trained on.

    Raises:
        InputError: If one cannot be read.
    """
    try:
        return {name: _raw(name, value, kinds[name], about) for name, value in sample.items()}
    except (InputError, OSError, ValueError) as error:
        raise InputError(f"{place}: {error}") from error


def _raw(name: str, value: object, kind: ValueKind, about: Mapping[str, Any]) -> object:
    if isinstance(value, Path) or (isinstance(value, str) and kind in ("numbers", "image", "audio")):
        return read_value(str(value), kind)
    if kind == "image":
        return _pixels(value)
    if kind == "table" and isinstance(value, Mapping):
        cells = {column: cell for column, cell in cast("Mapping[str, object]", value).items() if not is_hole(cell)}
        return trained_row(cells, name, about)
    return value


def _pixels(value: object) -> np.ndarray:
    if isinstance(value, Image.Image):
        return image_pixels(value)
    if not isinstance(value, np.ndarray):
        raise InputError(f"found {type(value).__name__}; expected an image as a path, a PIL image or an array")
    if value.dtype != np.uint8 or not (value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (1, 3, 4))):
        hint = "; (255 * array).round().astype('uint8') makes it of 0 to 1" if value.dtype.kind == "f" else ""
        raise InputError(
            f"found an array of {value.dtype} and shape {value.shape}; expected an image as (height, width, 3) "
            f"uint8{hint}"
        )
    return image_pixels(Image.fromarray(value[..., 0] if value.shape[2:] == (1,) else value))


def _column_names(frame: object) -> list[Any] | None:
    names = getattr(frame, "column_names", None) or getattr(frame, "columns", None)
    return None if names is None else list(names)


def _listed(cells: object, name: str) -> list[object]:
    if isinstance(cells, str | bytes | Mapping) or not isinstance(cells, Iterable):
        raise DataError(f"column {name} is of {type(cells).__name__}; expected a list of cells, one for each row")
    return cast("Any", cells).to_pylist() if hasattr(cells, "to_pylist") else list(cast("Iterable[object]", cells))


def _cell(cell: object, where: str) -> object:
    """Returns a cell as Arrow can hold it: a file of an image or a sound as its bytes and a name, numbers as words."""
    if is_hole(cell):
        return None
    if hasattr(cell, "__array__") and not isinstance(cell, Image.Image):  # a number of NumPy, a tensor of any library
        try:
            array = np.asarray(cell)
        except (TypeError, RuntimeError) as error:  # of tensors with gradients, or of a GPU
            said = " ".join(str(error).split()).rstrip(".")
            raise InputError(f"{where}: {type(cell).__name__} cannot be read as an array: {said}") from error
        cell = array if array.ndim else array.item()
    if isinstance(cell, bool | int | float):  # a whole number may be too large for a float
        return cell if isinstance(cell, float) or abs(cell) < 1e308 else math.inf if cell > 0 else -math.inf
    if isinstance(cell, bytes | bytearray | memoryview):
        return {"bytes": bytes(cell), "path": None}
    if isinstance(cell, Image.Image) or (isinstance(cell, np.ndarray) and cell.ndim > 1):
        return _image_file(cell, where)
    if isinstance(cell, Mapping):
        return _of_mapping(cast("Mapping[str, Any]", cell), where)
    if isinstance(cell, np.ndarray | list | tuple | set | frozenset):
        return _of_entries(list(cast("Iterable[object]", cell)), where)
    if type(cell).__str__ is object.__str__:
        raise InputError(f"{where}: found {type(cell).__name__}; expected a path, an image, an array, text or a number")
    return whole(str(cell))


def _of_entries(entries: list[object], where: str) -> object:
    if any(isinstance(entry, str) for entry in entries):
        return [whole(str(entry)) for entry in entries]
    try:
        return " ".join(str(float(cast("float", entry))) for entry in entries) or None
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"{where}: {reprlib.repr(entries)} is no array of numbers; expected numbers alone, or a hole"
        ) from None


def _image_file(cell: object, where: str) -> dict[str, object]:
    file = io.BytesIO()
    try:
        Image.fromarray(_pixels(cell)).save(file, "PNG", compress_level=1)
    except (InputError, OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{where}: {error}") from error
    return {"bytes": file.getvalue(), "path": f"{where}.png"}


def _of_mapping(cell: Mapping[str, Any], where: str) -> object:
    if cell.keys() == {"bytes", "path"}:  # as the library `datasets` keeps files
        return dict(cell)
    if {"array", "sampling_rate"} <= cell.keys():  # as it decodes sounds
        try:
            return {"bytes": write_sound(cell["array"], cell["sampling_rate"]), "path": f"{where}.wav"}
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
    return json.dumps({name: value for name, value in cell.items() if not is_hole(value)}, default=str)


def _column(cells: list[Any], name: str) -> pa.Array:
    """Returns cells as a column of one type; of several types, they are words."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if dict in kinds:
        odd = next((row for row, cell in enumerate(cells, start=1) if not isinstance(cell, dict | str | None)), None)
        if odd is not None:
            raise InputError(f"row {odd}, column {name}: {cells[odd - 1]!r} is no file, as others of the column are")
        return pa.array([{"bytes": None, "path": cell} if isinstance(cell, str) else cell for cell in cells], _FILE)
    if list in kinds:
        listed = [cell if cell is None or isinstance(cell, list) else [str(cell)] for cell in cells]
        return pa.array(listed, pa.list_(pa.large_string()))
    if kinds == {bool}:
        return pa.array(cells, pa.bool_())
    if kinds == {int} and all(abs(cell) < 2**63 for cell in cells if cell is not None):
        return pa.array(cells, pa.int64())
    if kinds and kinds <= {int, float}:
        return pa.array([None if cell is None else float(cell) for cell in cells], pa.float64())
    return pa.array([None if cell is None else str(cell) for cell in cells], pa.large_string())
