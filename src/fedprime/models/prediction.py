"""From raw values to predicted labels: files, texts and numbers of which any may be missing."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedprime.backbones import ValueKind, value_kinds
from fedprime.data.batches import Batch
from fedprime.data.images import InputError, read_image
from fedprime.data.sounds import read_sound
from fedprime.models.prompted_model import PromptedModel

__all__ = ["kinds_of", "predict_samples", "read_table", "read_value"]

_AT_ONCE = 64  # samples per batch
#: Columns that a table may be expected to have read, whatever the model reads.
_USUAL = ("image", "text", "readings", "audio")


def predict_samples(model: PromptedModel, samples: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
    """Predicts the label of samples of which any modality may be missing, but not all.

    Args:
        model: The model.
        samples: Each by modality its raw value: an image as (height, width, 3) uint8, a text, a sound as
            `sounds.read_sound` gives it, the cells of a row by column, an array of numbers. What is missing is left out
            or None; so is a blank text.

    Returns:
        For each sample: ``label`` (with several labels the most probable one), ``probabilities`` by label, ``present``;
        with several labels also ``labels``, those that are more probable than not.

    Raises:
        InputError: If a sample has nothing that the model reads, or something that it does not read.
    """
    modalities = model.backbone.modalities
    samples = [{name: value for name, value in sample.items() if not _is_missing(value)} for sample in samples]
    for number, sample in enumerate(samples, start=1):
        unknown = [modality for modality in sample if modality not in modalities]
        if unknown:
            raise InputError(
                f"row {number}: the model reads {', '.join(modalities)}; it cannot use {', '.join(unknown)}"
            )
        if not sample:
            raise InputError(f"row {number}: nothing is there; give at least one of {', '.join(modalities)}")
    model.eval()
    predictions: list[dict[str, Any]] = []
    for start in range(0, len(samples), _AT_ONCE):
        chunk = samples[start : start + _AT_ONCE]
        batch = _embed(model, chunk)
        with torch.no_grad():
            probabilities = model.probabilities(model(batch).logits)
        for sample, row in zip(chunk, probabilities.tolist(), strict=True):
            by_label = dict(zip(model.label_names, row, strict=True))
            present = [modality for modality in modalities if modality in sample]
            predictions.append(
                {"label": max(by_label, key=by_label.__getitem__), "probabilities": by_label, "present": present}
            )
            if model.task == "several_labels":
                predictions[-1]["labels"] = [label for label, probability in by_label.items() if probability > 0.5]
    return predictions


def kinds_of(model: PromptedModel) -> dict[str, ValueKind]:
    """Returns what the values of each modality are that a model reads.

    Args:
        model: The model.
    """
    return value_kinds(model.backbone)


def read_value(word: str, kind: ValueKind, folder: Path = Path()) -> object:
    """Returns the raw value that a word stands for.

    Args:
        word: A file of an image or sound, a text, numbers with spaces between them, or a row as a JSON object.
        kind: What it is of.
        folder: What files are relative to.

    Raises:
        InputError: If the file cannot be read, or it are no numbers or is no row.
    """
    if kind == "image":
        return read_image(folder / word)
    if kind == "audio":
        return read_sound(folder / word)
    if kind == "numbers":
        return _parse_numbers(word)
    return _parse_row(word) if kind == "table" else word


def _parse_row(word: str) -> dict[str, object]:
    try:
        row = json.loads(word)
    except json.JSONDecodeError:
        row = None
    if not isinstance(row, dict) or not row:
        raise InputError(f'a row is {word!r}, expected a JSON object such as {{"price": 3.5, "colour": "red"}}')
    return row


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def read_table(path: Path, kinds: Mapping[str, ValueKind]) -> list[dict[str, object]]:
    """Reads samples from a CSV file whose columns are called as modalities are; other columns are ignored.

    Cells are as `read_value` takes them, files relative to the table's folder; an empty cell is missing.

    Args:
        path: The file.
        kinds: By modality to read, what its values are.

    Raises:
        InputError: If the file cannot be read, has none of the columns, or a cell is not what it should be.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True, skipinitialspace=True)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            known = dict.fromkeys([*kinds, *_USUAL])
            twice = [name for name in known if reader.fieldnames.count(name) > 1]
            unread = [name for name in known if name in reader.fieldnames and name not in kinds]
            if twice or unread:
                problem = f"{twice[0]} twice" if twice else f"{unread[0]}, which the model does not read"
                raise InputError(f"{path} has the column {problem}; take that column out")
            columns = dict(kinds)
            for absent in kinds.keys() - set(reader.fieldnames):
                del columns[absent]
            if not columns:
                found = ", ".join(reader.fieldnames) or "nothing"
                raise InputError(f"{path} has the columns {found}; expected at least one of {', '.join(kinds)}")
            return list(_read_rows(reader, columns, path))
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path} as a CSV file in UTF-8: {error}") from error


def _read_rows(
    reader: "csv.DictReader[str]", columns: Mapping[str, ValueKind], path: Path
) -> Iterator[dict[str, object]]:
    for number, row in enumerate(reader, start=1):
        if None in row:
            raise InputError(f"{path}, row {number}: more cells than columns; put texts with commas into quotes")
        cells = {column: (row[column] or "").strip() for column in columns}
        try:
            sample = {column: read_value(cell, columns[column], path.parent) for column, cell in cells.items() if cell}
        except InputError as error:
            raise InputError(f"{path}, row {number}: {error}") from error
        if not sample:
            raise InputError(
                f"{path}, row {number}: every one of {', '.join(columns)} is empty; a sample has at least one"
            )
        yield sample


def _parse_numbers(cell: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in cell.split())
    except ValueError:
        raise InputError(f"readings are {cell!r}, expected numbers separated by spaces") from None
    if not all(math.isfinite(number) for number in numbers):
        raise InputError(f"readings are {cell!r}, expected finite numbers; leave the cell empty if they are missing")
    return numbers


def _embed(model: PromptedModel, samples: Sequence[Mapping[str, object]]) -> Batch:
    modalities, kinds = model.backbone.modalities, kinds_of(model)
    embedded: dict[str, list[Tensor | None]] = {}
    for modality in modalities:
        there = [index for index, sample in enumerate(samples) if modality in sample]
        values = [samples[index][modality] for index in there]
        if kinds[modality] == "numbers":
            values = [np.asarray(value, dtype=np.float32) for value in values]
        rows: list[Tensor | None] = [None] * len(samples)
        for index, tokens in zip(there, model.backbone.embed(modality, values), strict=True):
            rows[index] = tokens
        embedded[modality] = rows
    present = torch.tensor([[modality in sample for modality in modalities] for sample in samples])
    return Batch(embedded, present, torch.zeros(len(samples), dtype=torch.int64))
