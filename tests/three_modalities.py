"""Models of three modalities with each kind of prompts."""

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from fedprime.backbones import backbone as contract
from fedprime.backbones.backbone import Backbone, Tokens
from fedprime.data.sources import Task, ValueKind
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import AllPrompts, NoPrompts, PatternPrompts, Prompter, PromptPools
from fedprime.reproducibility.seeding import torch_stream

THREE = ("image", "text", "readings")
LABELS = ("soup", "cake", "salad")
PROMPTED: dict[str, Callable[[Backbone, torch.Generator], Prompter]] = {
    "pools": lambda backbone, rng: PromptPools(backbone.dim, {"inter": 6, "intra": 4}, 2, rng),
    "patterns": lambda backbone, rng: PatternPrompts(backbone.dim, len(backbone.modalities), 3, rng),
    "all": lambda backbone, rng: AllPrompts(backbone.dim, 3, rng),
    "none": lambda backbone, _: NoPrompts(backbone.dim),
}


class Averaging:
    """A backbone of width 2 whose feature is the mean of all tokens, and whose summary token is zero."""

    modalities: tuple[str, ...] = ("image", "text")
    kinds: Mapping[str, ValueKind] = {"image": "image", "text": "text"}
    versions: Mapping[str, int] = {"image": 1, "text": 1}
    dim = 2
    feature_dim = 2
    options: Mapping[str, int] = {}
    reference = "averaging"

    def __init__(self, fingerprint: str = "of averaging") -> None:
        self.fingerprint = fingerprint
        self.device = torch.device("cpu")

    def embed(self, modality: str, values: Sequence[object]) -> list[Tensor]:
        return [torch.tensor(value) for value in values]

    def assemble(self, embedded: Mapping[str, Sequence[Tensor | None]]) -> Tokens:
        return contract.assemble(embedded, torch.zeros(2), self.modalities)

    def encode(self, tokens: Tokens) -> Tensor:
        return tokens.pooled()


def model_of(backbone: Backbone, kind: str, task: Task = "one_class", seed: int = 0) -> PromptedModel:
    rng = torch_stream(seed, "test model")
    model = PromptedModel(backbone, PROMPTED[kind](backbone, rng), LABELS, task, rng)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch_stream(seed, "moved", name))
    return model


def seven_patterns_twice() -> np.ndarray:
    patterns = [pattern for pattern in itertools.product([False, True], repeat=3) if any(pattern)]
    return np.array(patterns * 2)
