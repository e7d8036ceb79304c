"""From raw values to predicted labels: files, texts and numbers of which any may be missing."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedprime.data.batches import Batch
from fedprime.data.images import InputError
from fedprime.data.odd_values import embed_usable
from fedprime.models.prompted_model import PromptedModel

__all__ = ["predict_samples"]

_logger = logging.getLogger(__name__)

#: Of a sample of which nothing can be used.
_NOTHING: Mapping[str, Any] = {"label": None, "probabilities": {}, "present": []}
_AT_ONCE = 64  # samples per batch


def predict_samples(
    model: PromptedModel, samples: Sequence[Mapping[str, object]], names: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Predicts the label of samples of which any modality may be missing, but not all.

    A value that the backbone cannot take is missing, and the log names it.

    Args:
        samples: Each by modality its raw value: an image as (height, width, 3) uint8, a text, a sound as
            `sounds.read_sound` gives it, the cells of a row by column, an array of numbers. What is missing is left out
            or None; so is a blank text.
        names: What to call each sample in the log; the number of its row, if not given.

    Returns:
        For each sample: ``label`` (with several labels the most probable one), ``probabilities`` by label, ``present``;
        with several labels also ``labels``, those that are more probable than not. Of a
        sample of which nothing can be used, the label is None, and nothing is present.

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
    names = list(names) or [f"row {number}" for number in range(1, len(samples) + 1)]
    predictions: list[dict[str, Any]] = []
    for start in range(0, len(samples), _AT_ONCE):
        chunk = slice(start, start + _AT_ONCE)
        embedded = _embed(model, samples[chunk], names[chunk])
        usable = [row for row in range(len(samples[chunk])) if any(own[row] is not None for own in embedded.values())]
        found = iter(_predict(model, {name: [own[row] for row in usable] for name, own in embedded.items()}))
        predictions += [next(found) if row in usable else dict(_NOTHING) for row in range(len(samples[chunk]))]
    return predictions


def _predict(model: PromptedModel, embedded: Mapping[str, Sequence[Tensor | None]]) -> list[dict[str, Any]]:
    modalities = model.backbone.modalities
    present = torch.tensor([[part is not None for part in row] for row in zip(*embedded.values(), strict=True)])
    if not len(present):
        return []
    batch = Batch(embedded, present, torch.zeros(len(present), dtype=torch.int64))
    with torch.no_grad():
        probabilities = model.probabilities(model(batch).logits)
    predictions: list[dict[str, Any]] = []
    for are_there, row in zip(present.tolist(), probabilities.tolist(), strict=True):
        by_label = dict(zip(model.label_names, row, strict=True))
        there = [modality for modality, is_there in zip(modalities, are_there, strict=True) if is_there]
        predictions.append(
            {"label": max(by_label, key=by_label.__getitem__), "probabilities": by_label, "present": there}
        )
        if model.task == "several_labels":
            predictions[-1]["labels"] = [label for label, probability in by_label.items() if probability > 0.5]
    return predictions


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _embed(
    model: PromptedModel, samples: Sequence[Mapping[str, object]], names: Sequence[str]
) -> dict[str, list[Tensor | None]]:
    """Returns by modality one entry per sample: its embedding, or None where it is missing or cannot be used."""
    embedded: dict[str, list[Tensor | None]] = {}
    for modality, kind in model.backbone.kinds.items():

        def read(index: int, modality: str = modality, *, are_numbers: bool = kind == "numbers") -> object:
            value = samples[index][modality]
            return np.asarray(value, dtype=np.float32) if are_numbers else value

        there = [index for index, sample in enumerate(samples) if modality in sample]
        found, reasons = embed_usable(there, read, partial(model.backbone.embed, modality))
        for index, reason in reasons.items():
            _logger.warning("%s: a missing %s: %s", names[index], modality, reason)
        embedded[modality] = [found.get(index) for index in range(len(samples))]
    return embedded
