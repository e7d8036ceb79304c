"""The verb ``cache`` of the command line: where embeddings are kept, how many, and making room."""

import dataclasses
import json
import shutil
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import tyro

from fedprime.data.embeddings.cache_folder import (
    LIMIT_VARIABLE,
    PLACE_VARIABLE,
    UNPACKED,
    CacheError,
    CacheFolder,
    parse_bytes,
)
from fedprime.data.sets.table.copies import TABLES
from fedprime.reproducibility.errors import counted
from fedprime.settings.problems import known_verb

_USAGE = f"""\
usage: fedprime cache show [--json]
       fedprime cache prune [--to SIZE] [--unused-for DAYS] [--json]
       fedprime cache clear [--json]

What a frozen backbone makes of each sample is computed once and kept in a folder on this machine, for all later rounds
and runs. show says where, how much and of what; prune removes what was least recently used; clear removes all of it.
Nothing is lost by either: it is computed again when it is needed.

  --to SIZE          remove until this much is left, for example 5GB; the limit of the cache, if not given
  --unused-for DAYS  remove what has not been used for so many days

The environment variable {PLACE_VARIABLE} names another folder, or is "off". {LIMIT_VARIABLE}, for example 50GB,
says how large it may grow: 20 GB if not given, or half of what the disk has for it, whichever is less.

Exit code: 0 when done, 2 when the folder cannot be used."""

_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class _ShowOptions:
    json: bool = False
    """Print JSON instead of text."""


@dataclass(frozen=True)
class _PruneOptions:
    to: Annotated[str, tyro.conf.arg(metavar="SIZE")] = ""
    """Remove until this much is left, for example 5GB."""
    unused_for: Annotated[float | None, tyro.conf.arg(metavar="DAYS")] = None
    """Remove what has not been used for so many days."""
    json: bool = False
    """Print JSON instead of text."""


def manage_cache(words: list[str]) -> int:
    """Shows, prunes or clears the cache, as asked for on a command line, and returns the exit code."""
    verbs = ("show", "prune", "clear")
    is_help = "--help" in words or "-h" in words
    if is_help or not known_verb(words, verbs, "cache"):
        print(_USAGE)
        return 0 if is_help else 2
    options = tyro.cli(
        _PruneOptions if words[0] == "prune" else _ShowOptions,
        args=words[1:],
        prog=f"fedprime cache {words[0]}",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    folder = CacheFolder.of_environment()
    if folder is None:
        raise CacheError(f'{PLACE_VARIABLE} is "off": nothing is kept; unset it, or name a folder with it')
    if folder.path.exists() and not folder.path.is_dir():
        raise CacheError(f"the cache {folder.path} is a file; name a folder with {PLACE_VARIABLE}")
    if isinstance(options, _PruneOptions):
        return _remove(folder, *_what_may_stay(options, folder), options.json)
    if words[0] == "show":
        return _show(folder, options.json)
    for name in (TABLES, UNPACKED):
        shutil.rmtree(folder.path / name, ignore_errors=not (folder.path / name).exists())
    return _remove(folder, 0, 0.0, options.json)


def _what_may_stay(options: _PruneOptions, folder: CacheFolder) -> tuple[int, float]:
    limit_bytes = parse_bytes(options.to, "--to") if options.to else folder.limit_bytes()
    if options.unused_for is None:
        return limit_bytes, 0.0
    if not options.unused_for >= 0:
        raise CacheError(f"--unused-for is {options.unused_for}; expected a number of days, 0 or more")
    return limit_bytes, time.time() - options.unused_for * _SECONDS_PER_DAY


def _remove(folder: CacheFolder, limit_bytes: int, unused_since: float, as_json: bool) -> int:
    num_removed, num_bytes = folder.prune(limit_bytes, unused_since)
    if as_json:
        print(json.dumps({"folder": str(folder.path), "removed_files": num_removed, "removed_bytes": num_bytes}))
    else:
        print(f"{counted(num_removed, 'file')} removed from {folder.path}, {_size(num_bytes)}")
    return 0


def _show(folder: CacheFolder, as_json: bool) -> int:
    spaces = _spaces(folder)
    total, limit_bytes = sum(space.bytes for space in spaces), folder.limit_bytes()
    if as_json:
        found: dict[str, Any] = {"folder": str(folder.path), "bytes": total, "limit_bytes": limit_bytes}
        print(json.dumps(found | {"spaces": [dataclasses.asdict(space) for space in spaces]}, indent=2))
        return 0
    there = "" if folder.path.exists() else " (not made yet)"
    print(f"{folder.path}{there}: {_size(total)} of at most {_size(limit_bytes)}")
    if spaces:
        print(f"  {'backbone':28} {'modality':10} {'embeddings':>11} {'size':>10}  last used")
    for space in spaces:
        used = datetime.fromtimestamp(space.last_used).astimezone()
        print(
            f"  {_end_of(space.backbone):28} {space.modality:10} {space.embeddings:>11,} {_size(space.bytes):>10}  "
            f"{used:%Y-%m-%d %H:%M}"
        )
    return 0


@dataclass(frozen=True)
class _Space:
    """What is kept of one modality and backbone, as it is shown."""

    backbone: str
    modality: str
    embeddings: int
    bytes: int
    files: int
    last_used: float
    description: dict[str, str]


def _spaces(folder: CacheFolder) -> list[_Space]:
    """Returns what there is, the most recently used first."""
    from fedprime.data.embeddings.chunk_file import count_entries  # loads torch

    spaces = []
    descriptions = folder.spaces()
    chunks = folder.chunks()
    for name, description in descriptions.items():
        own = [chunk for chunk in chunks if chunk.path.parent.name == name]
        if own:
            titles = (description.get("backbone", "?"), description.get("modality", "?"))
            num_embeddings = sum(count_entries(chunk.path) for chunk in own)
            size = sum(chunk.size_bytes for chunk in own)
            last_used = max(chunk.used for chunk in own)
            spaces.append(_Space(*titles, num_embeddings, size, len(own), last_used, description))
    return sorted(spaces, key=lambda space: -space.last_used)


def _end_of(reference: str) -> str:
    """Returns a path so short that it fits its column."""
    return reference if len(reference) <= 28 else f"...{reference[-25:]}"


def _size(num_bytes: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if num_bytes >= size:
            return f"{num_bytes / size:,.1f} {unit}"
    return f"{num_bytes} bytes"
