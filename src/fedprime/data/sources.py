"""What a data set is to everything else: labelled samples whose modalities are read one by one."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from fedprime.reproducibility.errors import FedprimeError

#: One class of several, or any number of labels.
Task = Literal["one_class", "several_labels"]
#: What the values of a modality are: images, texts, sounds, rows by column, or arrays of numbers.
ValueKind = Literal["image", "text", "audio", "table", "numbers"]


class DataError(FedprimeError):
    """A data set that cannot be found, read or used."""


@runtime_checkable
class SampleSource(Protocol):
    """A data set: labelled samples whose modalities are read one by one.

    Attributes:
        modalities: The modalities that samples can have.
        task: Whether one class or several labels apply to a sample.
        label_names: Name of every class or label.
        labels: The class of every sample, or for several labels 1 where a label applies.
        sites: Natural group of every sample; all are of one where the data has none.
        there: Which modalities every sample really has, in the order of `modalities`; what it lacks is never read.
        splits: The samples of ``"train"``, ``"validation"`` and ``"test"``.
    """

    modalities: tuple[str, ...]
    task: Task
    label_names: tuple[str, ...]
    labels: Int[np.ndarray, " sample"] | Float[np.ndarray, "sample label"]
    sites: Int[np.ndarray, " sample"]
    there: Bool[np.ndarray, "sample modality"]
    splits: Mapping[str, Int[np.ndarray, " _"]]

    def __len__(self) -> int: ...

    def read(self, index: int, modalities: Sequence[str]) -> dict[str, object]:
        """Returns the asked modalities of one sample, and does not touch the others.

        What turns out to be unreadable is left out, or its reader raises; it counts as missing from then on.
        """
        ...


@runtime_checkable
class KnownWorld(SampleSource, Protocol):
    """A data set whose best possible accuracy is known, because how its samples come about is."""

    def posterior(
        self,
        indices: Int[np.ndarray, " sample"],
        present: Bool[np.ndarray, "sample modality"],
        prior: Float[np.ndarray, "sample label"] | None = None,
    ) -> Float[np.ndarray, "sample label"]:
        """Returns the exact probability of every class, given what is present of each sample."""
        ...


@runtime_checkable
class IdentifiedSource(SampleSource, Protocol):
    """A data set that can tell raw values apart without reading them; embeddings of them can be kept on disk."""

    def identity(self, index: int, modality: str) -> str | None:
        """Returns what tells a raw value from all others of its modality, of any data set.

        It is another one whenever the value may be another. None if that cannot be known; then it is not kept on disk.
        """
        ...
