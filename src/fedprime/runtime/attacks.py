"""Clients that lie, simulated, to measure what they can do: for experiments alone.

Source: Blanchard et al. Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent. NeurIPS 2017 (noise);
Li et al. RSA: Byzantine-Robust Stochastic Aggregation Methods. AAAI 2019 (sign flip); Sun et al. 2019, arXiv 1911.07963
(scaling); Yin et al. ICML 2018 (label flip).
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from fedprime.data.batches import Batch, Shard
from fedprime.federation.rounds import Clients
from fedprime.methods.aggregation.robust import clip_towards, moved
from fedprime.methods.method import ServerState, Update
from fedprime.reproducibility.seeding import stream, torch_stream

__all__ = ["AttackKind", "HostileClients", "LabelFlippedShard", "draw_hostile"]

AttackKind = Literal["none", "sign-flip", "scaling", "noise", "label-flip"]


def draw_hostile(num_clients: int, share: float, seed: int) -> tuple[int, ...]:
    """Draws who is hostile, in ascending order; a larger share adds to those of a smaller one.

    Args:
        num_clients: How many clients there are.
        share: Share of them that is hostile, rounded to whole clients.
        seed: Seed of the run.
    """
    order = stream(seed, "hostile clients").permutation(num_clients)
    return tuple(sorted(int(client) for client in order[: round(share * num_clients)]))


@dataclass(frozen=True)
class LabelFlippedShard(Shard):
    """A shard whose labels are the wrong ones: class ``c`` of ``C`` is called ``C - 1 - c``, what applies does not."""

    honest: Shard | None = None

    @classmethod
    def of(cls, shard: Shard) -> "LabelFlippedShard":
        """Flips the labels of a shard.

        Args:
            shard: The shard.
        """
        return cls(shard.samples, shard.indices, shard.present, shard.likelihood, shard)

    def at(self, round_number: int, num_rounds: int) -> Shard:
        """Returns the flipped shard as it is in a round.

        Args:
            round_number: Which round, from 0.
            num_rounds: Rounds of the whole run.
        """
        return self if self.honest is None else self.of(self.honest.at(round_number, num_rounds))

    def batches(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Batch]:
        """Yields all samples once, in batches, under wrong labels.

        Args:
            batch_size: Samples per batch.
            rng: Shuffles the samples; without one they come in their own order.
        """
        largest = 1 if self.samples.source.task == "several_labels" else len(self.samples.source.label_names) - 1
        for batch in super().batches(batch_size, rng):
            yield replace(batch, labels=largest - batch.labels)


class HostileClients:
    """Clients some of which send something else than what they trained; in all else the clients that they are around.

    With ``u`` what a client changed, a hostile one sends what it received plus ``-strength * u`` (sign flip),
    ``strength * u`` (scaling), or a normal random vector of expected length ``strength * |u|`` (noise).
    """

    def __init__(
        self, clients: Clients, hostile: Collection[int], kind: AttackKind, strength: float, *, seed: int
    ) -> None:
        """Takes the parts.

        Args:
            clients: All clients, who train honestly.
            hostile: Those who send something else.
            kind: What they send; with "label-flip" they are honest about what they trained on flipped labels.
            strength: How strong the attack is.
            seed: Seed of the run.
        """
        self._clients = clients
        self._hostile = frozenset(hostile)
        self._kind = kind
        self._strength = strength
        self._seed = seed

    def __len__(self) -> int:
        """Returns how many clients there are."""
        return len(self._clients)

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        """Lets clients train and replaces what hostile ones send.

        Args:
            round_number: Which round, from 0.
            clients: Who takes part.
            state: What the server holds.
        """
        updates = self._clients.train(round_number, clients, state)
        return [
            self._forged(update, state, round_number) if update.client in self._hostile else update
            for update in updates
        ]

    def _forged(self, update: Update, state: ServerState, round_number: int) -> Update:
        if self._kind in ("none", "label-flip"):
            return update
        received = state.answer(update.client)
        changes, norm = clip_towards(received, update.weights, math.inf)
        if self._kind == "noise":
            rng = torch_stream(self._seed, "client", update.client, "round", round_number, "hostile noise")
            deviation = norm / max(1, sum(change.numel() for change in changes.values())) ** 0.5
            changes = {
                name: deviation * torch.randn(change.shape, generator=rng, dtype=change.dtype)
                for name, change in changes.items()
            }
        factor = -self._strength if self._kind == "sign-flip" else self._strength
        weights = {name: moved(received[name], factor * change) for name, change in changes.items()}
        return replace(update, weights=weights)
