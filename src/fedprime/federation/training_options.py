"""How clients train, and what hides each of them, in plain values, which load nothing heavy."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from fedprime.reproducibility.ranges import Count, NotNegative, Positive


@dataclass(frozen=True)
class LocalTraining:
    """How a client trains; what reads settings checks the ranges."""

    epochs: Count = 1
    """Passes over a client's samples per round."""
    batch_size: Count = 32
    """Samples per optimiser step."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """Stochastic gradient descent as in the paper, or AdamW."""
    lr: Positive = 0.01
    """Learning rate in the first round."""
    head_lr: Literal["same"] | NotNegative = "same"
    """That of the head, where training.lr is that of prompts alone; 0 leaves the head as it is."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Momentum of SGD."""
    weight_decay: NotNegative = 0.0
    """Weight decay of either optimiser."""
    max_gradient_norm: NotNegative = 1.0
    """Longer gradients are scaled down to this norm; 0 for no limit."""
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    """How the learning rate falls over the rounds."""


@dataclass(frozen=True)
class PrivacyOptions:
    """What hides whether a client took part; what reads settings checks the ranges."""

    clip_norm: NotNegative = 0.0
    """The largest norm of what a client may change in a round, over all values that travel; 0 for no privacy."""
    noise_multiplier: NotNegative = 1.0
    """Standard deviation of the noise in units of clip_norm; 0 clips and averages alike, without privacy."""
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    """Probability with which the bound epsilon may be exceeded; below 1 / the number of clients."""
    secret: bool = False
    """Whether noise and the choice of clients come from the operating system; always so in a deployment. Otherwise from
    the seed, which is for experiments: who knows it can take the noise off; secret noise cannot be repeated."""

    @property
    def is_on(self) -> bool:
        """Whether anything is done at all."""
        return self.clip_norm > 0
