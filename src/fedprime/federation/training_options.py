"""How clients train, in plain values, which load nothing."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["LocalTraining"]


@dataclass(frozen=True)
class LocalTraining:
    """How a client trains.

    Attributes:
        epochs: Passes over the client's samples per round.
        batch_size: Samples per optimiser step.
        optimizer: Stochastic gradient descent as in the paper, or AdamW.
        lr: Learning rate at the start of the run.
        head_lr: The same for what reads the features, where it has one of its own; 0 leaves it as it is.
        momentum: Of SGD.
        weight_decay: Of either optimiser.
        max_gradient_norm: Longer gradients are scaled down to it; 0 for no limit.
        schedule: How the learning rate falls over the rounds.
    """

    epochs: int = 1
    batch_size: int = 32
    optimizer: Literal["sgd", "adamw"] = "adamw"
    lr: float = 0.01
    head_lr: Literal["same"] | float = "same"
    momentum: float = 0.0
    weight_decay: float = 0.0
    max_gradient_norm: float = 1.0
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
