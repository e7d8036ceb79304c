"""From a data set to batches: what a sample is, what one holder has of it, and its frozen embeddings, computed once."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fedprime.data.embeddings.hidden_states import HiddenStates
from fedprime.data.embeddings.store import EmbeddingStore
from fedprime.data.in_order import in_order
from fedprime.data.missingness.patterns import what_is_left
from fedprime.data.odd_values import OddValues, embed_usable, place_of
from fedprime.data.sources import DataError, SampleSource

_TRIED_AT_ONCE = 256  # values whose embeddings are in memory
_READ_AT_ONCE = 16  # values that a thread reads and embeds together


@dataclass(frozen=True)
class Batch:
    """Samples as the model takes them.

    Attributes:
        embedded: By modality, one entry per sample: its frozen token embeddings (token, dim) in main memory, or None
            where it is missing.
        present: Which modalities each sample has, in the order of the backbone's modalities.
        labels: The class of each sample, or for several labels 1 where a label applies.
        blocks: Returns, for a modality, one entry per sample: its blocks side by side (`backbones.blocks`), or None
            where it is missing; nothing is computed before it is asked for. None where nobody keeps them.
        states: Returns, for a layer, what the tokens of each sample have come to before it (`backbones.layers`),
            likewise.
    """

    embedded: Mapping[str, Sequence[Tensor | None]]
    present: Bool[Tensor, "sample modality"]
    labels: Int[Tensor, " sample"] | Float[Tensor, "sample label"]
    blocks: Callable[[str], Sequence[Tensor | None]] | None = None
    states: Callable[[int], Sequence[Tensor]] | None = None

    def __len__(self) -> int:
        return len(self.present)


@dataclass(frozen=True)
class Encoded:
    """How far the values of a modality are encoded."""

    modality: str
    done: int
    total: int


class EmbeddedSamples:
    """A data set seen through a frozen backbone: a modality of a sample is read and embedded when first asked for.

    What is missing is never read, decoded or embedded.
    """

    def __init__(
        self,
        source: SampleSource,
        modalities: Sequence[str],
        embed: Callable[[str, Sequence[object]], list[Tensor]],
        store: EmbeddingStore | None = None,
        block: Callable[[str, Sequence[Tensor]], Tensor] | None = None,
        states: HiddenStates | None = None,
        blocks: EmbeddingStore | None = None,
        num_threads: int = 1,
    ) -> None:
        """Takes the parts; nothing is read yet.

        Args:
            modalities: The modalities in use, in the order of the backbone.
            store: Where embeddings are kept; in memory, if not given.
            block: Makes one vector of each embedding; without it batches have no blocks.
            states: Makes and keeps hidden states; without it batches have none.
            blocks: Where these vectors are kept, as rows of one token; in memory, if not given.
            num_threads: How many read and embed at a time, where both bear it; no result depends on it.

        Raises:
            ValueError: If the data set lacks a modality.
        """
        lacking = [modality for modality in modalities if modality not in source.modalities]
        if lacking:
            raise ValueError(
                f"the backbone reads {', '.join(modalities)}; the data has no {', '.join(lacking)}, only "
                f"{', '.join(source.modalities)}"
            )
        self.source = source
        self.modalities = tuple(modalities)
        self._embed_values = embed
        #: Which of them every sample really has.
        self.there: Bool[np.ndarray, "sample modality"] = source.there[
            :, [source.modalities.index(modality) for modality in modalities]
        ]
        #: What turned out to be unreadable, or nothing that the backbone can take.
        self.odd = OddValues(source)
        #: How long values were read and encoded, so that nobody counts it as time of rounds.
        self.encoding_seconds = 0.0
        self._store = store or EmbeddingStore()
        self._block = block
        self._states = states
        self._num_threads = num_threads
        self._blocks = blocks or EmbeddingStore()

    def batch(self, indices: Int[np.ndarray, " sample"], present: Bool[np.ndarray, "sample modality"]) -> Batch:
        """Returns samples as a batch.

        Args:
            present: Which modalities of each are there, in the order of `modalities`.

        Raises:
            DataError: If all that a sample has turns out to be unreadable.
        """
        present, found = self._embed(indices, present)
        embedded: dict[str, list[Tensor | None]] = {}
        for modality, own in zip(self.modalities, present.T, strict=True):
            known = found[modality]
            embedded[modality] = [
                known[int(index)] if there else None for index, there in zip(indices, own, strict=True)
            ]
        labels = torch.from_numpy(self.source.labels[indices])
        blocks = None if self._block is None else partial(self._blocks_of, indices, embedded)
        states = None if self._states is None else partial(self._states.of, indices, embedded)
        return Batch(embedded, torch.from_numpy(present), labels, blocks, states)

    def _blocks_of(
        self, indices: Int[np.ndarray, " sample"], embedded: Mapping[str, Sequence[Tensor | None]], modality: str
    ) -> list[Tensor | None]:
        """Returns the block of each sample that has the modality; each is computed once."""
        pairs = zip(indices, embedded[modality], strict=True)
        there = {int(index): tokens for index, tokens in pairs if tokens is not None}
        found = self._blocks.get(modality, list(there))
        new = [index for index in there if index not in found]
        if new and self._block is not None:
            parts = _parts(new)
            compute = partial(self._block, modality)
            values = ([there[index] for index in part] for part in parts)
            for part, made in zip(parts, in_order(compute, values, min(self._num_threads, len(parts))), strict=True):
                # A copy of each, or one sample that is kept would keep all of them in memory.
                rows = {index: row[None].clone() for index, row in zip(part, made, strict=True)}
                self._blocks.put(modality, rows)
                found |= rows
        # A sample may stand in a batch twice, with and without the modality.
        pairs = zip(indices, embedded[modality], strict=True)
        return [None if tokens is None else found[int(index)][0] for index, tokens in pairs]

    def try_all(self, watch: Callable[[Encoded], object] = lambda _: None) -> None:
        """Embeds every value that there is, so that what cannot be used is known before samples are divided."""
        for column in range(len(self.modalities)):
            there = np.flatnonzero(self.there[:, column])
            for start in range(0, len(there), _TRIED_AT_ONCE):
                own = there[start : start + _TRIED_AT_ONCE]
                self._embedded(column, own.tolist())
                watch(Encoded(self.modalities[column], start + len(own), len(there)))

    def usable(self, indices: Int[np.ndarray, " sample"]) -> Bool[np.ndarray, "sample modality"]:
        """Embeds all that there is of some samples, and returns which modalities of each can be used."""
        for column in range(len(self.modalities)):
            self._embedded(column, indices[self.there[indices, column]].tolist())
        return self.there[indices]

    def save(self) -> None:
        """Writes to disk what has been embedded and not written yet."""
        self._store.save()
        self._blocks.save()
        if self._states is not None:
            self._states.save()

    def _embed(
        self, indices: Int[np.ndarray, " sample"], present: Bool[np.ndarray, "sample modality"]
    ) -> tuple[Bool[np.ndarray, "sample modality"], dict[str, dict[int, Tensor]]]:
        """Returns what is present of what can be read, and its embeddings by modality and sample."""
        are_asked = present.any(axis=1)
        while True:  # until all could be read: a sample that loses its last modality falls back on what it has
            present = what_is_left(present, self.there[indices])
            lost = indices[are_asked & ~present.any(axis=1)]
            if len(lost):
                name = place_of(self.source, int(lost[0]))
                raise DataError(f"nothing of {name} can be read; take it out, or mend its files")
            wanted = [list(dict.fromkeys(indices[own].tolist())) for own in present.T]
            found = {
                modality: self._embedded(column, own)
                for column, (modality, own) in enumerate(zip(self.modalities, wanted, strict=True))
            }
            if all(len(found[modality]) == len(own) for modality, own in zip(self.modalities, wanted, strict=True)):
                return present, found

    def _embedded(self, column: int, indices: Sequence[int]) -> dict[int, Tensor]:
        """Returns the embeddings of a modality of samples, of those that can be read; computes what is not stored."""
        modality = self.modalities[column]
        found = self._store.get(modality, indices)
        new = [index for index in indices if index not in found]
        read, embed = partial(self._read, modality), partial(self._embed_values, modality)
        parts = _parts(new)
        num_threads, began = min(self._num_threads, len(parts)), time.perf_counter()
        for embedded, reasons in in_order(partial(embed_usable, read=read, embed=embed), parts, num_threads):
            self._store.put(modality, embedded)
            self.odd.add(modality, reasons)
            self.there[list(reasons), column] = False
            found |= embedded
        self.encoding_seconds += time.perf_counter() - began if new else 0.0
        return found

    def _read(self, modality: str, index: int) -> object:
        values = self.source.read(index, (modality,))
        if modality not in values:
            raise DataError("it cannot be read")
        return values[modality]


def _parts(indices: Sequence[int]) -> list[Sequence[int]]:
    return [indices[start : start + _READ_AT_ONCE] for start in range(0, len(indices), _READ_AT_ONCE)]


@dataclass(frozen=True)
class Shard:
    """The samples of one holder, and what is present of each.

    Attributes:
        likelihood: Where what is missing tells about the class, the probability of every pattern given client and class
            (an axis has size 1 where it does not matter); the best possible accuracy depends on it.
    """

    samples: EmbeddedSamples
    indices: Int[np.ndarray, " sample"]
    present: Bool[np.ndarray, "sample modality"]
    likelihood: Float[np.ndarray, "#client #label pattern"] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @classmethod
    def joined(cls, parts: Sequence["Shard"]) -> "Shard":
        """Returns the samples of several holders of one data set as those of one, in the order of the data set.

        Args:
            parts: At least one.
        """
        indices = np.concatenate([part.indices for part in parts])
        order = np.argsort(indices, kind="stable")
        return cls(parts[0].samples, indices[order], np.concatenate([part.present for part in parts])[order])

    def rows(self, rows: Int[np.ndarray, " row"]) -> "Shard":
        """Returns some of the samples."""
        return replace(self, indices=self.indices[rows], present=self.present[rows])

    def at(self, round_number: int, num_rounds: int) -> "Shard":
        """Returns the shard as it is in a round; what is present of most shards never changes."""
        del round_number, num_rounds
        return self

    def batches(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Batch]:
        """Yields all samples once, in batches; the last may be smaller.

        Args:
            rng: Shuffles the samples; without one they come in their own order.
        """
        order = np.arange(len(self)) if rng is None else rng.permutation(len(self))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            yield self.samples.batch(self.indices[rows], self.present[rows])
