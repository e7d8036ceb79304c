"""What is prepended to a sample's tokens: retrieved prompt pools, prompts per missing pattern, or nothing.

A *prompter* looks at the tokens of a batch and at what is present, and returns the prompts of every sample. Each sample
is prompted on its own: its prompts never depend on which other samples share its batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fedprime.backbones.backbone import Tokens

_LEAST_VARIANCE = 1e-6  # of a coordinate that is the same for all samples


@dataclass(frozen=True)
class Chosen:
    """The prompts of a batch.

    Attributes:
        prompts: What is prepended to each sample's tokens.
        distance: Mean distance of a sample to the prompts chosen for it, 0 to 2; 0 where nothing is retrieved.
        indices: By pool, which of its prompts were chosen for each sample, nearest first.
    """

    prompts: Float[Tensor, "sample prompt width"]
    distance: Float[Tensor, " sample"]
    indices: Mapping[str, Int[Tensor, "sample chosen"]]


class Prompter(nn.Module):
    """Chooses the prompts of every sample; subclasses hold the prompts."""

    #: Parameters whose number of rows is data: loading accepts any number of them.
    resizable: frozenset[str] = frozenset()
    #: Whether the prompts of a sample depend on its batch, which then must not be divided.
    reads_whole_batches: bool = False
    #: How many layers have prompts of their own; a prompt is their vectors one after the other, in one row.
    depth: int = 1

    def options(self) -> dict[str, Any]:
        """Returns the keyword arguments that build a prompter of the same shape, as plain JSON values."""
        raise NotImplementedError

    def forward(self, tokens: Tokens, present: Bool[Tensor, "sample modality"]) -> Chosen:
        """Returns the prompts of each sample."""
        raise NotImplementedError


def cosine_distance(
    queries: Float[Tensor, "sample dim"], keys: Float[Tensor, "prompt dim"]
) -> Float[Tensor, "sample prompt"]:
    """Returns ``1 - cos`` between every query and every key, in [0, 2].

    Source: FED-PRIME, equation of the retrieval distance; differs from the reference, which adds the similarity itself
    to the loss and so pushes chosen prompts away.

    >>> cosine_distance(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]]))
    tensor([[0., 1., 2.]])
    """
    return 1 - nn.functional.normalize(queries, dim=-1) @ nn.functional.normalize(keys, dim=-1).T


def standardise(values: Float[Tensor, "*rows dim"], moments: Float[Tensor, "2 dim"]) -> Float[Tensor, "*rows dim"]:
    """Shifts and scales each coordinate so that over the samples behind the moments it has mean 0 and variance 1.

    Args:
        moments: Mean and mean square of each coordinate.

    >>> standardise(torch.tensor([[5.0], [1.0]]), torch.tensor([[3.0], [13.0]]))
    tensor([[ 1.0000],
            [-1.0000]])
    """
    mean, mean_square = moments
    return (values - mean) / ((mean_square - mean.square()).clamp(min=0) + _LEAST_VARIANCE).sqrt()


def pattern_index(present: Bool[Tensor, "sample modality"]) -> Int[Tensor, " sample"]:
    """Numbers the missing pattern of each sample: 0 to 2^M - 2, bit m of (number + 1) says whether modality m is there.

    >>> pattern_index(torch.tensor([[True, False], [False, True], [True, True]]))
    tensor([0, 1, 2])
    """
    bits = 2 ** torch.arange(present.shape[1], device=present.device)
    return (present * bits).sum(dim=1) - 1


class PromptPools(Prompter):
    """Pools of prompts from which each sample is given the nearest few of every pool.

    The query of a sample is its mean present token under a learnt map, the key of a prompt is the prompt under another;
    the maps are shared by the pools and start as the identity. What is chosen has no gradient, so only a loss on
    distances teaches the maps; without one they are left out, and prompts are their own keys.

    Mean tokens of all samples point almost the same way, so that as they are, every sample is nearest to the same
    prompts. *Standardised*, each coordinate has mean 0 and variance 1 over all samples, and queries tell samples apart.

    A client may also add where its own samples lie on average (its *context*), so that what is chosen depends on the
    client as well as on the sample. The context stays at the client.

    Of a prompt of several layers, the vector of the first is its key: it lies where the query does.

    Source: FED-PRIME, section on input-adaptive prompt retrieval, without standardising and context. Differs from the
    reference: chosen per sample, not by vote of the batch.

    Attributes:
        moments: Mean and mean square of each coordinate of the samples' mean tokens; zeros while they are not known.
            Measured, not trained.
        context: Where a client's samples lie, in standardised coordinates; zeros for who has no context. Measured.
    """

    def __init__(
        self,
        dim: int,
        pools: Mapping[str, int],
        num_chosen: int,
        rng: torch.Generator | None = None,
        *,
        learns_maps: bool = True,
        standardised: bool = False,
        context_weight: float = 0.0,
        depth: int = 1,
    ) -> None:
        """Draws the initial prompts.

        Args:
            pools: By name of the pool, its number of prompts.
            num_chosen: How many prompts of each pool a sample gets; all of a pool that has fewer.
            rng: Source of the initial prompts; without one they are zero, to be loaded.
            context_weight: Length of the context in a query, in units of the sample's own part; 0 for no context.
            depth: How many layers have prompts of their own.

        Raises:
            ValueError: If there is a context but queries are not standardised.
        """
        super().__init__()
        if context_weight > 0 and not standardised:
            raise ValueError(f"context_weight is {context_weight}: a context needs standardised queries; ask for both")
        self.num_chosen = num_chosen
        self.context_weight = context_weight
        self.dim, self.depth = dim, depth
        self.pools = nn.ParameterDict(
            {name: _initial_prompts((size, depth * dim), rng) for name, size in pools.items()}
        )
        self.query = nn.Parameter(torch.eye(dim)) if learns_maps else None
        self.key = nn.Parameter(torch.eye(dim)) if learns_maps else None
        self.moments = nn.Parameter(torch.zeros(2, dim), requires_grad=False) if standardised else None
        self.context = nn.Parameter(torch.zeros(dim), requires_grad=False) if context_weight > 0 else None
        self.resizable = frozenset(f"pools.{name}" for name in pools)

    def options(self) -> dict[str, Any]:
        """Returns the sizes of the pools, how many prompts are chosen, and how queries are made."""
        return {
            "pools": {name: len(pool) for name, pool in self.pools.items()},
            "num_chosen": self.num_chosen,
            "learns_maps": self.query is not None,
            "standardised": self.moments is not None,
            "context_weight": self.context_weight,
            **_told_depth(self.depth),
        }

    def forward(self, tokens: Tokens, present: Bool[Tensor, "sample modality"]) -> Chosen:  # noqa: ARG002
        """Returns the nearest prompts of every pool for each sample, pool after pool."""
        queries = _mapped(self._queries(tokens.pooled()), self.query)
        prompts, distances, indices = [], [], {}
        for name, pool in self.pools.items():
            distance = cosine_distance(queries, _mapped(pool[:, : self.dim], self.key))
            nearest, chosen = self.choose(distance)
            prompts.append(pool[chosen])
            distances.append(nearest)
            indices[name] = chosen
        return Chosen(torch.cat(prompts, dim=1), torch.cat(distances, dim=1).mean(dim=1), indices)

    def _queries(self, pooled: Float[Tensor, "sample dim"]) -> Float[Tensor, "sample dim"]:
        if self.moments is None or not self.moments.any():
            return pooled
        queries = standardise(pooled, self.moments)
        if self.context is None:
            return queries
        unit = nn.functional.normalize
        return unit(queries, dim=-1) + self.context_weight * unit(self.context, dim=0)

    def choose(
        self, distance: Float[Tensor, "sample prompt"]
    ) -> tuple[Float[Tensor, "sample chosen"], Int[Tensor, "sample chosen"]]:
        """Returns the distance of each sample to the prompts of a pool that are nearest to it, and which they are."""
        nearest, chosen = distance.topk(min(self.num_chosen, distance.shape[1]), dim=1, largest=False)
        return nearest, chosen


class PatternPrompts(Prompter):
    """Missing-aware prompts: one set for every missing pattern, 2^M - 1 sets for M modalities.

    Source: Lee et al. Multimodal Prompting with Missing Modalities for Visual Recognition. CVPR 2023.
    """

    def __init__(
        self, dim: int, num_modalities: int, num_prompts: int, rng: torch.Generator | None = None, depth: int = 1
    ) -> None:
        """Draws the initial prompts, the same for every pattern."""
        super().__init__()
        self.depth = depth
        initial = _initial_prompts((num_prompts, depth * dim), rng).detach()
        self.sets = nn.Parameter(initial.expand(2**num_modalities - 1, -1, -1).clone())
        self.num_modalities = num_modalities

    def options(self) -> dict[str, Any]:
        """Returns the number of modalities and of prompts per pattern."""
        return {
            "num_modalities": self.num_modalities,
            "num_prompts": self.sets.shape[1],
            **_told_depth(self.depth),
        }

    def forward(self, tokens: Tokens, present: Bool[Tensor, "sample modality"]) -> Chosen:
        """Returns the prompts of each sample's missing pattern."""
        return Chosen(self.sets[pattern_index(present)], tokens.values.new_zeros(len(present)), {})


