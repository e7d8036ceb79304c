"""From raw values to predicted labels: files, texts and numbers of which any may be missing."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedprime.backbones.vilt import MODALITIES
from fedprime.data.batches import Batch
from fedprime.data.images import InputError, read_image
from fedprime.model import PromptedModel

__all__ = ["predict_samples", "read_table"]

_AT_ONCE = 64  # samples per batch


def predict_samples(model: PromptedModel, samples: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
    """Predicts the label of samples of which any modality may be missing, but not all.

    Args:
        model: The model.
        samples: Each by modality its raw value: an image as (height, width, 3) uint8, a text, a row of numbers. What is
            missing is left out or None; so is a blank text.

    Returns:
        For each sample: ``label`` (with several labels the most probable one), ``probabilities`` by label, ``present``.

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
    return predictions


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def read_table(path: Path, modalities: Sequence[str]) -> list[dict[str, object]]:
    """Reads samples from a CSV file with a header; other columns are ignored.

    Image cells are paths, relative to the file's folder; readings are numbers separated by spaces; an empty cell is
    missing.

    Args:
        path: The file.
        modalities: The columns to read.

    Raises:
        InputError: If the file cannot be read, has none of the columns, or a cell is not what it should be.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True, skipinitialspace=True)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            twice = [name for name in MODALITIES if reader.fieldnames.count(name) > 1]
            unread = [name for name in MODALITIES if name in reader.fieldnames and name not in modalities]
            if twice or unread:
                problem = f"{twice[0]} twice" if twice else f"{unread[0]}, which the model does not read"
                raise InputError(f"{path} has the column {problem}; take that column out")
            columns = [modality for modality in modalities if modality in reader.fieldnames]
            if not columns:
                found = ", ".join(reader.fieldnames) or "nothing"
                raise InputError(f"{path} has the columns {found}; expected at least one of {', '.join(modalities)}")
            return list(_read_rows(reader, columns, path))
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path} as a CSV file in UTF-8: {error}") from error


def _read_rows(reader: "csv.DictReader[str]", columns: Sequence[str], path: Path) -> Iterator[dict[str, object]]:
    for number, row in enumerate(reader, start=1):
        if None in row:
            raise InputError(f"{path}, row {number}: more cells than columns; put texts with commas into quotes")
        sample: dict[str, object] = {}
        for column in columns:
            cell = (row[column] or "").strip()
            if not cell:
                continue
            if column == "image":
                try:
                    sample[column] = read_image(path.parent / cell)
                except InputError as error:
                    raise InputError(f"{path}, row {number}: {error}") from error
            elif column == "readings":
                sample[column] = _parse_numbers(cell, f"{path}, row {number}")
            else:
                sample[column] = cell
        if not sample:
            raise InputError(
                f"{path}, row {number}: every one of {', '.join(columns)} is empty; a sample has at least one"
            )
        yield sample


def _parse_numbers(cell: str, place: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in cell.split())
    except ValueError:
        raise InputError(f"{place}: readings are {cell!r}, expected numbers separated by spaces") from None
    if not all(math.isfinite(number) for number in numbers):
        raise InputError(
            f"{place}: readings are {cell!r}, expected finite numbers; leave the cell empty if they are missing"
        )
    return numbers


def _embed(model: PromptedModel, samples: Sequence[Mapping[str, object]]) -> Batch:
    modalities = model.backbone.modalities
    embedded: dict[str, list[Tensor | None]] = {}
    for modality in modalities:
        there = [index for index, sample in enumerate(samples) if modality in sample]
        values = [samples[index][modality] for index in there]
        if modality == "readings":
            values = [np.asarray(value, dtype=np.float32) for value in values]
        rows: list[Tensor | None] = [None] * len(samples)
        for index, tokens in zip(there, model.backbone.embed(modality, values), strict=True):
            rows[index] = tokens
        embedded[modality] = rows
    present = torch.tensor([[modality in sample for modality in modalities] for sample in samples])
    return Batch(embedded, present, torch.zeros(len(samples), dtype=torch.int64))
