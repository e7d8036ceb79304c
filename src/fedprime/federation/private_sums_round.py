"""The start under differential privacy: one round of bounded sums, to which noise is added, and a head made of them.

What a client sends is an average over its own samples, so that its norm has a bound whatever the samples are: of each
block, its direction by class, how many samples have it, and how long it is. The server sees the noisy sum alone, and
makes discriminants with the same variance in all directions: second moments would be many more values under the same
noise. Class means that noise explains shrink to the mean of all; in the end a head of zeros is left, to be trained.

Nothing is chosen on validation samples: each choice would spend privacy too.

Source: James and Stein. Estimation with Quadratic Loss. 1961, for the shrinkage of means.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float64
from torch import Tensor

from fedprime.data.sources import Task
from fedprime.federation.start_round import LocalSamples, StartRound, block_sizes, by_block, head_of, read_blocks
from fedprime.methods.method import ServerState, Update
from fedprime.models.calibration import USUAL_TEMPERATURE, as_target
from fedprime.models.discriminant import log_frequencies
from fedprime.models.prompted_model import PromptedModel, Weights

#: How loud each part of a message is, beside the directions: what is a single number needs less.
_SHARE, _LENGTH = 0.5, 0.25
_DOUBLINGS = 20.0  # lengths of blocks lie between 2^-20 and 2^20
_LEAST_VARIANCE = 1e-6


class PrivateSumsRound(StartRound):
    """Clients send averages of norm 1 at most over their training samples; the server adds noise before it looks."""

    def __init__(self, task: Task, noise_multiplier: float, *, makes_head: bool = True) -> None:
        """Takes what the server has to know.

        Args:
            noise_multiplier: Standard deviation of the noise on the sum over clients.
            makes_head: Whether a head is made, or blocks are standardised only.
        """
        self._task: Task = task
        self._noise_multiplier = noise_multiplier
        self._makes_head = makes_head

    def measure(self, model: PromptedModel, samples: LocalSamples, received: Weights) -> Weights:  # noqa: ARG002
        """Returns averages over the client's training samples, together of norm 1 at most."""
        widths, number, num_labels = head_of(model).widths, len(samples.train), len(model.label_names)
        found = {name: torch.zeros_like(value, device="cpu") for name, value in _form(widths, num_labels).items()}
        for blocks, labels in read_blocks(model, samples.train):
            applies = as_target(labels, num_labels, model.task)
            found["labels"] += _SHARE * applies.sum(dim=0) / (1 if model.task == "one_class" else num_labels**0.5)
            weighted = applies / applies.sum(dim=1, keepdim=True).clamp(min=1).sqrt()  # rows of norm 1 at most
            for block, values in blocks.values.items():
                there = blocks.present[block].cpu()
                rows, of_label = values.detach().cpu()[there].double(), weighted[there]
                length = rows.norm(dim=1, keepdim=True).clamp(min=2**-_DOUBLINGS)
                direction = rows / length
                found[f"first.{block}"] += of_label.T @ direction
                found[f"share.{block}"] += _SHARE * of_label.sum(dim=0)
                found[f"total.{block}"][0] += _SHARE * len(rows)
                found[f"total.{block}"][1:] += direction.sum(dim=0)
                found[f"length.{block}"] += _LENGTH * (length.log2() / _DOUBLINGS).clamp(max=1).sum()
        return {name: value / (number * _bound(len(widths))) for name, value in found.items()}

    def form(self, weights: Weights) -> Weights:
        """Returns the form of the averages of the blocks that the head reads."""
        return _form(*block_sizes(weights))

    def problems(self, update: Update) -> list[str]:
        """Says that the averages of no samples are so long."""
        length = math.sqrt(sum(float(value.square().sum()) for value in update.weights.values()))
        return [] if length <= 1 + 1e-9 else [f"its averages have norm {length:.4g}; those of samples have at most 1"]

    def aggregate(self, current: ServerState, updates: Sequence[Update]) -> ServerState:
        """Returns the head that follows from what is left of all averages under the noise.

        Args:
            updates: One for each client that was asked, with noise on their sum.
        """
        shared = dict(current.shared)
        blocks = by_block(shared, "head.weight.")
        bound = _bound(len(blocks))
        mean = {
            name: bound * sum((update.weights[name] for update in updates), start=torch.zeros(())) / len(updates)
            for name in updates[0].weights
        }
        deviation = bound * self._noise_multiplier / len(updates)
        scale = _SHARE / (1 if self._task == "one_class" else len(mean["labels"]) ** 0.5)
        counted = (mean["labels"] / scale).clamp(0, 1) * len(updates)
        all_of_them = float(counted.sum()) if self._task == "one_class" else len(updates)
        shared["head.log_prior"] = log_frequencies(counted, all_of_them, self._task).float()
        for block, weight in blocks.items():
            there = float(mean[f"total.{block}"][0]) / _SHARE
            bias = torch.zeros_like(shared[f"head.bias.{block}"])
            evidence = torch.zeros_like(weight), bias
            if there > 2 * deviation / _SHARE:  # else nobody has it, or nobody can tell
                found = _Directions(mean, block, there, deviation / there, self._task)
                shared[f"head.moments.{block}"] = found.moments.float()
                if self._makes_head:
                    evidence = found.evidence()
            if self._makes_head:
                shared[f"head.weight.{block}"], shared[f"head.bias.{block}"] = (part.float() for part in evidence)
        return replace(current, shared=shared, observations={})


