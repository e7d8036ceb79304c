"""Samples with an image file and a text, of which either may be missing."""

import logging
import stat
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from fedprime.data.batches import Task
from fedprime.data.images import InputError, file_identity, read_image
from fedprime.data.packed_texts import PackedTexts

__all__ = ["Pairs"]

_logger = logging.getLogger(__name__)

_NO_FILE = -1  # as the size of one that is not there


class Pairs:
    """A data set of images in files and texts in memory, packed: of each sample its text, id and path.

    An image that is not there or whose file is empty is a missing modality, and so is a blank text; that is found out
    without opening images. One that cannot be decoded is missing from when it is first read.

    Attributes:
        ids: What the data set itself calls every sample.
    """

    modalities: tuple[str, ...] = ("image", "text")

    def __init__(
        self,
        name: str,
        ids: Iterable[str],
        files: Iterable[Path],
        texts: Iterable[str | None],
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
        self.task: Task = task
        self.labels, self.label_names = labels, tuple(label_names)
        self.splits: Mapping[str, Int[np.ndarray, " _"]] = dict(splits)
        self._name = name
        self.ids = PackedTexts(ids)
        self._texts = PackedTexts(" ".join((text or "").split()) for text in texts)
        self._paths, sizes = PackedTexts(), array("q")
        for file in files:
            self._paths.append(str(file))
            sizes.append(_file_size(file))
        self.sites: Int[np.ndarray, " sample"] = np.zeros(len(self), dtype=np.int64)
        has_text = np.array([bool(text) for text in self._texts], dtype=bool)
        self.there: Bool[np.ndarray, "sample modality"] = np.stack([np.array(sizes) > 0, has_text], axis=1)
        if not self.there.all():
            num_images, num_texts = self.there.sum(axis=0).tolist()
            _logger.warning(
                "%s: of %d samples, %d have no image (%d files are not there, %d are empty) and %d no text",
                *(name, len(self), len(self) - num_images, sizes.count(_NO_FILE), sizes.count(0)),
                len(self) - num_texts,
            )

    def __len__(self) -> int:
        """Returns the number of samples."""
        return len(self._paths)

    def file(self, index: int) -> Path:
        """Returns the image file of a sample; it may not be there.

        Args:
            index: Which sample.
        """
        return Path(self._paths[index])

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
                values[modality] = read_image(self.file(index))
            except InputError as error:
                _logger.warning("%s: an image counts as missing: %s", self._name, error)
        return values

    def identity(self, index: int, modality: str) -> str | None:
        """Returns what tells a raw value from all others: the text itself; of an image, what `file_identity` returns.

        Args:
            index: Which sample.
            modality: Image or text.
        """
        return self._texts[index] if modality == "text" else file_identity(self.file(index))


def _file_size(path: Path) -> int:
    try:
        found = path.stat()
    except OSError:
        return _NO_FILE
    return found.st_size if stat.S_ISREG(found.st_mode) else _NO_FILE
