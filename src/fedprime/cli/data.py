"""The verb ``data`` of the command line: what is in a folder of data, and what is wrong with it."""

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from fedprime.cli.stopping import importing
from fedprime.data.sets.registered import data_set_names
from fedprime.data.sets.table.options import TableOptions
from fedprime.reproducibility.errors import counted, printable
from fedprime.settings.data_settings import DataSettings
from fedprime.settings.problems import SettingsError, known_verb

if TYPE_CHECKING:
    from fedprime.data.batches import EmbeddedSamples
    from fedprime.data.inspection import Inspection
    from fedprime.data.sources import SampleSource

#: Data sets that lie in a folder: those that come along and those of installed packages.
FORMATS = tuple(name for name in data_set_names() if name != "builtin")

_USAGE = f"""\
usage: fedprime data check PATH [--format {"|".join(FORMATS)}] [--json]
       fedprime data show PATH [--format {"|".join(FORMATS)}] [--output FILE] [--count N] [--seed N]

check opens every file, counts what is there and says what is wrong; show draws some samples into a PNG file. Of a table
(the default), --columns, --label, --several-labels, --split, --client and --rows say which column is what, as the
settings data.columns and so on do in a run; --options says what a data set of another package can be told besides.

Exit code of check: 0 when all is as it should be, 1 when something is wrong that a run would cope with, 2 when the
folder cannot be used."""

#: A data set by name, as a flag.
Format = Annotated[str, tyro.conf.arg(metavar="|".join(FORMATS))]
#: By data set, what opens all of it, where a run takes a part.
_WHOLE = {"food101": {"num_classes": None}, "mmimdb": {"num_classes": None, "several_labels": True}}
_SHOWN = 5  # ids of each kind, before "..."
_SHOWN_CLASSES = 101


@dataclasses.dataclass(frozen=True)
class _DataOptions:
    path: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PATH")]
    """Folder of the data set; of a table also its file, or its name on the hub."""
    format: Format = "table"
    """Which data set it is."""
    options: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """What a data set of another package can be told besides, as data.options of a run."""
    table: tyro.conf.OmitArgPrefixes[TableOptions] = dataclasses.field(default_factory=TableOptions)

    def open(self) -> "SampleSource":
        """Opens what is meant; of a data set that is known by name, all classes."""
        from fedprime.settings.arguments import read_arguments
        from fedprime.settings.data_settings import data_options

        options: dict[str, str] = {}
        for word in self.options:
            name, is_value, options[name] = word.partition("=")
            if not is_value:
                raise SettingsError(f"--options has {word!r}; expected NAME=VALUE")
        given = read_arguments(options, data_options(self.format), "--options", f"the data set {self.format}")
        with importing():
            from fedprime.data.sets.registered import open_registered
            from fedprime.experiment.embedded_data import SOURCES
        if self.format == "builtin":
            raise SettingsError(f"the built-in world lies in no folder; --format is one of {', '.join(FORMATS)}")
        if self.format not in SOURCES:
            return open_registered(self.format, self.path, given)
        whole = dataclasses.asdict(self.table) if self.format == "table" else _WHOLE.get(self.format, {})
        return SOURCES[self.format](self.path, **whole)


@dataclasses.dataclass(frozen=True)
class _CheckOptions(_DataOptions):
    json: bool = False
    """Print JSON, with every id, instead of text."""
    backbone: str = ""
    """Put every value through this backbone, too, or "auto"; what it cannot take counts as missing in a run."""
    modalities: tuple[str, ...] = ()
    """With --backbone: which modalities it shall read, as data.modalities of a run."""
    validation_share: float = DataSettings.validation_share
    """Share of the training samples that a run sets apart for validation, if there is no such split."""
    test_share: float = DataSettings.test_share
    """Share of the samples that a run sets apart for the test, if there is neither."""


@dataclasses.dataclass(frozen=True)
class _ShowOptions(_DataOptions):
    output: Path = Path("samples.png")
    """The file to write."""
    count: int = 24
    """How many samples, drawn at random."""
    seed: int = 0
    """Draws other samples."""


def look_at_data(words: list[str]) -> int:
    """Checks or shows data, as asked for on a command line, and returns the exit code."""
    if not known_verb(words, ("check", "show"), "data"):
        print(_USAGE)
        return 0 if words else 2
    # Errors name settings as a run has them: whoever does as they say is understood.
    flags = [f"--{word.removeprefix('--data.')}" if word.startswith("--data.") else word for word in words[1:]]
    return _check(flags) if words[0] == "check" else _show(flags)


