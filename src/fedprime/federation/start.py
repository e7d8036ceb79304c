"""The start: rounds before the first, in which clients sum up or measure, and a head comes out in closed form.

They are numbered from below zero, so that the rounds of training keep their numbers. Every client is asked, and none
trains. `SumsRound` makes the head; `ShrinkageRound` and `TemperatureRound` choose what it leaves open, on validation
samples, which stay where they are: clients send how likely the labels are.

Source: see docs/learning.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from fedprime.data.batches import Shard, Task
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.calibration import SCALES, TEMPERATURES, Curvature, best_temperatures, curvature, log_likelihoods
from fedprime.models.class_sums import ClassSums, sum_blocks
from fedprime.models.discriminant import SHRINKAGES, BlockDiscriminant, frequencies_of, label_counts, log_frequencies
from fedprime.models.prompted_model import BESIDE_MODEL, PromptedModel, Weights
from fedprime.models.readout import Blocks, EvidenceHead

__all__ = [
    "LocalSamples",
    "ShrinkageRound",
    "StartRound",
    "SumsRound",
    "TemperatureRound",
    "is_started",
    "own_log_prior",
    "start_rounds",
    "started_alone",
]

_AT_ONCE = 256  # samples
#: Values that are sent in the start alone, beside the model's.
_CANDIDATES = f"{BESIDE_MODEL}start."
#: Where no client has a validation sample that has a block.
_USUAL_SHRINKAGE, _USUAL_TEMPERATURE = 0.1, 0.3


@dataclass(frozen=True)
class LocalSamples:
    """What a client has.

    Attributes:
        train: Its training samples.
        validation: Samples that nothing is fitted to.
    """

    train: Shard
    validation: Shard


@runtime_checkable
class StartRound(Protocol):
    """A round in which clients measure.

    Attributes:
        title: What it is called in the line of metrics.
    """

    title: str

    def measure(self, model: PromptedModel, samples: LocalSamples, received: Weights) -> Weights:
        """Returns what a client sends.

        Args:
            model: A model with the weights that it received.
            samples: Its samples.
            received: What the server sent.
        """
        ...

    def sent(self, weights: Weights) -> Weights:
        """Returns tensors of what a client is sent beside the model's weights, without content.

        Args:
            weights: Those of the model.
        """
        ...

    def form(self, weights: Weights) -> Weights:
        """Returns tensors of the names, shapes and types that a client sends, without content.

        Args:
            weights: Those of the model.
        """
        ...

    def problems(self, update: Update) -> list[str]:
        """Says what is wrong with what a client sent, beyond names, shapes and values that are not finite.

        Args:
            update: What it sent.
        """
        ...

    def aggregate(self, current: ServerState, updates: Sequence[Update]) -> ServerState:
        """Returns what the server makes of it.

        Args:
            current: What the server sent out.
            updates: What came back, at least one, in the order of clients.
        """
        ...


class SumsRound:
    """Clients send sums over their training samples; the server makes discriminants of them.

    What the server keeps of it: the sums over all clients, as `ClassSums.weights` names them.
    """

    title = "sums"

    def __init__(self, *, one_class: bool, makes_head: bool = True) -> None:
        """Takes the task.

        Args:
            one_class: Whether one class or several labels apply to a sample.
            makes_head: Whether a head is made, or blocks are standardised only.
        """
        self._one_class = one_class
        self._makes_head = makes_head

    def measure(self, model: PromptedModel, samples: LocalSamples, received: Weights) -> Weights:  # noqa: ARG002
        """Returns the sums over the client's training samples.

        Args:
            model: A model with the weights that it received.
            samples: Its samples.
            received: Not used.
        """
        head = _head_of(model)
        sums = ClassSums.nothing(head.widths, len(model.label_names))
        for blocks, labels in _read(model, samples.train):
            sums = sums + sum_blocks(blocks, labels, len(model.label_names), model.task)
        return sums.weights()

    def sent(self, weights: Weights) -> Weights:  # noqa: ARG002
        """Returns nothing.

        Args:
            weights: Not used.
        """
        return {}

    def form(self, weights: Weights) -> Weights:
        """Returns the form of sums over the blocks that the head reads.

        Args:
            weights: Those of the model.
        """
        weight = _by_block(weights, "head.weight.")
        num_labels = len(next(iter(weight.values())))
        with torch.device("meta"):
            return ClassSums.nothing({name: value.shape[1] for name, value in weight.items()}, num_labels).weights()

    def problems(self, update: Update) -> list[str]:
        """Says why no samples can have these sums.

        Args:
            update: What a client sent.
        """
        sums = ClassSums.of_weights(update.weights)
        found = sums.problems(one_class=self._one_class)
        if not found and sums.num_samples != update.num_samples:
            found = [f"it summed over {sums.num_samples:g} samples and says that it has {update.num_samples}"]
        return found

    def aggregate(self, current: ServerState, updates: Sequence[Update]) -> ServerState:
        """Returns the head that follows from all sums, as far as it does, and what clients choose from next.

        Args:
            current: What the server sent out.
            updates: What came back.
        """
        first, *others = (ClassSums.of_weights(update.weights) for update in updates)
        sums = sum(others, start=first)
        task = "one_class" if self._one_class else "several_labels"
        shared = dict(current.shared)
        shared["head.log_prior"] = log_frequencies(sums.labels, float(sums.num_samples), task).float()
        for block, total in sums.total.items():
            weight, bias = (shared[f"head.{kind}.{block}"] for kind in ("weight", "bias"))
            candidates = [(torch.zeros_like(weight), torch.zeros_like(bias))] * len(SHRINKAGES)
            if total[0] > 0:  # what nobody has says nothing
                discriminant = BlockDiscriminant.of_sums(sums, block, task)
                shared[f"head.moments.{block}"] = discriminant.moments.float()
                candidates = [discriminant.evidence(shrinkage) for shrinkage in SHRINKAGES]
            if self._makes_head:
                shared[f"{_CANDIDATES}weight.{block}"] = torch.stack([weight for weight, _ in candidates]).float()
                shared[f"{_CANDIDATES}bias.{block}"] = torch.stack([bias for _, bias in candidates]).float()
        return replace(current, shared=shared, server={**current.server, **sums.weights()}, observations={})


class ShrinkageRound:
    """Clients send how likely their validation labels are by each block alone, for each shrinkage and temperature."""

    title = "shrinkage"

    def measure(self, model: PromptedModel, samples: LocalSamples, received: Weights) -> Weights:
        """Returns, for each block, sums of log-likelihoods, and over how many samples.

        Args:
            model: A model with the weights that it received.
            samples: Its samples.
            received: What the server sent, the candidates with it.
        """
        log_prior = own_log_prior(model, samples.train)
        temperatures = torch.tensor(TEMPERATURES, dtype=torch.float64)[:, None, None]
        found = {name: torch.zeros_like(value, device="cpu") for name, value in self.form(received).items()}
        for blocks, labels in _read(model, samples.validation):
            for block, weight in _by_block(received, f"{_CANDIDATES}weight.").items():
                there = blocks.present[block].cpu()
                mean, scale = received[f"head.moments.{block}"].double()
                rows = (blocks.values[block].cpu()[there].double() - mean) / scale
                bias = received[f"{_CANDIDATES}bias.{block}"].double()
                for index, (own, offset) in enumerate(zip(weight.double(), bias, strict=True)):
                    logits = temperatures * (rows @ own.T + offset) + log_prior  # (temperature, sample, output)
                    repeated = labels[there].repeat(len(temperatures), *[1] * (labels.ndim - 1))
                    likely = log_likelihoods(logits.flatten(0, 1), repeated, model.task)
                    found[f"likelihood.{block}"][index] += likely.view(len(temperatures), -1).sum(dim=1)
                found[f"count.{block}"] += float(there.sum())
        return found

    def sent(self, weights: Weights) -> Weights:
        """Returns the form of the candidates: weights and biases of each block, for every shrinkage.

        Args:
            weights: Those of the model.
        """
        own = {kind: _by_block(weights, f"head.{kind}.") for kind in ("weight", "bias")}
        return {
            f"{_CANDIDATES}{kind}.{block}": torch.empty(len(SHRINKAGES), *value.shape, device="meta")
            for kind, values in own.items()
            for block, value in values.items()
        }

    def form(self, weights: Weights) -> Weights:
        """Returns the form of the tables.

        Args:
            weights: Those of the model.
        """
        form: Weights = {}
        for block in _by_block(weights, "head.weight."):
            shape = (len(SHRINKAGES), len(TEMPERATURES))
            form[f"likelihood.{block}"] = torch.empty(shape, dtype=torch.float64, device="meta")
            form[f"count.{block}"] = torch.empty(1, dtype=torch.float64, device="meta")
        return form

    def problems(self, update: Update) -> list[str]:
        """Says why no samples can have these likelihoods.

        Args:
            update: What a client sent.
        """
        counts = [value for name, value in update.weights.items() if name.startswith("count.")]
        tables = [value for name, value in update.weights.items() if name.startswith("likelihood.")]
        if any((value < 0).any() or (value != value.round()).any() for value in counts):
            return ["a number of samples is no whole number from 0"]
        return ["a probability is greater than 1"] if any((value > 0).any() for value in tables) else []

    def aggregate(self, current: ServerState, updates: Sequence[Update]) -> ServerState:
        """Returns the head with each block's likeliest shrinkage and temperature.

        Args:
            current: What the server sent out.
            updates: What came back.
        """
        shared = {name: value for name, value in current.shared.items() if not name.startswith(_CANDIDATES)}
        chosen: dict[str, dict[str, float]] = {}
        for block, weight in _by_block(current.shared, f"{_CANDIDATES}weight.").items():
            table = sum(update.weights[f"likelihood.{block}"].double() for update in updates)
            count = float(sum(update.weights[f"count.{block}"] for update in updates))
            if count == 0 or not isinstance(table, Tensor):
                index, temperature = SHRINKAGES.index(_USUAL_SHRINKAGE), _USUAL_TEMPERATURE
            else:
                index, place = divmod(int(table.argmax()), len(TEMPERATURES))
                temperature = TEMPERATURES[place]
            shared[f"head.weight.{block}"] = temperature * weight[index]
            shared[f"head.bias.{block}"] = temperature * current.shared[f"{_CANDIDATES}bias.{block}"][index]
            chosen[block] = {"shrinkage": SHRINKAGES[index], "temperature": temperature}
        return replace(current, shared=shared, observations={"start": chosen})


class TemperatureRound:
    """Clients send how the likelihood of their validation labels changes with the weight of each block."""

    title = "temperatures"

    def measure(self, model: PromptedModel, samples: LocalSamples, received: Weights) -> Weights:  # noqa: ARG002
        """Returns value, gradient and second derivatives at a few places, summed over the client's validation samples.

        Args:
            model: A model with the weights that it received.
            samples: Its samples.
            received: Not used.
        """
        head, log_prior = _head_of(model), own_log_prior(model, samples.train)
        found = self._zeros(len(head.weight))
        for blocks, labels in _read(model, samples.validation):
            with torch.no_grad():
                evidence = torch.stack(list(head.by_block(blocks).values()), dim=1).cpu().double()
            for place, scale in enumerate(SCALES):
                at = torch.full((len(head.weight),), scale, dtype=torch.float64)
                around = curvature(evidence, log_prior, labels, at, model.task)
                found["value"][place] += around.value
                found["gradient"][place] += around.gradient
                found["hessian"][place] += around.hessian
            found["count"] += len(labels)
        return found

    def sent(self, weights: Weights) -> Weights:  # noqa: ARG002
        """Returns nothing.

        Args:
            weights: Not used.
        """
        return {}

    def form(self, weights: Weights) -> Weights:
        """Returns the form of what is measured.

        Args:
            weights: Those of the model.
        """
        with torch.device("meta"):
            return self._zeros(len(_by_block(weights, "head.weight.")))

    @staticmethod
    def _zeros(num_blocks: int) -> Weights:
        shapes = {"value": (), "gradient": (num_blocks,), "hessian": (num_blocks, num_blocks)}
        zeros = {name: torch.zeros(len(SCALES), *shape, dtype=torch.float64) for name, shape in shapes.items()}
        return zeros | {"count": torch.zeros(1, dtype=torch.float64)}

    def problems(self, update: Update) -> list[str]:
        """Says why no samples can have this likelihood.

        Args:
            update: What a client sent.
        """
        if (update.weights["value"] > 0).any():
            return ["a probability is greater than 1"]
        curved = torch.linalg.eigvalsh(update.weights["hessian"])[:, -1]
        return ["the likelihood is not concave"] if (curved > 1e-6 * (1 - curved)).any() else []

    def aggregate(self, current: ServerState, updates: Sequence[Update]) -> ServerState:
        """Returns the head with a better weight for each block.

        Args:
            current: What the server sent out.
            updates: What came back.
        """
        total = {
            name: torch.stack([update.weights[name].double() for update in updates]).sum(dim=0)
            for name in updates[0].weights
        }
        weight = _by_block(current.shared, "head.weight.")
        places = torch.tensor(SCALES, dtype=torch.float64)[:, None].expand(-1, len(weight))
        parts = zip(total["value"], total["gradient"], total["hessian"], strict=True)
        num_samples = float(total["count"])
        factors = best_temperatures(places, [Curvature(*part) for part in parts], num_samples)
        if num_samples == 0:
            factors = torch.ones_like(factors)
        shared = dict(current.shared)
        for block, factor in zip(weight, factors.tolist(), strict=True):
            for kind in ("weight", "bias"):
                shared[f"head.{kind}.{block}"] = factor * shared[f"head.{kind}.{block}"]
        told = {block: {"factor": factor} for block, factor in zip(weight, factors.tolist(), strict=True)}
        return replace(current, shared=shared, observations={"start": told})


def start_rounds(method: Method, task: Task) -> tuple[StartRound, ...]:
    """Returns the rounds before the first; the last of them has the number -1.

    There are none where clients share no head: each starts alone then (`started_alone`).

    Args:
        method: Says how a model starts.
        task: Whether one class or several labels apply to a sample.
    """
    return _rounds(method, task) if method.shares_head else ()


def _rounds(method: Method, task: Task) -> tuple[StartRound, ...]:
    if not method.reads_blocks:
        return ()
    sums = SumsRound(one_class=task == "one_class", makes_head=method.start == "closed-form")
    if method.start != "closed-form":
        return (sums,)
    return (sums, ShrinkageRound(), TemperatureRound(), TemperatureRound())


def started_alone(
    method: Method, model: PromptedModel, samples: LocalSamples, received: Weights, num_samples: int
) -> Weights:
    """Returns the values of a client that shares its head with nobody, after a start of its own.

    Args:
        method: Says how a model starts.
        model: A model of the method's shape; its weights are overwritten.
        samples: The client's samples.
        received: What it has.
        num_samples: How many training samples it has.
    """
    state = ServerState(received)
    for step in _rounds(method, model.task):
        model.load_weights(state.shared)
        update = Update(0, num_samples, step.measure(model, samples, state.shared))
        state = step.aggregate(state, [update])
    return state.shared


def is_started(weights: Weights) -> bool:
    """Says whether blocks have been standardised.

    Args:
        weights: Those of a model.
    """
    return any(bool(value[0].any()) for value in _by_block(weights, "head.moments.").values())


def own_log_prior(model: PromptedModel, train: Shard) -> Tensor:
    """Returns the logarithm of a client's own label frequencies, smoothed by the shared ones; they stay with it.

    Args:
        model: A model that knows the shared frequencies.
        train: The client's training samples.
    """
    counts = label_counts(train.samples.source.labels[train.indices], len(model.label_names))
    shared = None if model.log_prior is None else frequencies_of(model.log_prior, model.task)
    return log_frequencies(counts, len(train), model.task, shared)


def _head_of(model: PromptedModel) -> EvidenceHead:
    if not isinstance(model.head, EvidenceHead):
        raise TypeError(f"a start is for a head that reads blocks, not for {model.head_kind!r}")
    return model.head


def _by_block(weights: Weights, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


@torch.no_grad()
def _read(model: PromptedModel, shard: Shard) -> Iterator[tuple[Blocks, Tensor]]:
    """Yields blocks and labels of all samples, some at a time."""
    model.eval()
    for batch in shard.batches(_AT_ONCE):
        yield model.read(batch), batch.labels
