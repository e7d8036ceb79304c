"""What is in a data set, and what is wrong with it: every file that it names is opened, unlike in a run."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedprime.data.batches import SampleSource
from fedprime.data.images import InputError
from fedprime.data.sets.table.table import Table

__all__ = ["EXPECTED", "Inspection", "inspect"]

#: By data set, how many samples its authors count.
EXPECTED = {"food101": 90_840, "mmimdb": 25_959, "hateful_memes": 10_000}


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        report: What was taken for what.
        samples: By split, how many samples there are.
        classes: By class or label, how many samples of each split have it.
        sites: By natural client, how many samples it has; empty where there are none.
        missing: By modality, names of samples that lack it: an empty cell, NaN, no text, no file.
        no_file: By modality, those of them that name a file which is not there or is empty.
        unreadable: By modality, by name of a sample why its file cannot be read.
        nothing: Names of samples of which nothing is left.
        no_label: How many rows were left out, because they have no label.
        same_file: Names of samples of different splits whose files are equal.
        only_measured: Classes that no training sample has.
        expected: How many samples the data set's authors count; None where that is not known.
    """

    report: str
    samples: dict[str, int]
    classes: dict[str, dict[str, int]]
    sites: dict[str, int]
    missing: dict[str, list[str]]
    no_file: dict[str, list[str]]
    unreadable: dict[str, dict[str, str]]
    nothing: list[str]
    no_label: int
    same_file: list[list[str]]
    only_measured: list[str]
    expected: int | None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong or unlike what its authors count.

        That samples lack something is not wrong, but for a file of a data set that its authors gave out whole.
        """
        wrong = (self.unreadable, self.nothing, self.no_label, self.same_file, self.only_measured)
        if any(wrong) or self.expected is None:
            return not any(wrong)
        return not self.no_file and self.expected == sum(self.samples.values())


def inspect(
    source: SampleSource, expected: int | None = None, watch: Callable[[int], None] = lambda _: None
) -> Inspection:
    """Opens every file of a data set and counts what is there.

    Of a data set that is no table, every sample is read; samples and natural clients are then called by their numbers.

    Args:
        expected: How many samples it should have.
        watch: Called with the number of files that have been opened.
    """
    return (
        _inspect_table(source, expected, watch)
        if isinstance(source, Table)
        else _inspect_samples(source, expected, watch)
    )


def _inspect_samples(source: SampleSource, expected: int | None, watch: Callable[[int], None]) -> Inspection:
    unreadable: dict[str, dict[str, str]] = defaultdict(dict)
    nothing: list[str] = []
    for index, there in enumerate(source.there):
        names = [name for name, is_there in zip(source.modalities, there, strict=True) if is_there]
        found = source.read(index, names)
        for name in names:
            if name not in found:
                unreadable[name][str(index)] = f"{name} of sample {index} cannot be read"
        nothing += [] if found else [str(index)]
        watch(index + 1)
    classes = _count_classes(source)
    numbers, counts = np.unique(source.sites, return_counts=True)
    return Inspection(
        report="",
        samples={split: len(own) for split, own in source.splits.items()},
        classes=classes,
        sites=dict(zip(map(str, numbers.tolist()), counts.tolist(), strict=True)) if len(numbers) > 1 else {},
        missing={
            name: [str(index) for index in np.flatnonzero(~own)]
            for name, own in zip(source.modalities, source.there.T, strict=True)
            if not own.all()
        },
        no_file={},
        unreadable=dict(unreadable),
        nothing=nothing,
        no_label=0,
        same_file=[],
        only_measured=_only_measured(classes),
        expected=expected,
    )


def _inspect_table(table: Table, expected: int | None, watch: Callable[[int], None]) -> Inspection:
    def names(indices: Sequence[int] | np.ndarray) -> list[str]:
        return [table.name_of(int(index)) for index in indices]

    def lacking(lacks: dict[str, np.ndarray]) -> dict[str, list[str]]:
        return {modality: names(np.flatnonzero(own)) for modality, own in lacks.items() if own.any()}

    rows = np.array([table.row_of(index) for index in range(len(table))])
    lost = {modality: table.cells_of(modality).lost[rows] for modality in table.modalities}
    is_there, unreadable, equal = _open_files(table, watch)
    split_of = {int(index): split for split, own in table.splits.items() for index in own}
    classes = _count_classes(table)
    return Inspection(
        table.report,
        {split: len(own) for split, own in table.splits.items()},
        classes,
        {name: int((table.sites == number).sum()) for number, name in enumerate(table.site_names)},
        lacking(dict(zip(table.modalities, ~table.there.T, strict=True))),
        lacking(lost),
        unreadable,
        names(np.flatnonzero(~is_there.any(axis=1))),
        table.num_unlabelled,
        [names(same) for same in equal if len({split_of[index] for index in same}) > 1],
        _only_measured(classes),
        expected,
    )


def _open_files(
    table: Table, watch: Callable[[int], None]
) -> tuple[np.ndarray, dict[str, dict[str, str]], list[list[int]]]:
    """Returns what of each sample can be read, what cannot and why, and samples whose files are equal."""
    is_there, num_opened = table.there.copy(), 0
    unreadable: dict[str, dict[str, str]] = defaultdict(dict)
    equal: dict[bytes, list[int]] = defaultdict(list)
    for column, own in enumerate(table.columns):
        if own.kind not in ("image", "audio"):
            continue
        cells = table.cells_of(own.modality)
        for index in np.flatnonzero(is_there[:, column]).tolist():
            row = table.row_of(index)
            try:
                cells.read(row)
                file, _ = cells.file(row)
                equal[hashlib.sha256(file.read_bytes() if isinstance(file, Path) else file).digest()].append(index)
            except InputError as error:
                unreadable[own.modality][table.name_of(index)] = str(error)
                is_there[index, column] = False
            num_opened += 1
            watch(num_opened)
    return is_there, dict(unreadable), list(equal.values())


def _count_classes(source: SampleSource) -> dict[str, dict[str, int]]:
    if source.task == "several_labels":
        applies = source.labels > 0
    else:
        applies = source.labels[:, None] == np.arange(len(source.label_names))
    return {
        name: {split: int(applies[own, label].sum()) for split, own in source.splits.items()}
        for label, name in enumerate(source.label_names)
    }


def _only_measured(classes: Mapping[str, Mapping[str, int]]) -> list[str]:
    return [name for name, counts in classes.items() if not counts["train"] and any(counts.values())]
