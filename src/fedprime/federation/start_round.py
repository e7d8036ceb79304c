"""One round of the start, in which clients measure instead of training, and what all such rounds need."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float64, Int
from torch import Tensor

from fedprime.data.batches import Shard
from fedprime.methods.method import ServerState, Update
from fedprime.models.discriminant import frequencies_of, label_counts, log_frequencies, own_log_frequencies
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.models.readout import SUMMARY, Blocks, EvidenceHead
from fedprime.models.saved_model import BESIDE_MODEL

_AT_ONCE = 256  # samples
#: Begins the names of values that are sent in the start alone, beside the model's.
CANDIDATES = f"{BESIDE_MODEL}start."


@dataclass(frozen=True)
class LocalSamples:
    """What a client has.

    Attributes:
        validation: Samples that nothing is fitted to.
    """

    train: Shard
    validation: Shard
    _kept: list[tuple[Weights, list[Tensor]]] = field(default_factory=list, init=False, repr=False, compare=False)

    @torch.no_grad()
    def validation_blocks(self, model: PromptedModel) -> Iterator[tuple[Blocks, Tensor]]:
        """Yields blocks and labels of validation samples, as they are and with each of their modalities alone.

        Rounds of the start change the head and not what it reads: the summary block, which goes through the
        transformer, is computed when it is first asked for with the model's prompts, and kept.
        """
        prompts = {name: value for name, value in model.weights().items() if name.startswith("prompter.")}
        known = next((features for own, features in self._kept if _are_equal(own, prompts)), None)
        found: list[Tensor] = []
        for number, batch in enumerate(with_single_modalities(self.validation).batches(_AT_ONCE)):
            blocks = model.eval().read(batch, None if known is None else known[number])
            found.append(blocks.values[SUMMARY])
            yield blocks, batch.labels
        self._kept[:] = [(prompts, found)]


def _are_equal(ours: Weights, theirs: Weights) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


class StartRound(ABC):
    """A round before the first, in which every client measures."""

    @abstractmethod
    def measure(self, model: PromptedModel, samples: LocalSamples, received: Weights) -> Weights:
        """Returns what a client sends.

        Args:
            model: A model with the weights that it received.
            received: What the server sent.
        """

    def sent(self, weights: Weights) -> Weights:  # noqa: ARG002
        """Returns tensors of what a client is sent beside the model's weights, without content: here nothing."""
        return {}

    @abstractmethod
    def form(self, weights: Weights) -> Weights:
        """Returns tensors of the names, shapes and types that a client sends, without content."""

    @abstractmethod
    def problems(self, update: Update) -> list[str]:
        """Says what is wrong with what a client sent, beyond names, shapes and values that are not finite."""

    def squares(self, update: Update) -> dict[str, float]:  # noqa: ARG002
        """Returns how large a client's samples are in the mean square, by block where all are alike; here nothing."""
        return {}

    def gains(self, updates: Sequence[Update], shared: Weights) -> dict[int, float]:  # noqa: ARG002
        """Returns by client what the others would gain if it had no say in what is chosen; here nothing is chosen.

        That is by how much likelier the validation labels of the median client, and those of all others together,
        become, as a share of what guessing costs: a client that says that one choice is infinitely better than all
        others says nothing of those of others.

        Args:
            updates: In the order of clients.
            shared: What the clients were sent.
        """
        return {}

    @abstractmethod
    def aggregate(self, current: ServerState, updates: Sequence[Update]) -> ServerState:
        """Returns what the server makes of it.

        Args:
            updates: What came back, at least one, in the order of clients.
        """

    def unanswered(self, current: ServerState) -> ServerState:
        """Returns what rounds after this one go on with where nobody answers it: what there is."""
        return current


def own_log_prior(model: PromptedModel, train: Shard) -> Tensor:
    """Returns the logarithm of a client's own label frequencies, smoothed by the shared ones; they stay with it.

    Args:
        model: A model that knows the shared frequencies.
    """
    counts = label_counts(train.samples.source.labels[train.indices], len(model.label_names))
    if model.log_prior is None:
        return log_frequencies(counts, len(train), model.task)
    return own_log_frequencies(counts, len(train), model.task, frequencies_of(model.log_prior, model.task))


def head_of(model: PromptedModel) -> EvidenceHead:
    """Returns the head of a model that reads blocks."""
    if not isinstance(model.head, EvidenceHead):
        raise TypeError(f"a start is for a head that reads blocks, not for {model.head_kind!r}")
    return model.head


def by_block(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Returns by block the values whose names begin so."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def block_sizes(weights: Weights) -> tuple[dict[str, int], int]:
    """Returns how wide each block is that a head of these values reads, and how many labels there are."""
    found = by_block(weights, "head.weight.")
    return {name: value.shape[1] for name, value in found.items()}, len(next(iter(found.values())))


def of_all_others(values: Float64[Tensor, "client *shape"]) -> Float64[Tensor, "client *shape"]:
    """Returns for each client the sum over all others; nothing is taken away again, so a huge value leaves no trace.

    >>> of_all_others(torch.tensor([1.0, 1e30, 2.0], dtype=torch.float64)).tolist()
    [1e+30, 3.0, 1e+30]
    """
    none = torch.zeros_like(values[:1])
    before = torch.cat([none, values[:-1]]).cumsum(dim=0)
    after = torch.cat([none, values.flip(0)[:-1]]).cumsum(dim=0).flip(0)
    return before + after


@torch.no_grad()
def read_blocks(model: PromptedModel, shard: Shard) -> Iterator[tuple[Blocks, Tensor]]:
    """Yields blocks and labels of all samples, some at a time."""
    model.eval()
    for batch in shard.batches(_AT_ONCE):
        yield model.read(batch), batch.labels


def with_single_modalities(shard: Shard) -> Shard:
    """Returns samples as they are, and again with each of their modalities alone.

    What is chosen on them holds also for patterns that few samples have, and a block that only repeats others has to
    show what it adds to each of them.
    """
    _, alone = each_alone(shard)
    indices, present = ([getattr(own, name) for own in (shard, alone)] for name in ("indices", "present"))
    return replace(alone, indices=np.concatenate(indices), present=np.concatenate(present))


def each_alone(shard: Shard) -> tuple[Int[np.ndarray, " row"], Shard]:
    """Returns samples with several modalities again with each of them alone, and which rows of the shard they are."""
    several = shard.present.sum(axis=1) > 1
    modalities, rows = np.nonzero((shard.present & several[:, None]).T)
    alone = np.eye(shard.present.shape[1], dtype=bool)[modalities]
    return rows, replace(shard.rows(rows), present=alone, likelihood=None)
