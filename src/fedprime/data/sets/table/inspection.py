"""What is in a table, and what is wrong with it: every file that it names is opened, unlike in a run."""

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedprime.data.images import InputError
from fedprime.data.sets.table.table import Table

__all__ = ["TableInspection", "inspect_table"]


@dataclass(frozen=True)
class TableInspection:
    """What was found.

    Attributes:
        report: What was taken for what.
        samples: By split, how many samples there are.
        classes: By class or label, how many samples of each split have it.
        sites: By natural client, how many samples it has; empty where there are none.
        missing: By modality, names of samples that lack it: an empty cell, NaN, a file that is not there or is empty.
        unreadable: By modality, by name of a sample why its file cannot be read.
        nothing: Names of samples of which nothing is left.
        no_label: How many rows were left out, because they have no label.
        same_file: Names of samples of different splits whose files are equal.
        only_measured: Classes that no training sample has.
    """

    report: str
    samples: dict[str, int]
    classes: dict[str, dict[str, int]]
    sites: dict[str, int]
    missing: dict[str, list[str]]
    unreadable: dict[str, dict[str, str]]
    nothing: list[str]
    no_label: int
    same_file: list[list[str]]
    only_measured: list[str]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong; that samples lack something is not."""
        wrong = (self.unreadable, self.nothing, self.no_label, self.same_file, self.only_measured)
        return not any(wrong)


def inspect_table(table: Table, watch: Callable[[int], None] = lambda _: None) -> TableInspection:
    """Opens every file of a table and counts what is there.

    Args:
        table: The table.
        watch: Called with the number of files that have been opened.
    """
    split_of = {int(index): split for split, own in table.splits.items() for index in own}
    there = table.there.copy()
    missing = {
        modality: [table.name_of(int(index)) for index in np.flatnonzero(~there[:, column])]
        for column, modality in enumerate(table.modalities)
    }
    unreadable: dict[str, dict[str, str]] = defaultdict(dict)
    equal: dict[bytes, list[int]] = defaultdict(list)
    num_opened = 0
    for column, own in enumerate(table.columns):
        if own.kind not in ("image", "audio"):
            continue
        cells = table.cells_of(own.modality)
        for index in np.flatnonzero(there[:, column]).tolist():
            row = table.row_of(index)
            try:
                cells.read(row)
                file, _ = cells.file(row)
                equal[hashlib.sha256(file.read_bytes() if isinstance(file, Path) else file).digest()].append(index)
            except InputError as error:
                unreadable[own.modality][table.name_of(index)] = str(error)
                there[index, column] = False
            num_opened += 1
            watch(num_opened)
    classes = _count_classes(table)
    return TableInspection(
        table.report,
        {split: len(own) for split, own in table.splits.items()},
        classes,
        {name: int((table.sites == number).sum()) for number, name in enumerate(table.site_names)},
        {modality: names for modality, names in missing.items() if names},
        dict(unreadable),
        [table.name_of(int(index)) for index in np.flatnonzero(~there.any(axis=1))],
        table.num_unlabelled,
        [[table.name_of(i) for i in same] for same in equal.values() if len({split_of[i] for i in same}) > 1],
        [name for name, counts in classes.items() if not counts["train"]],
    )


def _count_classes(table: Table) -> dict[str, dict[str, int]]:
    if table.task == "several_labels":
        applies = table.labels > 0
    else:
        applies = table.labels[:, None] == np.arange(len(table.label_names))
    return {
        name: {split: int(applies[own, label].sum()) for split, own in table.splits.items()}
        for label, name in enumerate(table.label_names)
    }
