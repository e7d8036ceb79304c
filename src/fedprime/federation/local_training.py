"""Local training at one client: what it received, its own samples, an update to send."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from fedprime.data.batches import Batch, Shard
from fedprime.data.micro_batches import divide_by_length
from fedprime.federation.start_round import own_log_prior
from fedprime.federation.training_options import LocalTraining
from fedprime.methods.method import Method, Update
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.reproducibility.seeding import stream

__all__ = ["learning_rate_factor", "optimiser_step", "train_locally"]


def learning_rate_factor(
    schedule: Literal["constant", "cosine", "linear"], round_number: int, num_rounds: int
) -> float:
    """Returns the share of the initial learning rate that a round trains with, in (0, 1].

    Args:
        schedule: The shape of the decay.
        round_number: Which round, from 0.
        num_rounds: Rounds of the whole run.

    >>> [learning_rate_factor("linear", round_number, 4) for round_number in range(4)]
    [1.0, 0.75, 0.5, 0.25]
    """
    done = round_number / num_rounds
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1 - done
    return 0.5 * (1 + math.cos(math.pi * done))


def train_locally(
    model: PromptedModel,
    method: Method,
    shard: Shard,
    received: Weights,
    training: LocalTraining,
    *,
    client: int,
    round_number: int,
    num_rounds: int,
    seed: int,
) -> Update:
    """Trains a client's model from what it received; the optimiser starts anew in every round.

    Args:
        model: Any model of the method's shape; its weights are overwritten.
        method: What is minimised.
        shard: The client's samples.
        received: A value for every parameter.
        training: Epochs, batches, optimiser.
        client: Which client, for the order of samples.
        round_number: Which round, from 0.
        num_rounds: Rounds of the whole run, for the learning rate.
        seed: Seed of the run.

    Returns:
        The update with *all* trained values; the runtime sends what travels and keeps the rest.
    """
    now = shard.at(round_number, num_rounds)
    start, measured = method.prepare(model, now, received)
    model.load_weights(start)
    model.train()
    model.training_prior = own_log_prior(model, shard) if method.prior_aware else None
    lr = _learning_rates(model, training, learning_rate_factor(training.schedule, round_number, num_rounds))
    optimizer = _optimizer(model, training, lr)
    total_loss, num_seen, num_steps = 0.0, 0, 0
    for epoch in range(training.epochs):
        order = stream(seed, "client", client, "round", round_number, "epoch", epoch, "shuffle")
        for batch in now.batches(training.batch_size, order):
            total_loss += optimiser_step(model, method, batch, received, optimizer, training.max_gradient_norm)
            with torch.no_grad():
                method.adjust_step(model, received, lr)
            num_seen += len(batch)
            num_steps += 1
    trained = model.weights()
    concluded = method.conclude(trained, received, num_steps, lr)
    return Update(client, len(shard), {**trained, **measured, **concluded}, {"loss": total_loss / num_seen})


def _learning_rates(model: PromptedModel, training: LocalTraining, factor: float) -> dict[str, float]:
    """Returns the learning rate of every value of a model, by name."""
    head_lr = training.lr if training.head_lr == "same" else training.head_lr
    return {
        name: factor * (training.lr if name.startswith("prompter.") else head_lr)
        for name, _ in model.named_parameters()
    }


def _optimizer(model: PromptedModel, training: LocalTraining, lr: Mapping[str, float]) -> torch.optim.Optimizer:
    trained = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    groups = [
        {"params": [value for name, value in trained if lr[name] == rate], "lr": rate}
        for rate in dict.fromkeys(lr[name] for name, _ in trained)
    ]
    if training.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=training.momentum, weight_decay=training.weight_decay)
    return torch.optim.AdamW(groups, weight_decay=training.weight_decay, fused=True)


def optimiser_step(
    model: PromptedModel,
    method: Method,
    batch: Batch,
    received: Weights,
    optimizer: torch.optim.Optimizer,
    max_gradient_norm: float,
) -> float:
    """Takes one step on a batch, whose gradients are summed over parts that are small enough to be held in memory.

    Args:
        model: What is trained.
        method: What is minimised.
        batch: The samples.
        received: What the client got from the server.
        optimizer: Of the model's trained parameters.
        max_gradient_norm: Longer gradients are scaled down to it; 0 for no limit.

    Returns:
        The loss, summed over samples.
    """
    whole = model.prompter.reads_whole_batches
    total_loss = 0.0
    optimizer.zero_grad(set_to_none=True)
    for part in [batch] if whole else divide_by_length(batch, model.backbone.dim):
        loss = method.loss(model, part, received)
        # Losses are means over samples, and a term that depends on no sample is the same for every part: weighted by
        # samples, the gradients of the parts sum to that of the batch.
        (loss * (len(part) / len(batch))).backward()
        total_loss += loss.item() * len(part)
    if max_gradient_norm > 0:
        nn.utils.clip_grad_norm_([value for value in model.parameters() if value.requires_grad], max_gradient_norm)
    optimizer.step()
    return total_loss
