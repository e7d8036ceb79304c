"""Samples with an image file and a text each, listed by the reader of a data set, as a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from fedprime.data.sets.table.cells import Cells
from fedprime.data.sets.table.columns import Form, ModalityColumns
from fedprime.data.sets.table.half_characters import whole
from fedprime.data.sets.table.labels import Labels
from fedprime.data.sets.table.parts import Part
from fedprime.data.sets.table.table import Table
from fedprime.data.splits import SPLITS, most_frequent, without_repeats

_FORMS: dict[str, Form] = {"file_name": "image", "text": "text"}


class Pair(NamedTuple):
    """What a data set says of a sample.

    Attributes:
        split: One of `SPLITS`.
        name: What the data set calls it; of those that are called alike, one is used.
        file: Of its image, relative to the folder of the data set; it need not be there.
        text: May be blank.
        labels: Names of its class, or of any number of labels.
    """

    split: str
    name: str
    file: str
    text: str | None
    labels: Sequence[str]


def open_pairs(
    name: str,
    folder: Path,
    pairs: Sequence[Pair],
    label_names: Sequence[str] = (),
    num_classes: int | None = None,
    *,
    several_labels: bool = False,
) -> Table:
    """Returns a data set of images and texts; no image is opened.

    Args:
        name: Of the data set, for messages.
        label_names: Name of every class or label; none means the most frequent classes of all splits, by name.
        num_classes: How many classes are used where they are not named; None for all.
        several_labels: Whether any number of labels applies to a sample.

    Raises:
        DataError: If there are fewer classes.
    """
    names = {split: [own.name for own in pairs if own.split == split] for split in SPLITS}
    names = without_repeats({split: own for split, own in names.items() if own}, str(folder))
    first = {(own.split, own.name): own for own in reversed(pairs)}
    kept = [first[split, own] for split, listed in names.items() for own in listed]
    if not label_names:
        label_names = sorted(most_frequent([own.labels[0] for own in kept], num_classes, str(folder)))
        kept = [own for own in kept if own.labels[0] in label_names]
    applies = np.array([[label in own.labels for label in label_names] for own in kept], dtype=np.float32)
    labels = Labels(
        "several_labels" if several_labels else "one_class",
        ("label",),
        tuple(label_names),
        applies if several_labels else applies.argmax(axis=1),
        np.ones(len(kept), dtype=bool),
    )
    listed = {"file_name": [whole(own.file) for own in kept], "text": [whole(own.text or "") for own in kept]}
    parts = [Part(pa.table(listed, pa.schema(dict.fromkeys(listed, pa.large_string()))), None, folder, name)]
    columns = [ModalityColumns("image", "image", ("file_name",)), ModalityColumns("text", "text", ("text",))]
    splits = {split: np.flatnonzero([own.split == split for own in kept]) for split in names}
    no_sites = (np.zeros(len(kept), dtype=np.int64), ())
    cells = [Cells(own, parts, _FORMS) for own in columns]
    return Table(name, cells, _FORMS, labels, np.arange(len(kept)), no_sites, splits)
