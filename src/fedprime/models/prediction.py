"""From raw values to predicted labels: files, texts and numbers of which any may be missing."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedprime.data.batches import Batch
from fedprime.data.images import InputError
from fedprime.models.prompted_model import PromptedModel

__all__ = ["predict_samples"]

_AT_ONCE = 64  # samples per batch


def predict_samples(model: PromptedModel, samples: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
    """Predicts the label of samples of which any modality may be missing, but not all.

    Args:
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


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _embed(model: PromptedModel, samples: Sequence[Mapping[str, object]]) -> Batch:
    modalities, kinds = model.backbone.modalities, model.backbone.kinds
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
