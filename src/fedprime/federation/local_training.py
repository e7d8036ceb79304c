"""Local training at one client: what it received, its own samples, an update to send."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fedprime.data.batches import Batch, Shard
from fedprime.data.micro_batches import divide_by_length
from fedprime.federation.start_round import own_log_prior
from fedprime.federation.training_options import LocalTraining
from fedprime.methods.method import Method, Update
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.reproducibility.seeding import stream


def learning_rate_factor(
    schedule: Literal["constant", "cosine", "linear"], round_number: int, num_rounds: int
) -> float:
    """Returns the share of the initial learning rate that a round trains with, in (0, 1].

    >>> [learning_rate_factor("linear", round_number, 4) for round_number in range(4)]
    [1.0, 0.75, 0.5, 0.25]
    """
    done = round_number / num_rounds
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1 - done
    return 0.5 * (1 + math.cos(math.pi * done))


class ClientTraining:
    """The local training of one client in a round, step by step; the optimiser starts anew in every round.

    Attributes:
        lr: The learning rate of every value, by name.
    """

    def __init__(
        self,
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
    ) -> None:
        """Loads what the client starts from.

        Args:
            model: Any model of the method's shape; its weights are overwritten.
            client: Which client, for the order of samples.
        """
        self.model, self._method, self._received, self.options = model, method, received, training
        self._client, self._num_samples = client, len(shard)
        now = shard.at(round_number, num_rounds)
        start, self._measured = method.prepare(model, now, received)
        model.load_weights(start)
        model.train()
        model.training_prior = own_log_prior(model, shard) if method.prior_aware else None
        factor = learning_rate_factor(training.schedule, round_number, num_rounds)
        self.lr = _learning_rates(model, training, factor)
        names = (("client", client, "round", round_number, "epoch", epoch) for epoch in range(training.epochs))
        orders = (stream(seed, *name, "shuffle") for name in names)
        self._batches = (batch for order in orders for batch in now.batches(training.batch_size, order))
        self._batch: Batch | None = None
        self.num_steps = 0
        self.num_left = training.epochs * -(-len(now) // training.batch_size)
        self._total_loss, self._num_seen = 0.0, 0

    @property
    def batch(self) -> Batch:
        """The samples of the next step."""
        if self._batch is None:
            self._batch = next(self._batches)
        return self._batch

    def run(self) -> Update:
        """Takes all steps, one after the other, and returns what has come of it."""
        optimizer = optimizer_of([self])
        while self.num_left:
            self.step(optimizer)
        return self.update()

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Takes the next step by itself.

        Args:
            optimizer: Of this client's values; those of others without a gradient stay as they are.
        """
        norm = self.options.max_gradient_norm
        self.taken(optimiser_step(self.model, self._method, self.batch, self._received, optimizer, norm))

    def loss(self) -> Float[Tensor, ""]:
        """Returns what the next step minimises."""
        return self._method.loss(self.model, self.batch, self._received)

    def clip_gradients(self) -> None:
        """Scales gradients that are too long down."""
        _clip_gradients(self.model, self.options.max_gradient_norm)

    def taken(self, total_loss: float) -> None:
        """Notes that the optimiser has taken the next step.

        Args:
            total_loss: What it minimised, summed over samples.
        """
        with torch.no_grad():
            self._method.adjust_step(self.model, self._received, self.lr)
        self._total_loss += total_loss
        self._num_seen += len(self.batch)
        self.num_steps += 1
        self.num_left -= 1
        self._batch = None

    def update(self) -> Update:
        """Returns what has come of it, with *all* trained values: the runtime sends what travels and keeps the rest."""
        trained = self.model.weights()
        concluded = self._method.conclude(trained, self._received, self.num_steps, self.lr)
        weights = {**trained, **self._measured, **concluded}
        return Update(self._client, self._num_samples, weights, {"loss": self._total_loss / self._num_seen})


def _learning_rates(model: PromptedModel, training: LocalTraining, factor: float) -> dict[str, float]:
    """Returns the learning rate of every value of a model, by name."""
    head_lr = training.lr if training.head_lr == "same" else training.head_lr
    return {
        name: factor * (training.lr if name.startswith("prompter.") else head_lr)
        for name, _ in model.named_parameters()
    }


def optimizer_of(trainings: Sequence[ClientTraining]) -> torch.optim.Optimizer:
    """Returns an optimiser of the values of clients that train alike; a step changes those that have a gradient."""
    options = trainings[0].options
    lr = trainings[0].lr
    trained = [pair for own in trainings for pair in own.model.named_parameters() if pair[1].requires_grad]
    groups = [
        {"params": [value for name, value in trained if lr[name] == rate], "lr": rate}
        for rate in dict.fromkeys(lr[name] for name, _ in trained)
    ]
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=options.momentum, weight_decay=options.weight_decay)
    return torch.optim.AdamW(groups, weight_decay=options.weight_decay, fused=True)


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
    _clip_gradients(model, max_gradient_norm)
    optimizer.step()
    return total_loss


def _clip_gradients(model: PromptedModel, max_gradient_norm: float) -> None:
    if max_gradient_norm > 0:
        nn.utils.clip_grad_norm_([value for value in model.parameters() if value.requires_grad], max_gradient_norm)
