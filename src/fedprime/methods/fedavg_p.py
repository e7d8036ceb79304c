"""FEDAVG-P: missing-aware prompts, averaged.

Source: Lee et al. Multimodal Prompting with Missing Modalities for Visual Recognition. CVPR 2023, for the prompts;
FED-PRIME (arXiv 2602.07081) for the baseline.
"""

from dataclasses import dataclass

import torch

from fedprime.backbones.backbone import Backbone
from fedprime.methods.method import Method
from fedprime.models.prompts import PatternPrompts


@dataclass(frozen=True)
class FedAvgP(Method):
    """One learnable prompt set per missing pattern; everything is averaged by FedAvg."""

    name = "fedavg-p"

    def build_prompter(self, backbone: Backbone, rng: torch.Generator | None) -> PatternPrompts:
        """Returns a set of prompts for each of the 2^M - 1 missing patterns."""
        return PatternPrompts(backbone.dim, len(backbone.modalities), self.num_prompts, rng, self.deep_prompts)
