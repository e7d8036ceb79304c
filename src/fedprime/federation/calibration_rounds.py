"""Rounds of the start that choose, by the likelihood of validation labels, what sums leave open.

Validation samples count as they are and with each of their modalities alone.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float64
from torch import Tensor

from fedprime.data.sources import Task
from fedprime.federation.start_round import (
    CANDIDATES,
    LocalSamples,
    StartRound,
    by_block,
    head_of,
    own_log_prior,
)
from fedprime.methods.method import ServerState, Update
from fedprime.models.calibration import (
    SCALES,
    TEMPERATURES,
    USUAL_TEMPERATURE,
    Curvature,
    as_target,
    best_temperatures,
    curvature,
    flat_target,
    log_likelihoods,
    with_doubt,
)
from fedprime.models.discriminant import SHRINKAGES
from fedprime.models.prompted_model import PromptedModel, Weights

__all__ = ["ShrinkageRound", "TemperatureRound"]

#: Where no client has a validation sample that has a block.
_USUAL_SHRINKAGE = 0.1
#: Few samples have several modalities: what they choose counts as if as many more had chosen 1.
_CONTENT_SAMPLES = 30
_NUM_TARGETS = 2  # sums are sent for the labels as they are, and for labels of which nothing is known


class ShrinkageRound(StartRound):
    """Clients send how likely their validation labels are by each block alone, for each shrinkage and temperature."""

    def measure(self, model: PromptedModel, samples: LocalSamples, received: Weights) -> Weights:
        """Returns, for each block, sums of log-likelihoods, and over how many samples.

        Args:
            received: What the server sent, the candidates with it.
        """
        log_prior = own_log_prior(model, samples.train)
        temperatures = torch.tensor(TEMPERATURES, dtype=torch.float64)[:, None, None]
        found = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in self.form(received).items()}
        for blocks, labels in samples.validation_blocks(model):
            for block, weight in by_block(received, f"{CANDIDATES}weight.").items():
                there = blocks.present[block].cpu()
                mean, scale = received[f"head.moments.{block}"].double()
                rows = (blocks.values[block].cpu()[there].double() - mean) / scale
                bias = received[f"{CANDIDATES}bias.{block}"].double()
                targets = _targets(labels[there], len(log_prior), model.task)[:, None]
                for index, (own, offset) in enumerate(zip(weight.double(), bias, strict=True)):
                    logits = temperatures * (rows @ own.T + offset) + log_prior  # (temperature, sample, output)
                    found[f"likelihood.{block}"][:, index] += log_likelihoods(logits, targets, model.task).sum(dim=-1)
                found[f"count.{block}"] += float(there.sum())
        return found

    def sent(self, weights: Weights) -> Weights:
        """Returns the form of the candidates: weights and biases of each block, for every shrinkage."""
        own = {kind: by_block(weights, f"head.{kind}.") for kind in ("weight", "bias")}
        return {
            f"{CANDIDATES}{kind}.{block}": torch.empty(len(SHRINKAGES), *value.shape, device="meta")
            for kind, values in own.items()
            for block, value in values.items()
        }

    def form(self, weights: Weights) -> Weights:
        """Returns the form of the tables."""
        form: Weights = {}
        for block in by_block(weights, "head.weight."):
            shape = (_NUM_TARGETS, len(SHRINKAGES), len(TEMPERATURES))
            form[f"likelihood.{block}"] = torch.empty(shape, dtype=torch.float64, device="meta")
            form[f"count.{block}"] = torch.empty(1, dtype=torch.float64, device="meta")
        return form

    def problems(self, update: Update) -> list[str]:
        """Says why no samples can have these likelihoods."""
        counts, tables = by_block(update.weights, "count."), by_block(update.weights, "likelihood.")
        if any((value < 0).any() or (value != value.round()).any() for value in counts.values()):
            return ["a number of samples is no whole number from 0"]
        if any((value > 0).any() for value in tables.values()):
            return ["a probability is greater than 1"]
        is_of_nobody = any(table.any() and not counts[block].any() for block, table in tables.items())
        return ["a likelihood is told of no samples"] if is_of_nobody else []

    def aggregate(self, current: ServerState, updates: Sequence[Update]) -> ServerState:
        """Returns the head with each block's likeliest shrinkage and temperature.

        Args:
            updates: What came back.
        """
        shared = {name: value for name, value in current.shared.items() if not name.startswith(CANDIDATES)}
        chosen: dict[str, dict[str, float]] = {}
        for block, weight in by_block(current.shared, f"{CANDIDATES}weight.").items():
            table = sum(update.weights[f"likelihood.{block}"].double() for update in updates)
            count = float(sum(update.weights[f"count.{block}"] for update in updates))
            if count == 0 or not isinstance(table, Tensor):
                index, temperature = SHRINKAGES.index(_USUAL_SHRINKAGE), USUAL_TEMPERATURE
            else:
                index, place = divmod(int(with_doubt(table[0], table[1], count).argmax()), len(TEMPERATURES))
                temperature = TEMPERATURES[place]
            shared[f"head.weight.{block}"] = temperature * weight[index]
            shared[f"head.bias.{block}"] = temperature * current.shared[f"{CANDIDATES}bias.{block}"][index]
            chosen[block] = {"shrinkage": SHRINKAGES[index], "temperature": temperature}
        return replace(current, shared=shared, observations={"start": chosen})


class TemperatureRound(StartRound):
    """Clients send how the likelihood of their validation labels changes with the weight of each block."""

    def __init__(self, *, is_of_several: bool = False) -> None:
        """Says whose likelihood counts.

        Args:
            is_of_several: Whether the weights are those of samples with several modalities, and such samples alone
                count.
        """
        self._is_of_several = is_of_several

    def measure(self, model: PromptedModel, samples: LocalSamples, received: Weights) -> Weights:  # noqa: ARG002
        """Returns value, gradient and second derivatives at places, summed over the client's validation samples."""
        head, log_prior = head_of(model), own_log_prior(model, samples.train)
        found = self._zeros(len(head.weight))
        for blocks, labels in samples.validation_blocks(model):
            with torch.no_grad():
                evidence = torch.stack(list(head.by_block(blocks).values()), dim=1).cpu().double()
            if self._is_of_several and blocks.several is not None:
                evidence, labels = evidence[blocks.several.cpu()], labels[blocks.several]
            targets = _targets(labels, len(log_prior), model.task)
            for place, scale in enumerate(SCALES):
                at = torch.full((len(head.weight),), scale, dtype=torch.float64)
                around = curvature(evidence, log_prior, targets, at, model.task)
                found["value"][:, place] += around.value
                found["gradient"][:, place] += around.gradient
                found["hessian"][place] += around.hessian
            found["count"] += len(labels)
        return found

    def form(self, weights: Weights) -> Weights:
        """Returns the form of what is measured."""
        with torch.device("meta"):
            return self._zeros(len(by_block(weights, "head.weight.")))

    @staticmethod
    def _zeros(num_blocks: int) -> Weights:
        places = (_NUM_TARGETS, len(SCALES))
        shapes = {"value": places, "gradient": (*places, num_blocks)}
        shapes |= {"hessian": (len(SCALES), num_blocks, num_blocks)}
        zeros = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}
        return zeros | {"count": torch.zeros(1, dtype=torch.float64)}

    def problems(self, update: Update) -> list[str]:
        """Says why no samples can have this likelihood."""
        count, hessian = update.weights["count"], update.weights["hessian"]
        if (count < 0).any() or (count != count.round()).any():
            return ["a number of samples is no whole number from 0"]
        if (update.weights["value"] > 0).any():
            return ["a probability is greater than 1"]
        if count == 0 and any(value.any() for value in update.weights.values()):
            return ["a likelihood is told of no samples"]
        if not torch.allclose(hessian, hessian.mT, rtol=1e-6, atol=1e-6 * float(hessian.abs().max())):
            return ["the likelihood has other second derivatives in one order than in the other"]
        curved = torch.linalg.eigvalsh(update.weights["hessian"])[:, -1]
        return ["the likelihood is not concave"] if (curved > 1e-6 * (1 - curved)).any() else []

    def aggregate(self, current: ServerState, updates: Sequence[Update]) -> ServerState:
        """Returns the head with a better weight for each block."""
        total = {
            name: torch.stack([update.weights[name].double() for update in updates]).sum(dim=0)
            for name in updates[0].weights
        }
        weight = by_block(current.shared, "head.weight.")
        places = torch.tensor(SCALES, dtype=torch.float64)[:, None].expand(-1, len(weight))
        num_samples = float(total["count"])
        value, gradient = (with_doubt(total[name][0], total[name][1], num_samples) for name in ("value", "gradient"))
        parts = zip(value, gradient, total["hessian"], strict=True)
        factors = best_temperatures(places, [Curvature(*part) for part in parts], num_samples)
        if num_samples == 0:
            factors = torch.ones_like(factors)
        elif self._is_of_several:
            factors = factors ** (num_samples / (num_samples + _CONTENT_SAMPLES))
        shared = dict(current.shared)
        for block, factor in zip(weight, factors.tolist(), strict=True):
            for kind in ("together",) if self._is_of_several else ("weight", "bias"):
                shared[f"head.{kind}.{block}"] = factor * shared[f"head.{kind}.{block}"]
        kind = "together" if self._is_of_several else "factor"
        told = {block: {kind: factor} for block, factor in zip(weight, factors.tolist(), strict=True)}
        return replace(current, shared=shared, observations={"start": told})


def _targets(labels: Tensor, num_outputs: int, task: Task) -> Float64[Tensor, "target sample output"]:
    return torch.stack([as_target(labels, num_outputs, task), flat_target(len(labels), num_outputs, task)])
