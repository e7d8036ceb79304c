"""PFPT: one aligned set of prompts, all of which every sample gets.

Source: Probabilistic Federated Prompt-Tuning. NeurIPS 2024, arXiv 2502.19752.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from fedprime.backbones.backbone import Backbone
from fedprime.methods.aligned_mean import aligned_mean
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.prompts import AllPrompts
from fedprime.reproducibility.ranges import Count


@dataclass(frozen=True)
class PFPT(Method):
    """One set of prompts, not retrieved but all used, aligned across clients; its size stays what it is.

    Attributes:
        likelihood: Evidence about a match: the mean over coordinates, or their sum as in the paper.
        num_alternations: How often the server alternates between centres and matches.
    """

    name = "pfpt"
    aligned = "prompter.prompts"

    likelihood: Literal["mean", "sum"] = "mean"
    num_alternations: Count = 5

    def build_prompter(self, backbone: Backbone, rng: torch.Generator | None) -> AllPrompts:
        """Returns one set of prompts."""
        return AllPrompts(backbone.dim, self.num_prompts, rng, self.deep_prompts)

    def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:
        """Aligns the prompts, starting from the centres of the round before, and averages everything else."""
        return aligned_mean(
            current,
            updates,
            self,
            rng=rng,
            max_centres=self.num_prompts,
            likelihood=self.likelihood,
            num_alternations=self.num_alternations,
        )
