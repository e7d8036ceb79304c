"""Samples with an image file and a text, of which either may be missing."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from fedprime.data.batches import Task
from fedprime.data.images import InputError, file_identity, read_image

__all__ = ["Pairs"]

_logger = logging.getLogger(__name__)


class Pairs:
    """A data set of images in files and texts in memory.

    An image that is not there or whose file is empty is a missing modality, and so is a blank text; that is found out
    without opening images. One that cannot be decoded is missing from when it is first read.

    Attributes:
        files: The image file of every sample.
        ids: What the data set itself calls every sample.
    """

    modalities: tuple[str, ...] = ("image", "text")

    def __init__(
        self,
        name: str,
        ids: Sequence[str],
        files: Sequence[Path],
        texts: Sequence[str | None],
        labels: Int[np.ndarray, " sample"] | Float[np.ndarray, "sample label"],
        label_names: Sequence[str],
        splits: Mapping[str, Int[np.ndarray, " _"]],
        task: Task = "one_class",
    ) -> None:
        """Takes the samples and looks which images are there; the log counts what is missing.

        Args:
            name: Name of the data set, for messages.
            ids: What the data set calls every sample.
            files: The image file of every sample.
            texts: The text of every sample.
            labels: The class of every sample, or 1 where one of several labels applies.
            label_names: Name of every class or label.
            splits: By name, the samples.
            task: Whether one class or several labels apply.
        """
        self.ids, self.files = tuple(ids), tuple(files)
        self.task: Task = task
        self.labels, self.label_names = labels, tuple(label_names)
        self.sites: Int[np.ndarray, " sample"] = np.zeros(len(files), dtype=np.int64)
        self.splits: Mapping[str, Int[np.ndarray, " _"]] = dict(splits)
        self._name = name
        self._texts = [" ".join((text or "").split()) for text in texts]
        of_folder = {folder: _file_sizes(folder) for folder in {file.parent for file in files}}
        sizes = [of_folder[file.parent].get(file.name) for file in files]
        has_image, has_text = [bool(size) for size in sizes], [bool(text) for text in self._texts]
        self.there: Bool[np.ndarray, "sample modality"] = np.array([has_image, has_text], dtype=bool).T
        if not self.there.all():
            _logger.warning(
                "%s: of %d samples, %d have no image (%d files are not there, %d are empty) and %d no text",
                name,
                len(files),
                len(files) - sum(has_image),
                sizes.count(None),
                sizes.count(0),
                len(files) - sum(has_text),
            )

    def __len__(self) -> int:
        """Returns the number of samples."""
        return len(self.files)

    def read(self, index: int, modalities: Sequence[str]) -> dict[str, object]:
        """Returns the asked modalities of one sample, and does not touch the others.

        Args:
            index: Which sample.
            modalities: Any of image and text.

        Returns:
            By modality: the image as (height, width, 3) uint8, unless it cannot be decoded; the text, with single
            spaces.
        """
        values: dict[str, object] = {}
        for modality in modalities:
            if modality == "text":
                values[modality] = self._texts[index]
                continue
            try:
                values[modality] = read_image(self.files[index])
            except InputError as error:
                _logger.warning("%s: an image counts as missing: %s", self._name, error)
        return values

    def identity(self, index: int, modality: str) -> str | None:
        """Returns what tells a raw value from all others: the text itself; of an image, what `file_identity` returns.

        Args:
            index: Which sample.
            modality: Image or text.
        """
        return self._texts[index] if modality == "text" else file_identity(self.files[index])


def _file_sizes(folder: Path) -> dict[str, int]:
    """Returns the size of every file of a folder."""
    if not folder.is_dir():
        return {}  # none of its images is there
    with os.scandir(folder) as entries:
        return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