def _check(words: list[str]) -> int:
    options = tyro.cli(_CheckOptions, args=words, prog="fedprime data check", config=(tyro.conf.FlagCreatePairsOff,))
    source = options.open()
    from fedprime.data.inspection import EXPECTED, inspect
    from fedprime.experiment.embedded_data import with_three_splits

    embedded = _seen_through(options.backbone, options.modalities, source) if options.backbone else None
    found = inspect(source, EXPECTED.get(options.format), embedded=embedded)
    # A name may have a line break in it.
    lines = (printable(line).replace("\n", " ") for line in _in_words(found))
    print(json.dumps(dataclasses.asdict(found), indent=2) if options.json else "\n".join(lines))
    with_three_splits(source, options.validation_share, options.test_share)  # refused as by a run
    is_fine = found.is_sound and not (found.repeated or found.given_away)
    if is_fine and not options.json:
        print("nothing is wrong")
    return 0 if found.is_sound else 1


def _seen_through(reference: str, modalities: tuple[str, ...], source: "SampleSource") -> "EmbeddedSamples":
    with importing():
        from fedprime.experiment.backbone_choice import backbone_for_data
        from fedprime.experiment.embedded_data import seen_through
        from fedprime.settings.settings import Settings
    data = DataSettings(name="table", modalities=modalities)  # no built-in world: "auto" means what it means for files
    backbone, _ = backbone_for_data(replace(Settings(), backbone=reference, data=data), source, at_site=False)
    return seen_through(backbone, source)


def _show(words: list[str]) -> int:
    options = tyro.cli(_ShowOptions, args=words, prog="fedprime data show", config=(tyro.conf.FlagCreatePairsOff,))
    if options.count < 1:
        raise SettingsError(f"--count is {options.count}; show at least 1 sample")
    source = options.open()
    import numpy as np

    from fedprime.data.contact_sheet import draw_contact_sheet
    from fedprime.reproducibility.seeding import stream

    chosen = stream(options.seed, "contact sheet").permutation(len(source))[: options.count]
    draw_contact_sheet(source, np.sort(chosen).tolist(), options.output)
    print(f"{len(chosen)} of {counted(len(source), 'sample')} are drawn in {options.output}")
    return 0


def _in_words(found: "Inspection") -> list[str]:
    total = sum(found.samples.values())
    lines = [*(f"  {part}" for part in found.report.split("; ")[1:]), *_counts_in_words(found)]
    if found.readings:
        readings = list(found.readings.items())[:_SHOWN_CLASSES]
        lines += ["columns:", *(f"  {name}: {reading}" for name, reading in readings)]
    if found.expected not in (None, total):
        lines.append(f"its authors count {found.expected:,}: some are not here; a part can be trained on, too")
    if found.sites:
        lines.append("natural clients: " + _first([f"{name} {count:,}" for name, count in found.sites.items()]))
    if "test" not in found.samples:
        taken = "the validation split is taken for it" if "validation" in found.samples else "a run sets a share apart"
        lines.append(f"no test split: {taken} (data.test_share, data.validation_share)")
    lines += [
        f"{counted(len(names), 'sample')} without {modality}: {_first(names)}"
        for modality, names in found.missing.items()
    ]
    lines += [
        f"{len(names):,} of these with a file of {modality} that is not there or is empty: {_first(names)}"
        for modality, names in found.no_file.items()
    ]
    for modality, reasons in found.unreadable.items():
        lines.append(f"{len(reasons):,} with an unreadable {modality}, which counts as missing; mend the files:")
        lines += [f"  {place}: {reason}" for place, reason in list(reasons.items())[:_SHOWN]]
    copies = [" = ".join(own) for own in found.same_file]
    repeated = [" = ".join(own) for own in found.repeated]
    alike = "that differ only by case, spaces or zeros in front; write each one way"
    problems = (
        ("modality", "that no sample has, which a run would refuse; mend paths or columns", found.absent),
        ("sample", "with nothing at all, left out", found.nothing),
        ("group", "of equal samples across splits; take one of each out where it is a copy", copies),
        ("group", "of equal samples within a split; keep one of each where these are copies", repeated),
        ("input", "of which each value has one label; leave out what says the label in other words", found.given_away),
        ("group", f"of labels {alike}", found.similar_labels),
        ("group", f"of natural clients {alike}", found.similar_sites),
        ("class", "that no training sample has and that cannot be learnt", found.only_measured),
    )
    lines += [f"{counted(len(names), noun)} {what}: {_first(names)}" for noun, what, names in problems if names]
    if found.no_label:
        lines.append(f"{counted(found.no_label, 'row')} without a label: left out")
    return lines


def _counts_in_words(found: "Inspection") -> list[str]:
    total = sum(found.samples.values())
    lines = [
        f"{counted(total, 'sample')}: " + ", ".join(f"{count:,} {split}" for split, count in found.samples.items())
    ]
    shown = list(found.classes.items())[:_SHOWN_CLASSES]
    width = max((len(name) for name, _ in shown), default=0)
    lines += [
        f"  {name:{width}}" + "  ".join(f"{count:>7,} {split}" for split, count in counts.items())
        for name, counts in shown
    ]
    more = len(found.classes) - len(shown)
    return [*lines, f"  and {more} more"] if more else lines


def _first(ids: list[str]) -> str:
    return ", ".join(ids[:_SHOWN]) + (", ..." if len(ids) > _SHOWN else "")
