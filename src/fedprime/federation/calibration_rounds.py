"""Rounds of the start that choose, by the likelihood of validation labels, what sums leave open.

Validation samples count as they are and with each of their modalities alone.
"""

import math
from collections.abc import Mapping, Sequence
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
    of_all_others,
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

#: Where no client has a validation sample that has a block.
_USUAL_SHRINKAGE = 0.1
#: Few samples have several modalities: what they choose counts as if as many more had chosen 1.
_CONTENT_SAMPLES = 30
_NUM_TARGETS = 2  # sums are sent for the labels as they are, and for labels of which nothing is known
#: No evidence of a sample comes near: a likelihood further from 0, or a second derivative than its square, is none.
#: That of all labels of a sample is one (300 labels of 300 samples: up to 3e9, by candidates that nobody chooses).
_MOST_EVIDENCE = 1e12
_MOST_JUDGES = 100
#: Few samples gain much by chance: gains count as if so many more gained nothing.
_UNTOUCHED_SAMPLES = 20


class ShrinkageRound(StartRound):
    """Clients send how likely their validation labels are by each block alone, for each shrinkage and temperature."""

    def __init__(self, task: Task = "one_class") -> None:
        self._task: Task = task

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
        is_too_much = any((table.abs() > _MOST_EVIDENCE * counts[block]).any() for block, table in tables.items())
        return ["so many samples cannot be so unlikely"] if is_too_much else []

    def gains(self, updates: Sequence[Update], shared: Weights) -> dict[int, float]:
        """Returns by client what the others would gain without its say: that of the block where it is most."""
        found = dict.fromkeys((update.client for update in updates), 0.0)
        for block in by_block(updates[0].weights, "count."):
            own = torch.stack([update.weights[f"likelihood.{block}"].double() for update in updates])
            counts = torch.stack([update.weights[f"count.{block}"].double() for update in updates])
            tables, numbers = (torch.cat([of_all_others(value), value.sum(dim=0)[None]]) for value in (own, counts))
            sums = zip(tables, numbers.flatten().tolist(), strict=True)
            chosen = [int(with_doubt(table[0], table[1], number).argmax()) for table, number in sums]
            judges = _judges(len(updates))
            gains = _usual_gains(own[judges, 0].flatten(1)[:, chosen], counts[judges, 0], shared, self._task)
            found = {client: max(most, gain) for (client, most), gain in zip(found.items(), gains, strict=True)}
        return found

    def aggregate(self, current: ServerState, updates: Sequence[Update]) -> ServerState:
        """Returns the head with each block's likeliest shrinkage and temperature."""
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

    def unanswered(self, current: ServerState) -> ServerState:
        """Returns the head with usual values: candidates are no part of the model, and whoever trains sends none."""
        return self.aggregate(current, [])


class TemperatureRound(StartRound):
    """Clients send how the likelihood of their validation labels changes with the weight of each block."""

    def __init__(self, task: Task = "one_class", *, is_of_several: bool = False) -> None:
        """Takes the task, and whose likelihood counts.

        Args:
            is_of_several: Whether the weights are those of samples with several modalities, and such samples alone
                count.
        """
        self._task: Task = task
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
        limits = {"value": _MOST_EVIDENCE, "gradient": _MOST_EVIDENCE, "hessian": _MOST_EVIDENCE**2}
        if any((update.weights[name].abs() > most * count).any() for name, most in limits.items()):
            return ["so many samples cannot be so unlikely"]
        # Where a head is sure of every label, they are the rest of sums that cancel, and only rounding is left of them.
        if not torch.allclose(hessian, hessian.mT, rtol=1e-6, atol=1e-6 * (1 + float(hessian.abs().max()))):
            return ["the likelihood has other second derivatives in one order than in the other"]
        curved = torch.linalg.eigvalsh(update.weights["hessian"])[:, -1]
        return ["the likelihood is not concave"] if (curved > 1e-6 * (1 - curved)).any() else []

    def gains(self, updates: Sequence[Update], shared: Weights) -> dict[int, float]:
        """Returns by client what the others would gain without its say, as far as second derivatives tell."""
        sent = {name: torch.stack([update.weights[name].double() for update in updates]) for name in updates[0].weights}
        rests = {name: torch.cat([of_all_others(value), value.sum(dim=0)[None]]) for name, value in sent.items()}
        totals = ({name: value[rest] for name, value in rests.items()} for rest in range(len(updates) + 1))
        chosen = torch.stack([_best(total) for total in totals])
        judges = _judges(len(updates))
        told = torch.stack([_likelihoods(update.weights, chosen) for update in updates[judges]])
        gains = _usual_gains(told, sent["count"][judges, 0], shared, self._task)
        return {update.client: gain for update, gain in zip(updates, gains, strict=True)}

    def aggregate(self, current: ServerState, updates: Sequence[Update]) -> ServerState:
        """Returns the head with a better weight for each block."""
        total = {
            name: torch.stack([update.weights[name].double() for update in updates]).sum(dim=0)
            for name in updates[0].weights
        }
        weight, num_samples = by_block(current.shared, "head.weight."), float(total["count"])
        factors = _best(total)
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


