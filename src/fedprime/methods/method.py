"""The contract of a method: what is trained, what a client minimises, what is sent, and what the server makes of it.

The defaults are FedAvg; a method overrides what its paper changes.

Source: McMahan et al. Communication-Efficient Learning of Deep Networks from Decentralized Data. AISTATS 2017.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from fedprime.backbones.backbone import Backbone
from fedprime.data.batches import Batch, Shard
from fedprime.data.sources import Task
from fedprime.methods.aggregation.robust import Aggregation, robust_mean
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.models.prompts import Prompter
from fedprime.models.readout import Readout
from fedprime.reproducibility.ranges import Count, NotNegative, NotNegativeCount

#: Where a head starts.
Start = Literal["random", "closed-form"]


@dataclass(frozen=True)
class Update:
    """What a client sends after local training.

    Attributes:
        client: Who sends it.
        num_samples: How many samples it was trained on; the weight in averages.
        weights: The trained values that travel.
        metrics: What the client measured, for example its mean training loss.
    """

    client: int
    num_samples: int
    weights: Mapping[str, Tensor]
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ServerState:
    """What the server holds between rounds.

    Attributes:
        shared: The values that every client gets.
        personal: By client, the values in which its answer differs from the shared ones.
        server: What the method keeps at the server from round to round, for example momentum; it is never sent.
        observations: By name, what the method saw while it made this state, as plain JSON values, for the line of
            metrics of the round; neither sent nor kept.
    """

    shared: Weights
    personal: Mapping[int, Weights] = field(default_factory=dict)
    server: Mapping[str, Tensor] = field(default_factory=dict)
    observations: Mapping[str, Any] = field(default_factory=dict)

    def answer(self, client: int) -> Weights:
        """Returns the values that a client gets."""
        return {**self.shared, **self.personal.get(client, {})}


@dataclass(frozen=True)
class Method:
    """A federated method, whose fields are its settings.

    A subclass that has settings of its own is a frozen dataclass with a default for each, of which TOML can write the
    values: numbers, words, yes or no, tuples of them. Ranges stand in annotations (see `reproducibility.ranges`), a
    check of several fields is made by ``__post_init__``, which raises a ValueError, and what a field means is said in
    the section "Attributes" or by a text under the field.

    Attributes:
        name: What settings call it.
        is_centralized: Whether one holder has all clients' samples; nothing is then sent over a network.
        evaluates_shared: Whether the shared values are evaluated also where clients keep values of their own.
        shares_parameters: Whether clients hold the same parameters instead of copies, a quirk of research code.
        answers_each: Whether the server answers every client by values of its own, made from single updates.
        trains: Whether there is anything to train after the start.
        aligned: Name of the parameter that is aligned; all others are averaged. Empty if nothing is aligned.
        num_prompts: Prompt tokens that enter the transformer with each sample, over all pools.
        aggregation: How the server makes one value of the clients': the mean over samples as in the papers, or, against
            hostile clients, the median or trimmed mean of every coordinate, with one vote for each client.
        hostile_share: Share of hostile clients to withstand: what a trimmed mean cuts at each end; with it or the
            median, an aligned prompt that no more clients share is dropped.
        clip_norm: Updates that move further from what was received (Euclidean norm, all values) are scaled down; 0 for
            no limit.
        head: What reads the feature: one linear layer (linear); a pooler and one layer (pooled); a pooler and two
            layers, as in the paper's code, three times as much to send (paper).
        readout: What the head reads of a sample: the summary feature, or with it a block for each modality; of blocks,
            the head is one linear layer for each, whatever `head` says.
        start: Where the head starts: at random values, or in closed form from sums over all clients' samples.
        prior_aware: Whether clients add their own label frequencies to scores while they train, so that shared weights
            hold evidence and nobody's label mix.
        prompt_layer: The layer of the backbone that prompts enter before, from 0, as in the paper; what is below it is
            computed once for each sample, and a step of training costs the layers above alone.
        deep_prompts: How many layers from there on have prompts of their own, which take the place of what has come out
            of those before (Lee et al. 2023 use 6); with 1, as in the paper, those of the first go through all layers.
    """

    name: ClassVar[str]
    is_centralized: ClassVar[bool] = False
    evaluates_shared: ClassVar[bool] = False
    shares_parameters: ClassVar[bool] = False
    answers_each: ClassVar[bool] = False
    aligned: ClassVar[str] = ""
    trains: ClassVar[bool] = True
    num_prompts: Count = 10
    aggregation: Aggregation = "mean"
    hostile_share: Annotated[float, Field(ge=0, lt=0.5)] = 0.3
    clip_norm: NotNegative = 0.0
    head: Literal["linear", "pooled", "paper"] = "pooled"
    readout: Readout = "summary"
    start: Start = "random"
    prior_aware: bool = False
    prompt_layer: NotNegativeCount = 0
    deep_prompts: Count = 1

    @property
    def reads_blocks(self) -> bool:
        """Whether the head adds what blocks of a sample say."""
        return self.readout == "blocks" or self.start == "closed-form"

    def num_rounds(self, asked: int) -> int:
        """Returns how many rounds of training there are.

        Args:
            asked: As many as the settings say.
        """
        return asked if self.trains else 0

    @property
    def shares_head(self) -> bool:
        """Whether clients send what they make of the head."""
        return self.travels("head.bias" if not self.reads_blocks else "head.bias.summary")

    def build(
        self,
        backbone: Backbone,
        label_names: Sequence[str],
        task: Task = "one_class",
        rng: torch.Generator | None = None,
    ) -> PromptedModel:
        """Returns the model before training."""
        head = "evidence" if self.reads_blocks else self.head
        prompter = self.build_prompter(backbone, rng)
        return PromptedModel(backbone, prompter, label_names, task, rng, head, self.readout, self.prompt_layer)

    def initial_state(self, model: PromptedModel, num_clients: int) -> ServerState:  # noqa: ARG002
        """Returns what the server holds before the first round: here the model's weights alone.

        Args:
            model: The model before training.
        """
        return ServerState(model.weights())

    def build_prompter(self, backbone: Backbone, rng: torch.Generator | None) -> Prompter:
        """Returns the prompts before training."""
        raise NotImplementedError

    def loss(self, model: PromptedModel, batch: Batch, received: Weights) -> Float[Tensor, ""]:  # noqa: ARG002
        """Returns what a client minimises on a batch: here the task loss alone.

        Args:
            received: The values that the client got from the server in this round.
        """
        return model.task_loss(model(batch).logits, batch.labels)

    def prepare(self, model: PromptedModel, shard: Shard, received: Weights) -> tuple[Weights, Weights]:  # noqa: ARG002
        """Returns what a client trains from, and what it measured on its samples: sent in the place of trained values.

        Args:
            model: The client's model; its weights may be overwritten.
            received: The values that the client got from the server in this round, and those it kept.
        """
        return received, {}

    def adjust_step(self, model: PromptedModel, received: Weights, lr: Mapping[str, float]) -> None:
        """Changes what a step of the optimiser has made of a client's model, without gradients: here nothing.

        Args:
            received: The values that the client got from the server in this round, and those it kept.
            lr: Learning rate of the step, by name of the trained value.
        """

    def conclude(self, trained: Weights, received: Weights, num_steps: int, lr: Mapping[str, float]) -> Weights:  # noqa: ARG002
        """Returns what a client works out after training: sent beside the trained values if it travels, or else kept.

        Values that are not the model's have names that begin with `BESIDE_MODEL`.

        Args:
            trained: What it has come to.
            received: The values that the client got from the server in this round, and those it kept.
            lr: Learning rate of each, by name of the trained value.
        """
        return {}

    def travels(self, name: str) -> bool:  # noqa: ARG002
        """Says whether a trained value is sent to the server; what is not sent stays at its client."""
        return True

    def travelling(self, weights: Mapping[str, Tensor]) -> Weights:
        """Returns those of some trained values that are sent."""
        return {name: value for name, value in weights.items() if self.travels(name)}

    def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:  # noqa: ARG002
        """Returns what the server makes of a round: here the average of everything.

        Args:
            updates: What came back, at least one, in the order of clients.
        """
        return ServerState({**current.shared, **self.average(updates)})

    def average(self, updates: Sequence[Update], without: Collection[str] = ()) -> Weights:
        """Returns what the method's `aggregation` makes of the updates."""
        if self.aggregation == "mean":
            return weighted_mean(updates, without)
        combine = robust_mean(self.aggregation, self.hostile_share)
        names = [name for name in updates[0].weights if name not in without]
        return {name: combine(torch.stack([update.weights[name] for update in updates])) for name in names}


def weighted_mean(updates: Sequence[Update], without: Collection[str] = ()) -> Weights:
    """Returns the mean of the updates' values, each client weighted by its number of samples.

    Args:
        updates: At least one, all with the same names and shapes apart from `without`.
        without: Names to leave out.

    >>> ours = Update(client=0, num_samples=1, weights={"head": torch.tensor([0.0])})
    >>> theirs = Update(client=1, num_samples=3, weights={"head": torch.tensor([4.0])})
    >>> weighted_mean([ours, theirs])
    {'head': tensor([3.])}
    """
    total = sum(update.num_samples for update in updates)
    names = [name for name in updates[0].weights if name not in without]
    # Summed in double precision, in the order of clients: the same updates give the same mean to the bit.
    return {
        name: sum(
            (update.weights[name].double() * (update.num_samples / total) for update in updates),
            start=torch.zeros((), dtype=torch.float64),
        ).to(updates[0].weights[name].dtype)
        for name in names
    }
