"""The model that is trained: a frozen backbone, prompts, a pooler and a head."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fedprime.backbones.backbone import Backbone, Tokens
from fedprime.backbones.layers import check_layers, states_before, tokens_before
from fedprime.data.batches import Batch
from fedprime.data.sources import Task
from fedprime.models.prompts import Chosen, Prompter
from fedprime.models.readout import SUMMARY, Blocks, EvidenceHead, Readout, frozen_blocks, readout_widths
from fedprime.models.saved_model import HeadKind, SavedModel

#: Trained values by the name of their parameter.
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Output:
    """What the model says about a batch.

    Attributes:
        logits: One score per class or label.
        evidence: Of a head that reads blocks, what each of them says: the scores are their sum.
    """

    logits: Float[Tensor, "sample output"]
    chosen: Chosen
    evidence: Mapping[str, Float[Tensor, "sample output"]] = field(default_factory=dict)


@dataclass(frozen=True)
class Encoded:
    """What is known of a batch when its loss is asked for, because one pass of the backbone served several models.

    Attributes:
        feature: What the backbone made of it and its prompts.
    """

    batch: Batch
    feature: Float[Tensor, "sample feature"]
    chosen: Chosen


class PromptedModel(SavedModel):
    """``head(pooler(encode(tokens.prepend(prompts))))`` around a frozen backbone.

    Everything that is a parameter of this module is trained; the backbone is not part of it, never changes and never
    travels. It is trained where the backbone runs; weights come and go in main memory.
    """

    def __init__(
        self,
        backbone: Backbone,
        prompter: Prompter,
        label_names: Sequence[str],
        task: Task = "one_class",
        rng: torch.Generator | None = None,
        head: HeadKind = "pooled",
        readout: Readout = "summary",
        prompt_layer: int = 0,
    ) -> None:
        """Puts the parts together.

        Args:
            rng: Source of the initial pooler and head; without one they are zero, to be loaded.
            readout: Which blocks the head reads; more than the summary feature is for "evidence" alone.
            prompt_layer: The layer of the backbone that prompts enter before, from 0.

        Raises:
            BackboneError: If the backbone has no such layer, or prompts cannot enter before it.
        """
        check_layers(backbone, prompt_layer, prompter.depth)
        super().__init__(backbone, prompter, label_names, task, head, readout, prompt_layer)
        #: What is added to evidence while a client trains: the logarithm of its own label frequencies, or None.
        self.training_prior: Float[Tensor, " output"] | None = None
        #: What has been computed of one batch already; any other goes through the backbone.
        self.encoded: Encoded | None = None
        dim, num_outputs = backbone.feature_dim, len(self.label_names)
        self.pooler = None if head in ("linear", "evidence") else _linear(dim, dim, rng)
        if head == "evidence":
            self.head = EvidenceHead(readout_widths(backbone, readout), num_outputs, rng)
        else:
            self.head = _paper_classifier(dim, num_outputs, rng) if head == "paper" else _linear(dim, num_outputs, rng)
        self.to(backbone.device)

    def forward(self, batch: Batch) -> Output:
        """Returns the scores of each sample."""
        feature, chosen = self._summarise(batch)
        if isinstance(self.head, EvidenceHead):
            evidence = self.head.by_block(self._blocks(batch, feature))
            return Output(torch.stack(list(evidence.values())).sum(dim=0), chosen, evidence)
        pooled = feature if self.pooler is None else torch.tanh(self.pooler(feature))
        return Output(self.head(pooled), chosen)

    def read(self, batch: Batch, feature: Float[Tensor, "sample feature"] | None = None) -> Blocks:
        """Returns all that an `EvidenceHead` reads of a batch.

        Args:
            feature: The summary feature of each, where it is known.
        """
        return self._blocks(batch, self._summarise(batch)[0] if feature is None else feature)

    def tokens(self, batch: Batch) -> Tokens:
        """Returns what prompts are prepended to: the tokens of a batch, as they go into the layer of the prompts."""
        if self.prompt_layer == 0:
            return self.backbone.assemble(batch.embedded)
        states = (
            states_before(self.backbone, batch.embedded, self.prompt_layer)
            if batch.states is None
            else batch.states(self.prompt_layer)
        )
        return tokens_before(self.backbone, batch.embedded, self.prompt_layer, states)

    def prompted(self, batch: Batch) -> tuple[Tokens, Chosen]:
        """Returns what goes through the backbone, prompts in front, and the prompts that each sample was given."""
        tokens = self.tokens(batch)
        chosen = self.prompter(tokens, batch.present.to(tokens.values.device))
        return tokens.prepend(chosen.prompts), chosen

    def _summarise(self, batch: Batch) -> tuple[Float[Tensor, "sample feature"], Chosen]:
        """Returns the summary feature of each sample and the prompts that it was given."""
        if self.encoded is not None and self.encoded.batch is batch:
            return self.encoded.feature, self.encoded.chosen
        tokens, chosen = self.prompted(batch)
        return self.backbone.encode(tokens), chosen

    def _blocks(self, batch: Batch, feature: Float[Tensor, "sample feature"]) -> Blocks:
        frozen = Blocks({}, {}) if self.readout == "summary" else frozen_blocks(self.backbone, batch)
        everywhere = torch.ones(len(feature), dtype=torch.bool, device=feature.device)
        several = batch.present.sum(dim=1) > 1
        return Blocks({SUMMARY: feature, **frozen.values}, {SUMMARY: everywhere, **frozen.present}, several)

    def task_loss(self, logits: Float[Tensor, "sample output"], labels: Tensor) -> Float[Tensor, ""]:
        """Returns cross-entropy for one class, binary cross-entropy averaged over the labels for several.

        Where there is a `training_prior`, it is added to the scores.
        """
        labels = labels.to(logits.device)
        if self.training_prior is not None:
            logits = logits + self.training_prior.to(logits.device, logits.dtype)
        if self.task == "one_class":
            return nn.functional.cross_entropy(logits, labels)
        return nn.functional.binary_cross_entropy_with_logits(logits, labels)

    @property
    def guessing_loss(self) -> float:
        """The loss of a model that knows nothing."""
        return math.log(len(self.label_names) if self.task == "one_class" else 2)

    def squared_distance(self, weights: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Returns the squared distance of everything that is trained to given values, for proximal terms."""
        return torch.stack(
            [(value - weights[name].to(value.device)).square().sum() for name, value in self.named_parameters()]
        ).sum()

    @property
    def log_prior(self) -> Float[Tensor, " output"] | None:
        """Logarithms of the shared label frequencies, to predict with; None where scores hold a prior."""
        return self.head.log_prior.detach().cpu() if isinstance(self.head, EvidenceHead) else None

    def probabilities(
        self, logits: Float[Tensor, "sample output"], log_prior: Float[Tensor, " output"] | None = None
    ) -> Float[Tensor, "sample output"]:
        """Turns scores into probabilities: over the classes, or of each label.

        Args:
            log_prior: The prior to predict with, as logarithms (of several labels, log-odds); the model's own if None.
        """
        log_prior = self.log_prior if log_prior is None else log_prior
        if log_prior is not None:
            logits = logits + log_prior.to(logits.device, logits.dtype)
        return logits.softmax(dim=1) if self.task == "one_class" else logits.sigmoid()

    def copy(self) -> "PromptedModel":
        """Returns another model with the same weights around the same backbone."""
        return copy.deepcopy(self, {id(self._frozen): self._frozen})


def _paper_classifier(dim: int, num_outputs: int, rng: torch.Generator | None) -> nn.Sequential:
    wide = 2 * dim
    return nn.Sequential(_linear(dim, wide, rng), nn.LayerNorm(wide), nn.GELU(), _linear(wide, num_outputs, rng))


def _linear(num_inputs: int, num_outputs: int, rng: torch.Generator | None) -> nn.Linear:
    # On the device without memory, no layer draws its first weights from the global generator.
    with torch.device("meta"):
        layer = nn.Linear(num_inputs, num_outputs)
    shape = (num_outputs, num_inputs)
    weight = torch.zeros(shape) if rng is None else torch.randn(shape, generator=rng) * num_inputs**-0.5
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(torch.zeros(num_outputs))
    return layer
