"""Head only: pooler and head averaged, no prompts; what prompts are worth is measured against it."""

from dataclasses import dataclass

import torch

from fedprime.backbones.backbone import Backbone
from fedprime.methods.method import Method
from fedprime.models.prompts import NoPrompts


@dataclass(frozen=True)
class HeadOnly(Method):
    """The frozen backbone's own features under an averaged pooler and head."""

    name = "head-only"

    def build_prompter(self, backbone: Backbone, rng: torch.Generator | None) -> NoPrompts:  # noqa: ARG002
        """Returns no prompts."""
        return NoPrompts(backbone.dim)
