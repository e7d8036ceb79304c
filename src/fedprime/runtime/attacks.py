"""Clients that lie, simulated, to measure what they can do: for experiments alone.

Source: Blanchard et al. Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent. NeurIPS 2017 (noise);
Li et al. RSA: Byzantine-Robust Stochastic Aggregation Methods. AAAI 2019 (sign flip); Sun et al. 2019, arXiv 1911.07963
(scaling); Yin et al. ICML 2018 (label flip).
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from fedprime.data.batches import Batch, Shard
from fedprime.federation.processors import UpdateProcessor
from fedprime.methods.aggregation.robust import clip_towards, moved
from fedprime.methods.method import Update
from fedprime.models.prompted_model import Weights
from fedprime.reproducibility.seeding import stream, torch_stream

_logger = logging.getLogger(__name__)


def draw_hostile(num_clients: int, share: float, seed: int) -> tuple[int, ...]:
    """Draws who is hostile, in ascending order; a larger share adds to those of a smaller one.

    Args:
        share: Share of them that is hostile, rounded to whole clients.
    """
    order = stream(seed, "hostile clients").permutation(num_clients)
    return tuple(sorted(int(client) for client in order[: round(share * num_clients)]))


@dataclass(frozen=True)
class LabelFlippedShard(Shard):
    """A shard whose labels are the wrong ones: class ``c`` of ``C`` is called ``C - 1 - c``, what applies does not."""

    honest: Shard | None = None

    @classmethod
    def of(cls, shard: Shard) -> "LabelFlippedShard":
        """Flips the labels of a shard."""
        return cls(shard.samples, shard.indices, shard.present, shard.likelihood, shard)

    def at(self, round_number: int, num_rounds: int) -> Shard:
        """Returns the flipped shard as it is in a round."""
        return self if self.honest is None else self.of(self.honest.at(round_number, num_rounds))

    def batches(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Batch]:
        """Yields all samples once, in batches, under wrong labels."""
        largest = 1 if self.samples.source.task == "several_labels" else len(self.samples.source.label_names) - 1
        for batch in super().batches(batch_size, rng):
            yield replace(batch, labels=largest - batch.labels)


@dataclass(frozen=True)
class Attack(UpdateProcessor):
    """Hostile clients send something else than what they trained.

    With ``u`` what a client changed, a hostile one sends what it received plus ``-strength * u`` (sign flip),
    ``strength * u`` (scaling), or a normal random vector of expected length ``strength * |u|`` (noise).

    Attributes:
        kind: What they send.
        hostile: Who sends it.
    """

    kind: Literal["sign-flip", "scaling", "noise"]
    strength: float
    hostile: frozenset[int]
    seed: int

    def at_client(self, update: Update, received: Weights, round_number: int) -> Update:
        """Returns what a client sends: the update, if it is honest."""
        if update.client not in self.hostile:
            return update
        _logger.debug("round %d: client %d is hostile: %s", round_number, update.client, self.kind)
        changes, norm = clip_towards(received, update.weights, math.inf)
        if self.kind == "noise":
            rng = torch_stream(self.seed, "client", update.client, "round", round_number, "hostile noise")
            deviation = norm / max(1, sum(change.numel() for change in changes.values())) ** 0.5
            changes = {
                name: deviation * torch.randn(change.shape, generator=rng, dtype=change.dtype)
                for name, change in changes.items()
            }
        factor = -self.strength if self.kind == "sign-flip" else self.strength
        weights = {name: moved(received[name], factor * change) for name, change in changes.items()}
        return replace(update, weights=weights)