class AllPrompts(Prompter):
    """One set of prompts, all of which every sample gets.

    Source: Probabilistic Federated Prompt-Tuning. NeurIPS 2024.
    """

    resizable = frozenset({"prompts"})

    def __init__(self, dim: int, num_prompts: int, rng: torch.Generator | None = None, depth: int = 1) -> None:
        super().__init__()
        self.depth = depth
        self.prompts = _initial_prompts((num_prompts, depth * dim), rng)

    def options(self) -> dict[str, Any]:
        """Returns the number of prompts."""
        return {"num_prompts": len(self.prompts), **_told_depth(self.depth)}

    def forward(self, tokens: Tokens, present: Bool[Tensor, "sample modality"]) -> Chosen:
        """Returns all prompts for each sample."""
        return Chosen(self.prompts.expand(len(present), -1, -1), tokens.values.new_zeros(len(present)), {})


class NoPrompts(Prompter):
    """Prepends nothing."""

    def __init__(self, dim: int) -> None:
        """Takes the width that the absent prompts would have."""
        super().__init__()
        self.dim = dim

    def options(self) -> dict[str, Any]:
        """Returns nothing: there is nothing to choose."""
        return {}

    def forward(self, tokens: Tokens, present: Bool[Tensor, "sample modality"]) -> Chosen:
        """Returns no prompts for each sample."""
        return Chosen(tokens.values.new_zeros(len(present), 0, self.dim), tokens.values.new_zeros(len(present)), {})


#: By the name that a saved model carries.
PROMPTERS: dict[str, type[Prompter]] = {
    "pools": PromptPools,
    "patterns": PatternPrompts,
    "all": AllPrompts,
    "none": NoPrompts,
}


def _mapped(rows: Float[Tensor, "row dim"], matrix: Float[Tensor, "dim dim"] | None) -> Float[Tensor, "row dim"]:
    return rows if matrix is None else rows @ matrix.T


def _told_depth(depth: int) -> dict[str, int]:
    return {"depth": depth} if depth > 1 else {}


def _initial_prompts(shape: tuple[int, int], rng: torch.Generator | None) -> nn.Parameter:
    # As wide as the initial tokens of vision transformers are; directions are random, so prompts start nearly
    # orthogonal.
    return nn.Parameter(torch.zeros(shape) if rng is None else 0.02 * torch.randn(shape, generator=rng))
