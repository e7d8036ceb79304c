"""FED-PRIME: an aligned and an averaged prompt pool, retrieved for each sample; and its ablations with one pool.

Source: Federated Prompt-Tuning with Heterogeneous and Incomplete Multimodal Client Data. ICCV 2025, arXiv 2602.07081.
Differs from the reference: see docs/paper.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fedprime.backbones.backbone import Backbone
from fedprime.data.batches import Batch
from fedprime.methods.aligned_mean import aligned_mean
from fedprime.methods.method import Method, ServerState, Update
from fedprime.model import PromptedModel, Weights
from fedprime.prompts import PromptPools

__all__ = ["ALIGNED", "FedInter", "FedIntra", "FedPrime"]

#: The parameter that is aligned; all others are averaged.
ALIGNED = "prompter.pools.inter"


@dataclass(frozen=True)
class FedPrime(Method):
    """An *inter* pool, aligned across clients, an *intra* pool, averaged; each sample gets the nearest prompts of both.

    Attributes:
        pool_size: Prompts in each pool at the start (tau).
        pull_weight: Weight of the mean distance between a sample and its prompts in the local objective (lambda).
        centres_per_prompt: Bound on the size of the aligned pool, as a multiple of `pool_size`; 0 for no bound.
        likelihood: Whether evidence about a match is the mean over coordinates, or their sum as in the paper.
        num_alternations: How often the server alternates between centres and matches.
    """

    name = "fedprime"
    pools: ClassVar[tuple[str, ...]] = ("inter", "intra")

    pool_size: int = 20
    pull_weight: float = 0.1
    centres_per_prompt: float = 2.0
    likelihood: Literal["mean", "sum"] = "mean"
    num_alternations: int = 5

    def build_prompter(self, backbone: Backbone, rng: torch.Generator | None) -> PromptPools:
        """Returns the pools before training.

        Args:
            backbone: The frozen model that they are for.
            rng: Source of the initial prompts.
        """
        sizes = dict.fromkeys(self.pools, self.pool_size)
        return PromptPools(backbone.dim, sizes, self.num_prompts // len(self.pools), rng)

    def loss(self, model: PromptedModel, batch: Batch, received: Weights) -> Float[Tensor, ""]:  # noqa: ARG002
        """Returns the task loss plus the pull of chosen prompts towards the samples they were chosen for.

        Args:
            model: The client's model.
            batch: Some of its samples.
            received: Not used.
        """
        output = model(batch)
        return model.task_loss(output.logits, batch.labels) + self.pull_weight * output.chosen.distance.mean()

    def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:
        """Aligns the inter pools, starting from the centres of the round before, and averages everything else.

        Args:
            current: What the server sent out.
            updates: What came back.
            rng: Source of the alignment's initial networks.
        """
        num_prompts = sum(len(update.weights[ALIGNED]) for update in updates)
        return aligned_mean(
            current,
            updates,
            ALIGNED,
            rng=rng,
            max_centres=int(self.centres_per_prompt * self.pool_size) or num_prompts,
            likelihood=self.likelihood,
            num_alternations=self.num_alternations,
        )


@dataclass(frozen=True)
class FedInter(FedPrime):
    """The ablation with the aligned pool alone; it gets all prompt tokens."""

    name = "fed-inter"
    pools = ("inter",)


@dataclass(frozen=True)
class FedIntra(FedPrime):
    """The ablation with the averaged pool alone; it gets all prompt tokens."""

    name = "fed-intra"
    pools = ("intra",)

    def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:
        """Averages everything: there is no pool to align.

        Args:
            current: What the server sent out.
            updates: What came back.
            rng: Not used.
        """
        return Method.aggregate(self, current, updates, rng)
