"""What a model says of one sample by every subset of what is there of it, and why: evidence, and prompts chosen."""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.data.images import InputError
from fedprime.data.odd_values import embed_usable
from fedprime.data.sets.table.number_words import trained_row
from fedprime.models.prediction import answer_of, batch_of
from fedprime.models.priors import Prior, PriorError, given_log_prior, uniform_log_prior
from fedprime.models.prompted_model import Output, PromptedModel

#: The name under which the prior stands beside what blocks say.
PRIOR_ROW = "prior"
_MOST_MODALITIES = 6  # 63 subsets


def explain(
    model: PromptedModel, sample: Mapping[str, object], prior: Prior = "train", *, every_subset: bool = True
) -> list[dict[str, Any]]:
    """Predicts from all that is there of a sample, and from every part of it.

    Args:
        sample: Raw values by modality: pixels, a sound as `sounds.read_sound` gives it, a text, cells by column, an
            array of numbers. What is missing is left out.
        prior: As for `predict_samples`, but for an estimate, which takes many samples.
        every_subset: Whether parts of it are predicted from as well.

    Returns:
        Of each subset, the largest first: ``present``, ``label``, ``probabilities``, with several labels also
        ``labels``; ``evidence``, by block and label how much it speaks for (above 0) or against it, beside the prior,
        and nothing of a head whose scores are no evidence; ``prompts``, by pool which were chosen, the nearest first.

    Raises:
        InputError: If a value cannot be used, or nothing is there.
        PriorError: If the prior cannot be used, or the model's scores hold one that nobody can take off.
    """
    log_prior = _log_prior(model, prior)
    embedded = _embed(model, sample)
    present = [modality for modality in model.backbone.modalities if modality in embedded]
    if len(present) > _MOST_MODALITIES and every_subset:
        raise InputError(f"{len(present)} modalities are there; expected at most {_MOST_MODALITIES} for every subset")
    sizes = range(len(present), 0, -1) if every_subset else [len(present)]
    subsets = [subset for size in sizes for subset in itertools.combinations(present, size)]
    model.eval()
    # What depends on its batch is alone in it.
    at_once = 1 if model.prompter.reads_whole_batches else len(subsets)
    answers: list[dict[str, Any]] = []
    for start in range(0, len(subsets), at_once):
        chunk = subsets[start : start + at_once]
        with torch.no_grad():
            parts = {
                name: [embedded[name] if name in own else None for own in chunk] for name in model.backbone.modalities
            }
            output = model(batch_of(parts))
            probabilities = model.probabilities(output.logits.double(), log_prior)
        answers += [
            _answer(model, subset, probabilities[row].tolist(), output, row, log_prior)
            for row, subset in enumerate(chunk)
        ]
    return answers


def _log_prior(model: PromptedModel, prior: Prior) -> Float[Tensor, " output"] | None:
    trained = model.log_prior
    if prior == "train":
        return trained
    if trained is None:
        raise PriorError("prior: the head of this model was trained together with it; expected train")
    if prior == "uniform":
        return uniform_log_prior(len(model.label_names), model.task)
    if isinstance(prior, str):
        raise PriorError(f"prior: found {prior!r}; expected train, uniform, or a number for each label")
    return given_log_prior(prior, model.label_names, model.task)


def _embed(model: PromptedModel, sample: Mapping[str, object]) -> dict[str, Tensor]:
    kinds = model.backbone.kinds
    unknown = [modality for modality in sample if modality not in kinds]
    if unknown:
        raise InputError(f"the model reads {', '.join(kinds)}; it cannot use {', '.join(unknown)}")
    embedded: dict[str, Tensor] = {}
    for modality, value in sample.items():
        raw = np.asarray(value, dtype=np.float32) if kinds[modality] == "numbers" else value
        if kinds[modality] == "table" and isinstance(value, Mapping):
            raw = trained_row(cast("Mapping[str, object]", value), modality, model.about)
        found, reasons = embed_usable([0], lambda _, raw=raw: raw, partial(model.backbone.embed, modality))
        if reasons:
            raise InputError(f"{modality}: {reasons[0]}")
        embedded[modality] = found[0]
    if not embedded:
        raise InputError(f"nothing is there; give at least one of {', '.join(kinds)}")
    return embedded


def _answer(
    model: PromptedModel,
    subset: Sequence[str],
    probabilities: Sequence[float],
    output: Output,
    row: int,
    log_prior: Float[Tensor, " output"] | None,
) -> dict[str, Any]:
    answer = answer_of(model, probabilities, subset)
    answer |= {"evidence": {}, "prompts": {pool: own[row].tolist() for pool, own in output.chosen.indices.items()}}
    said = {block: scores[row].double() for block, scores in output.evidence.items() if scores[row].any()}
    if log_prior is not None:
        said[PRIOR_ROW] = log_prior.double()
    for block, scores in said.items():
        # Of one class, what is added to all of them alike says nothing.
        own = scores - scores.mean() if model.task == "one_class" else scores
        answer["evidence"][block] = dict(zip(model.label_names, own.tolist(), strict=True))
    return answer
