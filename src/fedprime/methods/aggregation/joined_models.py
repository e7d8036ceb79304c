"""Models that are added one by one and then are one: sums make the head, prompts are joined, the rest is averaged.

Prompts are aligned as in the server step of FED-PRIME: position says nothing where pools did not start equal.

Source: Federated Prompt-Tuning with Heterogeneous and Incomplete Multimodal Client Data. ICCV 2025, arXiv 2602.07081,
server step.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from fedprime.methods.aggregation.alignment import align
from fedprime.models.discriminant import frequencies_of
from fedprime.models.model_folder import ModelError
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.models.prompts import NoPrompts, PatternPrompts, PromptPools
from fedprime.models.readout import EvidenceHead
from fedprime.models.statistics import Statistics, placed
from fedprime.reproducibility.seeding import torch_stream

#: How prompts become one set: those that mean the same are averaged, or those of the same position.
Joining = Literal["align", "average"]

#: How names of values begin of which there is one for each label.
_BY_LABEL = ("head.weight", "head.bias", "head.3.", "head.log_prior")
_PATTERNS = "prompter.sets"


class JoinedModels:
    """What models come to together, as far as they have been added: sums, and of each only prompts to be aligned.

    A label that a model does not know is averaged over those that do.

    Attributes:
        notes: What is particular about it, a line each.
    """

    def __init__(self, label_names: Sequence[str], prompts: Joining, *, counts_alike: bool) -> None:
        """Takes what is known before.

        Args:
            prompts: How prompts become one set.
            counts_alike: Whether every model counts the same, rather than by its samples: some do not tell theirs.
        """
        self._label_names = tuple(label_names)
        self._joining: Joining = prompts
        self._counts_alike = counts_alike
        self._first: tuple[Path, PromptedModel] | None = None
        self._counts: list[float] = []
        self._of_label = torch.zeros(len(self._label_names), dtype=torch.float64)
        self._totals: dict[str, Float64[Tensor, "*shape"]] = {}
        self._prompts: dict[str, list[Tensor]] = {}
        self._statistics: Statistics | None = None
        self._blocks: set[str] = set()
        self.notes: tuple[str, ...] = ()

    def add(self, path: Path, model: PromptedModel, statistics: Statistics | None) -> None:
        """Adds a model.

        Args:
            path: Where it came from, for messages.
            model: Of the same shape as those before, apart from labels and sizes of pools.
            statistics: What it tells of its samples, in the order of its labels.

        Raises:
            ModelError: If its values are not finite, or its prompts cannot be averaged with the others'.
        """
        weights = model.weights()
        if not all(value.isfinite().all() for value in weights.values()):
            raise ModelError(f"{path / 'model.safetensors'} holds values that are not finite; leave it out")
        places = [self._label_names.index(name) for name in model.label_names]
        count = 1.0 if self._counts_alike or statistics is None else float(statistics.sums.num_samples)
        for name in _prompt_names(model):
            if self._joining == "align":
                self._prompts.setdefault(name, []).append(weights.pop(name))
            else:
                self._check_size(path, name, weights[name])
        for name, value in _comparable(weights, model).items():
            own = count * value
            if name.startswith(_BY_LABEL):
                own = placed(own, places, len(self._label_names))
            self._totals[name] = self._totals[name] + own if name in self._totals else own
        self._of_label[places] += count
        self._counts.append(count)
        self._first = self._first or (path, model)
        self._add_statistics(model, statistics, places)

    def _check_size(self, path: Path, name: str, value: Tensor) -> None:
        if self._first is not None and value.shape != self._totals[name].shape:
            raise ModelError(
                f"{path} has {len(value)} prompts in {name}, {self._first[0]} has {len(self._totals[name])}: they "
                "cannot be averaged by position; use --prompts align"
            )

    def _add_statistics(self, model: PromptedModel, statistics: Statistics | None, places: Sequence[int]) -> None:
        if self._counts_alike or statistics is None:
            return
        statistics = statistics.with_labels(places, len(self._label_names))
        self._statistics = statistics if self._statistics is None else self._statistics + statistics
        if isinstance(model.head, EvidenceHead):
            self._blocks |= model.head.widths.keys()

    def finished(self, seed: int) -> tuple[PromptedModel, Statistics | None]:
        """Returns the model of all that was added, and what it tells of their samples."""
        if self._first is None:
            raise ModelError("there is no model to merge")
        first = self._first[1]
        prompter = type(first.prompter)(first.backbone.dim, **first.prompter.options())
        merged = PromptedModel(
            first.backbone,
            prompter,
            self._label_names,
            first.task,
            None,
            first.head_kind,
            first.readout,
            prompt_layer=first.prompt_layer,
        )
        merged.about = {name: own for name, own in first.about.items() if name != "training"}
        values = self._averaged(merged)
        for name, pools in self._prompts.items():
            values[name] = self._joined(name, pools, seed)
        if self._statistics is not None:
            values |= self._statistics.head(first.task) if self._statistics.sums.total else {}
        merged.load_weights(values)
        self.notes = self._found_notes(first)
        return merged, self._statistics

    def _averaged(self, merged: PromptedModel) -> Weights:
        total = sum(self._counts)
        values: Weights = {}
        for name, value in self._totals.items():
            if name.startswith(_BY_LABEL):
                values[name] = value / self._of_label.reshape(-1, *[1] * (value.ndim - 1))
            else:
                values[name] = value / total
        if isinstance(merged.head, EvidenceHead):
            values |= _evidence(values, list(merged.head.widths))
            share = self._totals["head.log_prior"] / total
            values["head.log_prior"] = share.log() if merged.task == "one_class" else share.logit()
        return {name: value.float() for name, value in values.items()}

    def _joined(self, name: str, pools: Sequence[Tensor], seed: int) -> Tensor:
        rng = torch_stream(seed, "merge", name)
        if name != _PATTERNS:
            grows = self._first is not None and isinstance(self._first[1].prompter, PromptPools)
            return join_prompts(pools, self._counts, rng, grows=grows)
        of_pattern = zip(*(pool.unbind() for pool in pools), strict=True)
        return torch.stack([join_prompts(sets, self._counts, rng, grows=False) for sets in of_pattern])

    def _found_notes(self, first: PromptedModel) -> tuple[str, ...]:
        notes: list[str] = []
        if self._statistics is not None:
            summed = self._statistics.sums.total.keys()
            if not self._blocks:
                notes.append("the heads read no blocks: they are averaged, each weighted by its samples")
            elif self._blocks - summed:
                lacking = ", ".join(sorted(self._blocks - summed))
                notes.append(f"not all models carry sums of {lacking}: that part of their heads is averaged")
            if "summary" in summed and not isinstance(first.prompter, NoPrompts):
                notes.append("the summary feature was summed up by each model through its own prompts")
        return tuple(notes)


def _prompt_names(model: PromptedModel) -> list[str]:
    names = [f"prompter.{name}" for name in sorted(model.prompter.resizable)]
    return [*names, _PATTERNS] if isinstance(model.prompter, PatternPrompts) else names


def _comparable(weights: Weights, model: PromptedModel) -> Weights:
    """Returns values whose mean means something: of evidence, maps of blocks as they are, and label frequencies."""
    values = {name: value.double() for name, value in weights.items()}
    if isinstance(model.head, EvidenceHead):
        values["head.log_prior"] = frequencies_of(values["head.log_prior"], model.task)
        for block in model.head.widths:
            mean, scale = values[f"head.moments.{block}"]
            weight = values[f"head.weight.{block}"] / scale
            values[f"head.weight.{block}"] = weight
            values[f"head.bias.{block}"] = values[f"head.bias.{block}"] - weight @ mean
    return values


def _evidence(values: Weights, blocks: Sequence[str]) -> Weights:
    """Returns maps of standardised blocks that say the same as maps of blocks as they are."""
    found: Weights = {}
    for block in blocks:
        mean, scale = values[f"head.moments.{block}"]
        weight = values[f"head.weight.{block}"]
        found[f"head.weight.{block}"] = weight * scale
        found[f"head.bias.{block}"] = values[f"head.bias.{block}"] + weight @ mean
    return found


def join_prompts(
    pools: Sequence[Float[Tensor, "_prompt dim"]],
    num_samples: Sequence[int | float],
    rng: torch.Generator,
    *,
    grows: bool = True,
) -> Float[Tensor, "centre dim"]:
    """Returns one set of prompts: those that meet in a centre are averaged, each model weighted by its samples.

    Args:
        num_samples: What each of them counts, above 0.
        rng: Source of the alignment's initial networks.
        grows: Whether there may be more prompts than in the largest pool, up to twice as many.

    >>> pools = [torch.tensor([[0.0, 0.0], [4.0, 4.0]]), torch.tensor([[4.0, 4.2], [0.0, 0.2]])]
    >>> join_prompts(pools, [1, 3], torch.Generator()).sort(dim=0).values
    tensor([[0.0000, 0.1500],
            [4.0000, 4.1500]])
    """
    largest = max(len(pool) for pool in pools)
    alignment = align(pools, rng=rng, max_centres=2 * largest if grows else largest)
    total = torch.zeros(alignment.centres.shape, dtype=torch.float64)
    weight = torch.zeros(len(total), 1, dtype=torch.float64)
    for pool, matched, count in zip(pools, alignment.matches, num_samples, strict=True):
        total.index_add_(0, matched, count * pool.double())
        weight.index_add_(0, matched, torch.full((len(pool), 1), float(count), dtype=torch.float64))
    return (total / weight).to(pools[0].dtype)
