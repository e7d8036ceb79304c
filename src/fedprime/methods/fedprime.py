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
from fedprime.data.batches import Batch, Shard
from fedprime.methods.aligned_mean import aligned_mean
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.models.prompts import PromptPools, standardise
from fedprime.reproducibility.ranges import Count, NotNegative

#: The parameter that is aligned.
ALIGNED = "prompter.pools.inter"
#: What clients measure rather than train: see `PromptPools`.
MOMENTS = "prompter.moments"
CONTEXT = "prompter.context"

_MEASURED_AT_ONCE = 256  # samples


@dataclass(frozen=True)
class FedPrime(Method):
    """An *inter* pool, aligned across clients, an *intra* pool, averaged; each sample gets the nearest prompts of both.

    Attributes:
        pool_size: Prompts in each pool at the start (tau).
        pull_weight: Weight of the mean distance between samples and their prompts in the local objective (lambda); with
            0, maps of queries and keys would not learn, and there are none, so that they are not sent.
        centres_per_prompt: Bound on the size of the aligned pool as a multiple of the pool size, at least 1; 0 for no
            bound.
        likelihood: Evidence about a match: the mean over coordinates, or their sum as in the paper.
        num_alternations: How often the server alternates between centres and matches.
        standardised_queries: Whether queries have mean 0 and variance 1 over all samples; as in the paper (false),
            samples choose alike.
        context_weight: How much a client's own average counts in the choice of prompts, beside the sample; 0, as in the
            paper: not.
    """

    name = "fedprime"
    pools: ClassVar[tuple[str, ...]] = ("inter", "intra")
    aligned = ALIGNED

    pool_size: Count = 20
    pull_weight: NotNegative = 0.1
    centres_per_prompt: NotNegative = 2.0
    likelihood: Literal["mean", "sum"] = "mean"
    num_alternations: Count = 5
    standardised_queries: bool = False
    context_weight: NotNegative = 0.0

    def __post_init__(self) -> None:
        """Checks that the settings fit together.

        Raises:
            ValueError: If they do not.
        """
        if 0 < self.centres_per_prompt < 1:
            raise ValueError(
                f"centres_per_prompt is {self.centres_per_prompt}: the bound is at least 1, or 0 for no bound"
            )
        if self.context_weight > 0 and not self.standardised_queries:
            raise ValueError(
                f"context_weight is {self.context_weight}: a client's average is part of standardised queries only; "
                "set standardised_queries, or context_weight to 0"
            )
        # Otherwise fewer prompts would enter the transformer than with the method that it is compared with.
        if self.num_prompts % len(self.pools):
            raise ValueError(
                f"num_prompts is {self.num_prompts}: {self.name} takes equally many from each of its "
                f"{len(self.pools)} pools; choose a multiple of {len(self.pools)}"
            )
        if self.num_prompts > len(self.pools) * self.pool_size:
            raise ValueError(
                f"num_prompts is {self.num_prompts}: {self.name} has only {len(self.pools)} x {self.pool_size} "
                "prompts; choose fewer, or a larger pool_size"
            )

    def build_prompter(self, backbone: Backbone, rng: torch.Generator | None) -> PromptPools:
        """Returns the pools before training."""
        sizes = dict.fromkeys(self.pools, self.pool_size)
        return PromptPools(
            backbone.dim,
            sizes,
            self.num_prompts // len(self.pools),
            rng,
            learns_maps=self.pull_weight > 0,
            standardised=self.standardised_queries,
            context_weight=self.context_weight,
            depth=self.deep_prompts,
        )

    def travels(self, name: str) -> bool:
        """Says yes to everything but a client's context."""
        return name != CONTEXT

    def prepare(self, model: PromptedModel, shard: Shard, received: Weights) -> tuple[Weights, Weights]:
        """Measures the client's mean tokens, whose moments over all clients standardise queries in the next round.

        In the first round, nothing is known of the others: the client standardises by its own moments.
        """
        if MOMENTS not in received:
            return received, {}
        measured = _moments(model, shard)
        moments = received[MOMENTS] if received[MOMENTS].any() else measured
        start = {**received, MOMENTS: moments}
        if CONTEXT in received:
            start[CONTEXT] = standardise(measured[0], moments)
        return start, {MOMENTS: measured}

    def loss(self, model: PromptedModel, batch: Batch, received: Weights) -> Float[Tensor, ""]:  # noqa: ARG002
        """Returns the task loss plus the pull of chosen prompts towards the samples they were chosen for."""
        output = model(batch)
        return model.task_loss(output.logits, batch.labels) + self.pull_weight * output.chosen.distance.mean()

    def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:
        """Aligns the inter pools, starting from the centres of the round before, and averages everything else."""
        num_prompts = sum(len(update.weights[ALIGNED]) for update in updates)
        return aligned_mean(
            current,
            updates,
            self,
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
    aligned = ""

    def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:
        """Averages everything: there is no pool to align."""
        return Method.aggregate(self, current, updates, rng)


@torch.no_grad()
def _moments(model: PromptedModel, shard: Shard) -> Float[Tensor, "2 dim"]:
    """Returns the mean and the mean square of the samples' mean tokens."""
    pooled = [model.tokens(batch).pooled() for batch in shard.batches(_MEASURED_AT_ONCE)]
    rows = torch.cat(pooled)
    return torch.stack([rows.mean(dim=0), rows.square().mean(dim=0)]).cpu()