class _Directions:
    """What is known of a block, of samples that have it: mean direction, offsets of classes, variance, length."""

    def __init__(self, mean: Weights, block: str, there: float, deviation: float, task: Task) -> None:
        """Takes noisy averages over clients.

        Args:
            there: Share of the samples that have it.
            deviation: Standard deviation of the noise on each average, of samples that have it.
        """
        self._task = task
        centre = mean[f"total.{block}"][1:] / there
        share = (mean[f"share.{block}"] / there / _SHARE).clamp(0, 1)
        raw = mean[f"first.{block}"] / there - share[:, None] * centre
        energy = raw.square().sum(dim=1, keepdim=True).clamp(min=1e-30)
        raw = raw * (1 - raw.shape[1] * deviation**2 / energy).clamp(min=0)
        self._share = share.clamp(min=max(deviation / _SHARE, 1e-3), max=1 - 1e-3)
        offsets = raw / self._share[:, None]
        between = (self._share[:, None] * offsets.square()).sum() if task == "one_class" else torch.zeros(())
        variance = ((1 - centre.square().sum() - between) / len(centre)).clamp(min=_LEAST_VARIANCE)
        self._offsets: Float64[Tensor, "label width"] = offsets / variance.sqrt()
        length = 2 ** (_DOUBLINGS * float(mean[f"length.{block}"]) / _LENGTH / there)
        #: Mean and standard deviation of each coordinate.
        self.moments: Float64[Tensor, "2 width"] = length * torch.stack(
            [centre, variance.sqrt().expand(len(centre)).double()]
        )

    def evidence(self) -> tuple[Float64[Tensor, "label width"], Float64[Tensor, " label"]]:
        """Returns weight and bias of the evidence for each class or label."""
        without = torch.zeros_like(self._offsets)
        if self._task != "one_class":
            without = -self._offsets * (self._share / (1 - self._share))[:, None]
        weight = USUAL_TEMPERATURE * (self._offsets - without)
        return weight, -0.5 * (weight * (self._offsets + without)).sum(dim=1)


def _form(widths: dict[str, int], num_labels: int) -> Weights:
    shapes: dict[str, tuple[int, ...]] = {"labels": (num_labels,)}
    for block, width in widths.items():
        shapes[f"first.{block}"] = (num_labels, width)
        shapes[f"share.{block}"] = (num_labels,)
        shapes[f"total.{block}"] = (1 + width,)
        shapes[f"length.{block}"] = (1,)
    return {name: torch.empty(shape, dtype=torch.float64, device="meta") for name, shape in shapes.items()}


def _bound(num_blocks: int) -> float:
    """Returns the largest norm of what samples average to, before it is scaled: of all parts together."""
    of_a_block = 1 + _SHARE**2 + (1 + _SHARE**2) + _LENGTH**2
    return math.sqrt(num_blocks * of_a_block + _SHARE**2)
