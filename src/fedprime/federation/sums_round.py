"""The first round of the start: sums over everybody's training samples, and discriminants of them."""

import functools
import operator
from collections.abc import Collection, Sequence
from dataclasses import replace

import torch

from fedprime.data.sources import Task
from fedprime.federation.start_round import CANDIDATES, LocalSamples, StartRound, block_sizes, head_of, read_blocks
from fedprime.methods.method import ServerState, Update
from fedprime.models.class_sums import ClassSums, sum_blocks
from fedprime.models.discriminant import SHRINKAGES, BlockDiscriminant, log_frequencies
from fedprime.models.prompted_model import PromptedModel, Weights


class SumsRound(StartRound):
    """Clients send sums over their training samples; the server makes discriminants of them.

    What the server keeps of it: the sums over all clients, as `ClassSums.weights` names them.
    """

    def __init__(self, task: Task, *, makes_head: bool = True, alike: Collection[str] = ()) -> None:
        """Takes the task.

        Args:
            makes_head: Whether a head is made, or blocks are standardised only.
            alike: The blocks of which all samples are about as large, wherever they are from.
        """
        self._alike = alike
        self._task: Task = task
        self._makes_head = makes_head

    def measure(self, model: PromptedModel, samples: LocalSamples, received: Weights) -> Weights:  # noqa: ARG002
        """Returns the sums over the client's training samples."""
        head = head_of(model)
        sums = ClassSums.nothing(head.widths, len(model.label_names))
        for blocks, labels in read_blocks(model, samples.train):
            sums = sums + sum_blocks(blocks, labels, len(model.label_names), model.task)
        return sums.weights()

    def form(self, weights: Weights) -> Weights:
        """Returns the form of sums over the blocks that the head reads."""
        with torch.device("meta"):
            return ClassSums.nothing(*block_sizes(weights)).weights()

    def problems(self, update: Update) -> list[str]:
        """Says why no samples can have these sums."""
        sums = ClassSums.of_weights(update.weights)
        found = sums.problems(one_class=self._task == "one_class")
        if not found and sums.num_samples != update.num_samples:
            found = [f"it summed over {sums.num_samples:g} samples and says that it has {update.num_samples}"]
        return found

    def squares(self, update: Update) -> dict[str, float]:
        """Returns by block the mean square of a client's samples."""
        sums = ClassSums.of_weights(update.weights)
        told = [block for block, total in sums.total.items() if block in self._alike and total[0] > 0]
        return {block: sums.mean_square(block) for block in told}

    def aggregate(self, current: ServerState, updates: Sequence[Update]) -> ServerState:
        """Returns the head that follows from all sums, as far as it does, and what clients choose from next."""
        summed = (ClassSums.of_weights(update.weights) for update in updates)
        sums = functools.reduce(operator.add, summed)  # one after the other: all together may not fit into memory
        shared = dict(current.shared)
        shared["head.log_prior"] = log_frequencies(sums.labels, float(sums.num_samples), self._task).float()
        for block, total in sums.total.items():
            weight, bias = (shared[f"head.{kind}.{block}"] for kind in ("weight", "bias"))
            candidates = [(torch.zeros_like(weight), torch.zeros_like(bias))] * len(SHRINKAGES)
            if total[0] > 0:  # what nobody has says nothing
                discriminant = BlockDiscriminant.of_sums(sums, block, self._task)
                shared[f"head.moments.{block}"] = discriminant.moments.float()
                candidates = [discriminant.evidence(shrinkage) for shrinkage in SHRINKAGES]
            if self._makes_head:
                shared[f"{CANDIDATES}weight.{block}"] = torch.stack([weight for weight, _ in candidates]).float()
                shared[f"{CANDIDATES}bias.{block}"] = torch.stack([bias for _, bias in candidates]).float()
        return replace(current, shared=shared, server={**current.server, **sums.weights()}, observations={})
