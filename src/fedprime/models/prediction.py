"""From raw values to predicted labels: files, texts and numbers of which any may be missing."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from fedprime.data.batches import Batch, EmbeddedSamples
from fedprime.data.images import InputError
from fedprime.data.odd_values import embed_usable
from fedprime.data.sets.table.frames import as_samples, is_hole, read_sample
from fedprime.models.priors import (
    Prior,
    PriorError,
    check_prior,
    estimated_log_prior,
    given_log_prior,
    uniform_log_prior,
)
from fedprime.models.prompted_model import PromptedModel

_logger = logging.getLogger(__name__)

#: Of a sample of which nothing can be used.
_NOTHING: Mapping[str, Any] = {"label": None, "probabilities": {}, "present": []}
_AT_ONCE = 64  # samples per batch


def predict_samples(
    model: PromptedModel,
    samples: object,
    names: Sequence[str] = (),
    prior: Prior = "train",
) -> list[dict[str, Any]]:
    """Predicts the label of samples of which any modality may be missing, but not all.

    A value that the backbone cannot take is missing, and the log names it.

    Args:
        samples: A list, in which each is by modality its value: an image or a sound as a path, an image of PIL, an
            array of (height, width, 3) uint8, a sound as `sounds.read_sound` gives it, a text, the cells of a row by
            column, an array of numbers. What is missing is left out, None or NaN; so is a blank text. Or a single one,
            a path or an image alone, or a data frame with the columns of training, or some called as modalities are.
        names: What to call each sample in the log; the number of its row, if not given.
        prior: Label frequencies to expect: those of all training samples (train), equal ones (uniform), those that make
            these very samples likeliest (estimate), or one number for each label.

    Returns:
        For each sample: ``label`` (with several labels the most probable one), ``probabilities`` by label, ``present``;
        with several labels also ``labels``, those that are more probable than not. Of a
        sample of which nothing can be used, the label is None, and nothing is present.

    Raises:
        InputError: If a sample has nothing that the model reads, or something that it does not read; the row is named.
        DataError: If there are no samples in what is given.
        PriorError: If the prior cannot be used, or the model's scores hold one that nobody can take off.
    """
    check_prior(prior)
    modalities = model.backbone.modalities
    given = as_samples(samples, model.backbone.kinds, model.about.get("columns", ()))
    rows = [{name: value for name, value in sample.items() if not is_hole(value)} for sample in given]
    names = list(names) or [f"row {number}" for number in range(1, len(rows) + 1)]
    for place, sample in zip(names, rows, strict=True):
        unknown = [modality for modality in sample if modality not in modalities]
        if unknown:
            raise InputError(f"{place}: the model reads {', '.join(modalities)}; it cannot use {', '.join(unknown)}")
        if not sample:
            raise InputError(f"{place}: nothing is there; give at least one of {', '.join(modalities)}")
    model.eval()
    predictions: list[dict[str, Any]] = []
    for start in range(0, len(rows), _AT_ONCE):
        at_once, places = rows[start : start + _AT_ONCE], names[start : start + _AT_ONCE]
        named = zip(at_once, places, strict=True)
        chunk = [read_sample(sample, model.backbone.kinds, place, model.about) for sample, place in named]
        embedded = _embed(model, chunk, places)
        usable = [row for row in range(len(chunk)) if any(own[row] is not None for own in embedded.values())]
        found = iter(_predict(model, batch_of({name: [own[row] for row in usable] for name, own in embedded.items()})))
        predictions += [next(found) if row in usable else dict(_NOTHING) for row in range(len(chunk))]
    return predictions if prior == "train" else with_prior(model, predictions, prior)


def with_prior(model: PromptedModel, predictions: Sequence[Mapping[str, Any]], prior: Prior) -> list[dict[str, Any]]:
    """Returns predictions with other label frequencies in the place of those of training.

    Args:
        predictions: As from `predict_samples`, with the prior of training.
        prior: As for `predict_samples`.

    Raises:
        PriorError: As there.
    """
    trained = model.log_prior
    if trained is None:
        raise PriorError(
            "prior: the head of this model was trained together with the label frequencies, which cannot be taken off; "
            "a head that reads blocks keeps them apart (method.readout)"
        )
    usable = [row for row, found in enumerate(predictions) if found["present"]]
    probabilities = torch.tensor(
        [[predictions[row]["probabilities"][name] for name in model.label_names] for row in usable], dtype=torch.float64
    ).reshape(len(usable), len(model.label_names))
    scores = probabilities.clamp(min=1e-300).log() if model.task == "one_class" else probabilities.logit(eps=1e-15)
    evidence = scores - trained.double()
    if prior == "train":
        log_prior = trained.double()
    elif prior == "estimate":
        log_prior = estimated_log_prior(evidence, trained, model.task)
    elif prior == "uniform":
        log_prior = uniform_log_prior(len(model.label_names), model.task)
    else:
        log_prior = given_log_prior(prior, model.label_names, model.task)
    changed = model.probabilities(evidence, log_prior)
    told = [dict(found) for found in predictions]
    for row, values in zip(usable, changed.tolist(), strict=True):
        told[row] = answer_of(model, values, predictions[row]["present"])
    return told


def predict_rows(model: PromptedModel, samples: EmbeddedSamples, rows: Int[np.ndarray, " row"]) -> list[dict[str, Any]]:
    """Predicts rows of a data set that the model's backbone sees; a value that cannot be used is missing.

    Args:
        samples: The data set; its labels are not looked at.

    Returns:
        As `predict_samples` does.
    """
    model.eval()
    there = samples.usable(rows)
    usable = np.asarray(there.any(axis=1))
    found = iter(_predict(model, samples.batch(rows[usable], there[usable])) if usable.any() else ())
    return [next(found) if own else dict(_NOTHING) for own in usable.tolist()]


def batch_of(embedded: Mapping[str, Sequence[Tensor | None]]) -> Batch:
    """Returns embedded samples as a batch without labels."""
    present = [[part is not None for part in row] for row in zip(*embedded.values(), strict=True)]
    return Batch(embedded, torch.tensor(present), torch.zeros(len(present), dtype=torch.int64))


def _predict(model: PromptedModel, batch: Batch) -> list[dict[str, Any]]:
    if not len(batch):
        return []
    modalities = model.backbone.modalities
    with torch.no_grad():
        probabilities = model.probabilities(model(batch).logits.double())
    return [
        answer_of(model, row, [modality for modality, is_there in zip(modalities, are_there, strict=True) if is_there])
        for are_there, row in zip(batch.present.tolist(), probabilities.tolist(), strict=True)
    ]


def answer_of(model: PromptedModel, probabilities: Sequence[float], present: Sequence[str]) -> dict[str, Any]:
    """Returns what is told of a sample: its likeliest label, the probability of each, and what was there of it."""
    by_label = dict(zip(model.label_names, probabilities, strict=True))
    told = {"label": max(by_label, key=by_label.__getitem__), "probabilities": by_label, "present": list(present)}
    if model.task == "several_labels":
        told["labels"] = [label for label, probability in by_label.items() if probability > 0.5]
    return told


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
