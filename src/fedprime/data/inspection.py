"""What is in a data set of images and texts, and what is wrong with it: every image is opened, unlike in a run."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fedprime.data.images import InputError, read_image
from fedprime.data.sets.pairs import Pairs

__all__ = ["EXPECTED", "Inspection", "inspect"]

#: By data set, how many samples its authors count.
EXPECTED = {"food101": 90_840, "mmimdb": 25_959, "hateful_memes": 10_000}


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        samples: By split, how many samples there are.
        classes: By class or label, how many samples of each split have it.
        no_file: Ids of samples whose image file is not there or empty.
        unreadable: By id, why an image cannot be decoded.
        no_text: Ids of samples without a text.
        nothing: Ids of samples that have neither.
        same_image: Ids of samples of different splits whose files are equal.
        only_measured: Classes that no training sample has.
        expected: How many samples the data set's authors count; None where that is not known.
    """

    samples: dict[str, int]
    classes: dict[str, dict[str, int]]
    no_file: list[str]
    unreadable: dict[str, str]
    no_text: list[str]
    nothing: list[str]
    same_image: list[list[str]]
    only_measured: list[str]
    expected: int | None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong or unlike what its authors count."""
        wrong = (self.no_file, self.unreadable, self.no_text, self.nothing, self.same_image, self.only_measured)
        return not any(wrong) and self.expected in (None, sum(self.samples.values()))


def inspect(source: Pairs, expected: int | None = None, watch: Callable[[int], None] = lambda _: None) -> Inspection:
    """Opens every image of a data set and counts what is there.

    Args:
        source: The data set.
        expected: How many samples it should have.
        watch: Called with the number of images that have been opened.
    """
    split_of = {int(index): split for split, own in source.splits.items() for index in own}
    has_image, has_text = source.there[:, 0].copy(), source.there[:, 1]
    no_file = np.flatnonzero(~has_image)
    unreadable: dict[str, str] = {}
    equal: dict[bytes, list[int]] = defaultdict(list)
    for number, index in enumerate(np.flatnonzero(has_image), start=1):
        file = source.file(int(index))
        try:
            read_image(file)
            equal[hashlib.sha256(file.read_bytes()).digest()].append(int(index))
        except InputError as error:
            unreadable[source.ids[int(index)]] = str(error)
            has_image[index] = False
        watch(number)
    applies = source.labels > 0 if source.task == "several_labels" else np.eye(len(source.label_names))[source.labels]
    classes = {
        name: {split: int(applies[own, label].sum()) for split, own in source.splits.items()}
        for label, name in enumerate(source.label_names)
    }
    return Inspection(
        {split: len(own) for split, own in source.splits.items()},
        classes,
        _ids(source, no_file),
        unreadable,
        _ids(source, np.flatnonzero(~has_text)),
        _ids(source, np.flatnonzero(~has_image & ~has_text)),
        [_ids(source, same) for same in equal.values() if len({split_of[index] for index in same}) > 1],
        [name for name, counts in classes.items() if not counts["train"] and any(counts.values())],
        expected,
    )


def _ids(source: Pairs, indices: Sequence[int] | np.ndarray) -> list[str]:
    return [source.ids[int(index)] for index in indices]