def _best(total: Mapping[str, Tensor]) -> Float64[Tensor, " block"]:
    """Returns the weights of blocks that sums over clients choose.

    Args:
        total: Value, gradient and second derivatives at places, as clients send them, and over how many samples.
    """
    places = torch.tensor(SCALES, dtype=torch.float64)[:, None].expand(-1, total["hessian"].shape[-1])
    return best_temperatures(places, _at_places(total), float(total["count"]))


def _likelihoods(total: Mapping[str, Tensor], weights: Float64[Tensor, "choice block"]) -> Float64[Tensor, " choice"]:
    """Returns how likely labels are by other weights of blocks, as far as the likeliest place tells."""
    scale, around = max(zip(SCALES, _at_places(total), strict=True), key=lambda found: float(found[1].value))
    steps = weights - scale
    return around.value + steps @ around.gradient + ((steps @ around.hessian) * steps).sum(dim=1) / 2


def _at_places(total: Mapping[str, Tensor]) -> list[Curvature]:
    """Returns what sums tell of the likelihood at each of `SCALES`."""
    value, gradient = (
        with_doubt(total[name][0], total[name][1], float(total["count"])) for name in ("value", "gradient")
    )
    return [Curvature(*part) for part in zip(value, gradient, total["hessian"], strict=True)]


def _judges(num_clients: int) -> slice:
    """Returns of which clients gains are taken: of thousands, as many as tell them, evenly spread."""
    return slice(None, None, math.ceil(num_clients / _MOST_JUDGES))


def _usual_gains(
    likelihoods: Float64[Tensor, "judge choice"], counts: Float64[Tensor, " judge"], shared: Weights, task: Task
) -> list[float]:
    """Returns by client what others gain without its say, as a share of what guessing costs: median or mean, the less.

    Where two choices are about as good for all together, one client decides, and the median may gain what others lose.

    Args:
        likelihoods: Of each judge's labels by what is chosen without each client in turn, and last by what all choose.
        counts: Over how many samples they are summed.
    """
    num_labels, num_clients = len(shared["head.log_prior"]), likelihoods.shape[1] - 1
    guessing = math.log(num_labels) if task == "one_class" else num_labels * math.log(2)
    gains = (likelihoods[:, :-1] - likelihoods[:, -1:]) / (guessing or 1.0)
    of_each = (gains / (counts[:, None] + _UNTOUCHED_SAMPLES))[counts > 0]
    if not len(of_each):
        return [0.0] * num_clients
    clients = torch.arange(num_clients)
    is_other = clients[_judges(num_clients), None] != clients
    mean = (gains * is_other).sum(dim=0) / ((counts[:, None] * is_other).sum(dim=0) + _UNTOUCHED_SAMPLES)
    return torch.minimum(of_each.median(dim=0).values, mean).tolist()


def _targets(labels: Tensor, num_outputs: int, task: Task) -> Float64[Tensor, "target sample output"]:
    return torch.stack([as_target(labels, num_outputs, task), flat_target(len(labels), num_outputs, task)])
