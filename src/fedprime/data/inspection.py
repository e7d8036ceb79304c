"""What is in a data set, and what is wrong with it: every value is read, and told by name if it cannot be."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from fedprime.data.batches import EmbeddedSamples
from fedprime.data.sets.table.table import Table
from fedprime.data.sources import SampleSource

#: By data set, how many samples its authors count.
EXPECTED = {"food101": 90_840, "mmimdb": 25_959, "hateful_memes": 10_000}
#: Of a column that gives the label away: its rows, and how many of them have each value, on average.
_LEAST, _EACH = 20, 3


@dataclass(frozen=True, kw_only=True)
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
        same_file: Names of samples of different splits that have the same file, or are the same altogether.
        only_measured: Classes that no training sample has.
        expected: How many samples the data set's authors count; None where that is not known.
        absent: Modalities that no sample has.
        repeated: Names of samples of one split that have the same file, or are the same altogether.
        similar_labels: Classes or labels that differ only by case, spaces or zeros in front.
        similar_sites: Natural clients likewise.
        given_away: Inputs that tell the label of every row, as `GivenAway` finds them.
        readings: By column, what its cells are taken for.
    """

    report: str = ""
    samples: dict[str, int]
    classes: dict[str, dict[str, int]]
    sites: dict[str, int]
    missing: dict[str, list[str]]
    no_file: dict[str, list[str]] = field(default_factory=dict)
    unreadable: dict[str, dict[str, str]]
    nothing: list[str]
    no_label: int = 0
    same_file: list[list[str]] = field(default_factory=list)
    only_measured: list[str]
    expected: int | None
    absent: list[str]
    repeated: list[list[str]] = field(default_factory=list)
    similar_labels: list[str]
    similar_sites: list[str] = field(default_factory=list)
    given_away: list[str] = field(default_factory=list)
    readings: dict[str, str] = field(default_factory=dict)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong or unlike what its authors count.

        That samples lack something is not wrong, but for a file of a data set that its authors gave out whole.
        """
        wrong = (self.unreadable, self.nothing, self.no_label, self.same_file, self.only_measured)
        wrong += (self.absent, self.similar_labels, self.similar_sites)
        if any(wrong) or self.expected is None:
            return not any(wrong)
        return not self.no_file and self.expected == sum(self.samples.values())


def inspect(
    source: SampleSource,
    expected: int | None = None,
    embedded: EmbeddedSamples | None = None,
) -> Inspection:
    """Reads every value of a data set and counts what is there.

    Of a data set that is no table, samples and natural clients are called by their numbers.

    Args:
        expected: How many samples it should have.
        embedded: The same data seen through a backbone, which every value is then put through.
    """
    classes = _count_classes(source)
    found = partial(
        Inspection,
        samples={split: len(own) for split, own in source.splits.items()},
        classes=classes,
        only_measured=[name for name, own in classes.items() if not own["train"] and any(own.values())],
        expected=expected,
        similar_labels=_similar(source.label_names),
    )
    if isinstance(source, Table):
        return _inspect_table(source, embedded, found)
    return _inspect_samples(source, embedded, found)


def _inspect_samples(
    source: SampleSource, embedded: EmbeddedSamples | None, found_so_far: Callable[..., Inspection]
) -> Inspection:
    unreadable: dict[str, dict[str, str]] = defaultdict(dict)
    nothing: list[str] = []
    for index, there in enumerate(source.there):
        names = [name for name, is_there in zip(source.modalities, there, strict=True) if is_there]
        found: Mapping[str, object] = {}
        for name in names:
            reason = f"{name} of sample {index} cannot be read"
            try:
                found = {**found, **source.read(index, (name,))}
            except Exception as error:  # of whatever library decodes it
                reason = " ".join(str(error).split()) or type(error).__name__
            if name not in found:
                unreadable[name][str(index)] = reason
        nothing += [] if found else [str(index)]
    if embedded is not None:
        embedded.try_all()
        for name, reasons in embedded.odd.reasons.items():
            unreadable[name] |= {str(index): reason for index, reason in reasons.items()}
    numbers, counts = np.unique(source.sites, return_counts=True)
    return found_so_far(
        sites=dict(zip(map(str, numbers.tolist()), counts.tolist(), strict=True)) if len(numbers) > 1 else {},
        missing={
            name: [str(index) for index in np.flatnonzero(~own)]
            for name, own in zip(source.modalities, source.there.T, strict=True)
            if not own.all()
        },
        unreadable=dict(unreadable),
        nothing=nothing,
        absent=[name for name, own in zip(source.modalities, source.there.T, strict=True) if not own.any()],
    )


def _inspect_table(
    table: Table, embedded: EmbeddedSamples | None, found_so_far: Callable[..., Inspection]
) -> Inspection:
    def names(indices: Sequence[int] | np.ndarray) -> list[str]:
        return [table.name_of(int(index)) for index in indices]

    def lacking(lacks: dict[str, np.ndarray]) -> dict[str, list[str]]:
        return {modality: names(np.flatnonzero(own)) for modality, own in lacks.items() if own.any()}

    rows = np.array([table.row_of(index) for index in range(len(table))])
    lost = {modality: table.cells_of(modality).lost[rows] for modality in table.modalities}
    opened = _open_all(table, embedded)
    split_of = {int(index): split for split, own in table.splits.items() for index in own}
    equal = opened.files + [same for same in opened.rows if same not in opened.files]
    crossing = [same for same in equal if len({split_of[index] for index in same}) > 1]
    return found_so_far(
        report=table.report,
        sites={name: int((table.sites == number).sum()) for number, name in enumerate(table.site_names)},
        similar_sites=_similar(table.site_names),
        missing=lacking(dict(zip(table.modalities, ~table.there.T, strict=True))),
        no_file=lacking(lost),
        unreadable=opened.unreadable,
        nothing=names(np.flatnonzero(~opened.there.any(axis=1))),
        no_label=table.num_unlabelled,
        same_file=[names(same) for same in crossing],
        absent=[own for own, column in zip(table.modalities, opened.there.T, strict=True) if not column.any()],
        repeated=[names(same) for same in equal if same not in crossing],
        given_away=opened.given_away,
        readings=table.readings,
    )


@dataclass(frozen=True)
class _Opened:
    """What came of reading every value."""

    there: np.ndarray
    unreadable: dict[str, dict[str, str]]
    files: list[list[int]]
    rows: list[list[int]]
    given_away: list[str]


def _open_all(table: Table, embedded: EmbeddedSamples | None) -> _Opened:
    """Reads every value, puts it through a backbone if there is one, and finds equal files and equal rows."""
    there = table.there.copy()
    unreadable: dict[str, dict[str, str]] = defaultdict(dict)
    same_file: dict[bytes, list[int]] = defaultdict(list)
    contents: list[list[bytes]] = [[np.asarray(label).tobytes()] for label in table.labels]
    given_away = GivenAway()
    for column, own in enumerate(table.columns):
        for index in np.flatnonzero(there[:, column]).tolist():
            try:
                digest, value = _digest(table, own.modality, index)
            except Exception as error:  # of whatever library decodes it
                said = " ".join(str(error).split()) or type(error).__name__
                unreadable[own.modality][table.name_of(index)] = _with_row(table, index, said)
                there[index, column] = False
            else:
                contents[index].append(digest)
                if isinstance(value, Mapping) and own.kind == "table" and table.task == "one_class":
                    given_away.see(value, int(table.labels[index]))
                if own.kind in ("image", "audio"):
                    same_file[digest].append(index)
    if embedded is not None:
        _put_through(embedded, table, there, unreadable)
    same_row: dict[bytes, list[int]] = defaultdict(list)
    for index in np.flatnonzero(there.any(axis=1)).tolist():
        same_row[b" ".join(contents[index])].append(index)
    files, equal = ([own for own in groups.values() if len(own) > 1] for groups in (same_file, same_row))
    return _Opened(there, dict(unreadable), files, equal, given_away.columns())


def _put_through(
    embedded: EmbeddedSamples, table: Table, there: np.ndarray, unreadable: dict[str, dict[str, str]]
) -> None:
    for number, modality in enumerate(embedded.modalities):
        embedded.there[:, number] &= there[:, table.modalities.index(modality)]
    embedded.try_all()
    for modality, reasons in embedded.odd.reasons.items():
        unreadable[modality] |= {table.name_of(index): _with_row(table, index, own) for index, own in reasons.items()}
    for number, modality in enumerate(embedded.modalities):
        there[:, table.modalities.index(modality)] &= embedded.there[:, number]


def _with_row(table: Table, index: int, reason: str) -> str:
    """Returns a reason with the row before it, unless the sample is called by its row."""
    row = f"row {table.row_of(index) + 1}"
    return reason if table.name_of(index) == row else f"{row}: {reason}"


def _digest(table: Table, modality: str, index: int) -> tuple[bytes, object]:
    """Reads a value, and returns what tells it from others, and it."""
    cells, row = table.cells_of(modality), table.row_of(index)
    value = cells.read(row)
    if cells.own.kind not in ("image", "audio"):
        return hashlib.sha256(repr(value).encode()).digest(), value
    file, _ = cells.file(row)
    return hashlib.sha256(file.read_bytes() if isinstance(file, Path) else file).digest(), value


def _similar(names: Sequence[str]) -> list[str]:
    """Returns labels that differ only by case, spaces or zeros in front, those of each kind together."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        word = "".join(name.split()).casefold()
        alike[str(int(word)) if word.isascii() and word.isdecimal() and len(word) < 20 else word].append(name)
    return [" = ".join(repr(name) for name in own) for own in alike.values() if len(own) > 1]


def _count_classes(source: SampleSource) -> dict[str, dict[str, int]]:
    if source.task == "several_labels":
        applies = source.labels > 0
    else:
        applies = source.labels[:, None] == np.arange(len(source.label_names))
    return {
        name: {split: int(applies[own, label].sum()) for split, own in source.splits.items()}
        for label, name in enumerate(source.label_names)
    }


class GivenAway:
    """Which columns of numbers and categories tell the label of every row, found out row by row."""

    def __init__(self) -> None:
        self._label_of: dict[str, dict[object, int]] = defaultdict(dict)
        self._filled: Counter[str] = Counter()
        self._others: set[str] = set()

    def see(self, cells: Mapping[str, object], label: int) -> None:
        """Takes a row into account."""
        for name, cell in cells.items():
            if name not in self._others:
                self._filled[name] += 1
                if self._label_of[name].setdefault(cell, label) != label:
                    self._others.add(name)
                    del self._label_of[name]

    def columns(self) -> list[str]:
        """Returns those that give it away, in the order they were seen in."""
        return [
            name
            for name, labels in self._label_of.items()
            if self._filled[name] >= max(_LEAST, _EACH * len(labels)) and len(set(labels.values())) > 1
        ]
