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
from fedprime.data.food101 import open_food101
from fedprime.data.hateful_memes import open_hateful_memes
from fedprime.data.inspection import EXPECTED, Inspection, inspect
from fedprime.data.mmimdb import open_mmimdb
from fedprime.data.pairs import Pairs
from fedprime.seeding import stream

__all__ = ["look_at_data"]

_USAGE = """\
usage: fedprime data check PATH --format food101|mmimdb|hateful_memes [--json]
       fedprime data show PATH --format food101|mmimdb|hateful_memes [--output FILE] [--count N] [--seed N]

check opens every image, counts what is there and says what is wrong; show draws some samples into a PNG file.

Exit code of check: 0 when all is as it should be, 1 when something is wrong that a run would cope with, 2 when the
folder cannot be used."""

Format = Literal["food101", "mmimdb", "hateful_memes"]
_OPEN: dict[Format, Callable[[Path], Pairs]] = {
    "food101": lambda path: open_food101(path, None),
    "mmimdb": lambda path: open_mmimdb(path, None, several_labels=True),
    "hateful_memes": open_hateful_memes,
}
_SHOWN = 5  # ids of each kind, before "..."


@dataclasses.dataclass(frozen=True)
class _CheckOptions:
    path: tyro.conf.Positional[Path]
    """Folder of the data set."""
    format: Format
    """Which data set it is."""
    json: bool = False
    """Print JSON, with every id, instead of text."""


@dataclasses.dataclass(frozen=True)
class _ShowOptions:
    path: tyro.conf.Positional[Path]
    """Folder of the data set."""
    format: Format
    """Which data set it is."""
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
    found = inspect(_OPEN[options.format](options.path), EXPECTED[options.format])
    print(json.dumps(dataclasses.asdict(found), indent=2) if options.json else _in_words(found))
    return 0 if found.is_sound else 1


def _show(words: list[str]) -> int:
    options = tyro.cli(_ShowOptions, args=words, prog="fedprime data show")
    if options.count < 1:
        raise DataError(f"--count is {options.count}; show at least 1 sample")
    source = _OPEN[options.format](options.path)
    chosen = stream(options.seed, "contact sheet").permutation(len(source))[: options.count]
    draw_contact_sheet(source, np.sort(chosen).tolist(), options.output)
    print(f"{len(chosen)} of {len(source)} samples are drawn in {options.output}")
    return 0


def _in_words(found: Inspection) -> str:
    total = sum(found.samples.values())
    lines = [f"{total:,} samples: " + ", ".join(f"{count:,} {split}" for split, count in found.samples.items())]
    lines += [
        f"  {name:20}" + "  ".join(f"{count:>7,} {split}" for split, count in counts.items())
        for name, counts in found.classes.items()
    ]
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


def _first(ids: list[str]) -> str:
    return ", ".join(ids[:_SHOWN]) + (", ..." if len(ids) > _SHOWN else "")
