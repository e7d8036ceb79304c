"""The verb ``data`` of the command line: what is in a folder of data, and what is wrong with it."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from fedprime.data.batches import DataError
from fedprime.data.contact_sheet import draw_contact_sheet
from fedprime.data.inspection import EXPECTED, Inspection, inspect
from fedprime.data.sets.food101 import open_food101
from fedprime.data.sets.hateful_memes import open_hateful_memes
from fedprime.data.sets.mmimdb import open_mmimdb
from fedprime.data.sets.pairs import Pairs
from fedprime.data.sets.table.inspection import TableInspection, inspect_table
from fedprime.data.sets.table.table import Table, TableOptions, open_table
from fedprime.reproducibility.seeding import stream

__all__ = ["look_at_data"]

_USAGE = """\
usage: fedprime data check PATH [--format table|food101|mmimdb|hateful_memes] [--json]
       fedprime data show PATH [--format table|food101|mmimdb|hateful_memes] [--output FILE] [--count N] [--seed N]

check opens every file, counts what is there and says what is wrong; show draws some samples into a PNG file. Of a table
(the default), --columns, --label, --several-labels, --split, --client and --rows say which column is what, as the
settings data.columns and so on do in a run.

Exit code of check: 0 when all is as it should be, 1 when something is wrong that a run would cope with, 2 when the
folder cannot be used."""

Format = Literal["table", "food101", "mmimdb", "hateful_memes"]
_OPEN: dict[Format, Callable[[str], Pairs]] = {
    "food101": lambda path: open_food101(path, None),
    "mmimdb": lambda path: open_mmimdb(path, None, several_labels=True),
    "hateful_memes": open_hateful_memes,
}
_SHOWN = 5  # ids of each kind, before "..."
_SHOWN_CLASSES = 101


@dataclasses.dataclass(frozen=True)
class _DataOptions:
    path: tyro.conf.Positional[str]
    """Folder of the data set; of a table also its file, or its name on the hub."""
    format: Format = "table"
    """Which data set it is."""
    columns: tuple[str, ...] = ()
    """Which column is which modality (table), as image=file_name text=title+text; none named means as found."""
    label: tuple[str, ...] = ()
    """The column of classes (table), or of several labels a column of yes or no for each."""
    several_labels: bool = False
    """Whether one column has several labels (table), as "red|round" or a list."""
    split: str = ""
    """The column with train, validation or test (table); "none" for no such column."""
    client: str = ""
    """The column of natural clients (table); "none" for no such column."""
    rows: tuple[str, ...] = ()
    """Which rows to use (table), as speaker=lucas,theo."""

    def open_table(self) -> Table:
        """Opens the table that is meant."""
        options = TableOptions(self.columns, self.label, self.several_labels, self.split, self.client, self.rows)
        return open_table(self.path, options)


@dataclasses.dataclass(frozen=True)
class _CheckOptions(_DataOptions):
    json: bool = False
    """Print JSON, with every id, instead of text."""


@dataclasses.dataclass(frozen=True)
class _ShowOptions(_DataOptions):
    output: Path = Path("samples.png")
    """The file to write."""
    count: int = 24
    """How many samples, drawn at random."""
    seed: int = 0
    """Draws other samples."""


def look_at_data(words: list[str]) -> int:
    """Checks or shows data, as asked for on a command line, and returns the exit code.

    Args:
        words: What stands after ``fedprime data``.

    Raises:
        DataError: If the folder cannot be used.
    """
    if not words or words[0] not in ("check", "show"):
        print(_USAGE)
        return 0 if words in (["-h"], ["--help"]) else 2
    return _check(words[1:]) if words[0] == "check" else _show(words[1:])


def _check(words: list[str]) -> int:
    options = tyro.cli(_CheckOptions, args=words, prog="fedprime data check", config=(tyro.conf.FlagCreatePairsOff,))
    if options.format == "table":
        found = inspect_table(options.open_table())
        words_of_it = _table_in_words(found)
    else:
        found = inspect(_OPEN[options.format](options.path), EXPECTED[options.format])
        words_of_it = _in_words(found)
    print(json.dumps(dataclasses.asdict(found), indent=2) if options.json else words_of_it)
    return 0 if found.is_sound else 1


def _show(words: list[str]) -> int:
    options = tyro.cli(_ShowOptions, args=words, prog="fedprime data show", config=(tyro.conf.FlagCreatePairsOff,))
    if options.count < 1:
        raise DataError(f"--count is {options.count}; show at least 1 sample")
    source = options.open_table() if options.format == "table" else _OPEN[options.format](options.path)
    chosen = stream(options.seed, "contact sheet").permutation(len(source))[: options.count]
    draw_contact_sheet(source, np.sort(chosen).tolist(), options.output)
    print(f"{len(chosen)} of {len(source)} samples are drawn in {options.output}")
    return 0


def _in_words(found: Inspection) -> str:
    total = sum(found.samples.values())
    lines = _counts_in_words(found)
    if found.expected is not None and found.expected != total:
        lines.append(f"its authors count {found.expected:,}: some are not here; a part can be trained on, too")
    problems = {
        "without an image file, or an empty one: the image is missing": found.no_file,
        "with an image that cannot be decoded: the image is missing; take another copy of the file": [
            *found.unreadable
        ],
        "without a text: the text is missing": found.no_text,
        "with neither: they are left out": found.nothing,
        "images that samples of several splits have: take one of each out": [" = ".join(s) for s in found.same_image],
        "classes that no training sample has: they cannot be learnt": found.only_measured,
    }
    lines += [f"{len(ids):,} {problem}: {_first(ids)}" for problem, ids in problems.items() if ids]
    return "\n".join([*lines, "nothing is wrong"] if found.is_sound else lines)


def _counts_in_words(found: Inspection | TableInspection) -> list[str]:
    total = sum(found.samples.values())
    lines = [f"{total:,} samples: " + ", ".join(f"{count:,} {split}" for split, count in found.samples.items())]
    shown = list(found.classes.items())[:_SHOWN_CLASSES]
    lines += [
        f"  {name:20}" + "  ".join(f"{count:>7,} {split}" for split, count in counts.items()) for name, counts in shown
    ]
    more = len(found.classes) - len(shown)
    return [*lines, f"  and {more} more"] if more else lines


def _table_in_words(found: TableInspection) -> str:
    lines = [*(f"  {part}" for part in found.report.split("; ")[1:]), *_counts_in_words(found)]
    if found.sites:
        lines.append("natural clients: " + _first([f"{name} {count:,}" for name, count in found.sites.items()]))
    if "test" not in found.samples:
        taken = "the validation split is taken for it" if "validation" in found.samples else "a run sets a share apart"
        lines.append(f"no test split: {taken} (data.test_share, data.validation_share)")
    lines += [f"{len(names):,} samples lack {modality}: {_first(names)}" for modality, names in found.missing.items()]
    for modality, problems in found.unreadable.items():
        lines.append(f"{len(problems):,} with an unreadable {modality}, which counts as missing; mend the files:")
        lines += [f"  {problem}" for problem in list(problems.values())[:_SHOWN]]
    problems = {
        "with nothing at all: they are left out": found.nothing,
        "files that samples of several splits have: take one of each out": [" = ".join(own) for own in found.same_file],
        "classes that no training sample has: they cannot be learnt": found.only_measured,
    }
    lines += [f"{len(names):,} {problem}: {_first(names)}" for problem, names in problems.items() if names]
    if found.no_label:
        lines.append(f"{found.no_label:,} rows without a label: they are left out")
    return "\n".join([*lines, "nothing is wrong"] if found.is_sound else lines)


def _first(ids: list[str]) -> str:
    return ", ".join(ids[:_SHOWN]) + (", ..." if len(ids) > _SHOWN else "")
