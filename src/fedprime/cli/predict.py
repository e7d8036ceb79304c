"""The verb ``predict`` of the command line: labels for one sample, or for the rows of a table."""

import csv
import dataclasses
import itertools
import sys
from collections.abc import Iterable, Iterator
from io import TextIOBase, TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import tyro

from fedprime.cli.stopping import importing
from fedprime.reproducibility.atomic_files import replaced_file
from fedprime.reproducibility.errors import FedprimeError, counted, nearest_name
from fedprime.reproducibility.strict_json import JsonError, dump_json, parse_json
from fedprime.settings.problems import SettingsError

if TYPE_CHECKING:
    from fedprime.models.priors import Prior
    from fedprime.models.prompted_model import PromptedModel

_AT_ONCE = 256  # rows whose embeddings are in memory
#: Of torch, as of a run by default, whose cached embeddings are those of as many; cores read and embed side by side.
_THREADS = 1

#: A row of a table: its number from 1, its name, and what was predicted; None if nothing of it is there.
_Row = tuple[int, str | None, dict[str, Any] | None]


@dataclasses.dataclass(frozen=True)
class _PredictOptions:
    run: tyro.conf.Positional[Path]
    """Folder of a finished run or of a saved model, or the name of a model on the hub (OWNER/NAME)."""
    image: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """An image file."""
    text: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None
    """A text."""
    audio: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A sound file."""
    readings: Annotated[tuple[float, ...] | None, tyro.conf.arg(metavar="NUMBER ...")] = None
    """A row of numbers."""
    values: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """Modalities of any name: photo=a.jpg note="a text" 'price={"cost": 3.5}'."""
    table: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """A folder with metadata.csv, .jsonl or .parquet, such a file, or a data set of the library datasets: as data.path
    of a run. Its columns are those that the run was trained on, or are called as modalities are: paths, texts, numbers
    with spaces. Holes and unreadable files are missing."""
    columns: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=COLUMN ...")] = ()
    """With --table: which column is which modality, if they are called otherwise than in the run."""
    encoding: str = ""
    """With --table: of a CSV file, as utf-8, cp1252; found out, if not named."""
    delimiter: str = ""
    """With --table: what stands between cells of a CSV file, one character or "tab"; found out, if not named."""
    prior: Annotated[str, tyro.conf.arg(metavar="PRIOR")] = "train"
    """How frequent labels are where the samples come from: as in training (train), equally (uniform), as these samples
    themselves tell (estimate, with --table), or a JSON file {"label": number, ...}."""
    backbone: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """Where the frozen model lies now, if not where the run found it; another one is refused."""
    watch: bool = False
    """Keep the model in memory, and answer every line of standard input, a JSON object such as
    {"image": "a.jpg", "text": "a note"}, by a line with the probability of every label, or with what is wrong."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write to this file instead of printing."""
    json: bool = False
    """One JSON object per sample, with the probability of every label, instead of CSV."""


def predict_labels(words: list[str]) -> int:
    """Predicts from any subset of modalities; returns the exit code: 1 if nothing is there of some row of a table."""
    # What tables in CSV were once named by.
    words = [f"--table{word.removeprefix('--csv')}" if word.split("=")[0] == "--csv" else word for word in words]
    options = tyro.cli(_PredictOptions, args=words, prog="fedprime predict", config=(tyro.conf.FlagCreatePairsOff,))
    given = {
        name: value for name in ("image", "text", "audio", "readings") if (value := getattr(options, name)) is not None
    }
    _refuse_what_does_not_go_together(options, given)
    prior = _read_prior(options.prior)
    with importing():
        from fedprime.reproducibility.determinism import reproducible
    with reproducible(_THREADS):
        return _predict(options, given, prior)


def _predict(options: _PredictOptions, given: dict[str, Any], prior: "Prior") -> int:
    with importing():
        from fedprime.data.images import InputError
        from fedprime.models.prediction import predict_samples
    model = _load_model(options.run, options.backbone)
    if options.watch:
        _answer_lines(model, prior)
        return 0
    if options.table is not None:
        rows = _rows_of_table(model, options, prior)
        rows = itertools.chain(list(itertools.islice(rows, 1)), rows)  # what is wrong with the table is told first
    else:
        (found,) = predict_samples(
            model, [_read_given(given) | _read_named(options.values, model)], ["this sample"], prior
        )
        if found["label"] is None:
            raise InputError("nothing of this sample can be used (see above); give something else")
        rows = [(1, None, found)]
    if options.output is None:
        num_empty = _write(
            rows, cast("TextIOBase", sys.stdout), as_json=options.json, have_names=options.table is not None
        )
    else:
        with replaced_file(options.output) as beside, beside.open("w", newline="", encoding="utf-8") as file:
            num_empty = _write(rows, file, as_json=options.json, have_names=options.table is not None)
        print(f"predictions: {options.output}", file=sys.stderr)
    if num_empty:
        print(
            f"fedprime: {counted(num_empty, 'row')} without a prediction, with nothing to predict from", file=sys.stderr
        )
    return 1 if num_empty else 0


def _refuse_what_does_not_go_together(options: _PredictOptions, given: object) -> None:
    if options.watch and (given or options.values or options.table is not None or options.output is not None):
        raise SettingsError(
            "--watch reads standard input and writes standard output; leave out samples, --table and --output"
        )
    if not options.watch and (options.table is not None) == bool(given or options.values):
        sample = "--image FILE, --text TEXT, --audio FILE, --readings NUMBERS, --values NAME=VALUE, any of them"
        raise SettingsError(f"give a sample ({sample}), or --table FILE or FOLDER, not both")
    if (options.columns or options.encoding or options.delimiter) and options.table is None:
        raise SettingsError("--columns, --encoding and --delimiter go with --table")
    if options.prior == "estimate" and options.table is None:
        raise SettingsError("--prior estimate needs many samples; it goes with --table")
    if options.output is not None and options.output.is_dir():  # told before all is predicted
        raise SettingsError(f"--output {options.output} is a folder; name a file")


def _read_prior(word: str) -> "Prior":
    if word in ("train", "uniform", "estimate"):
        return word
    expected = 'train, uniform, estimate, or a JSON file like {"yes": 3, "no": 1}'
    try:
        found = parse_json(Path(word).read_bytes())
    except OSError as error:
        hint = nearest_name(word, ("train", "uniform", "estimate"))
        raise SettingsError(f"--prior is {word!r}: {error.strerror}; expected {expected}{hint}") from error
    except JsonError as error:
        raise SettingsError(f"--prior: {word}: {error}; expected {expected}") from error
    if not isinstance(found, dict) or not all(type(value) in (int, float) for value in found.values()):
        raise SettingsError(f"--prior: {word} holds no number for each label; expected {expected}")
    return found


def _load_model(folder: Path, backbone: str | None) -> "PromptedModel":
    from fedprime.experiment.run_folder import RunFolder
    from fedprime.models.prompted_model import PromptedModel

    if (folder / "settings.toml").exists():
        RunFolder(folder).results()  # says so if the run is not finished
    return PromptedModel.from_pretrained(folder, backbone, device="auto")


def _read_given(given: dict[str, Any]) -> dict[str, object]:
    from fedprime.data.sets.table.cells import read_value

    return {name: read_value(str(own), name) if name in ("image", "audio") else own for name, own in given.items()}


def _read_named(words: Iterable[str], model: "PromptedModel") -> dict[str, object]:
    from fedprime.data.images import InputError
    from fedprime.data.sets.table.cells import read_value

    kinds, values = model.backbone.kinds, {}
    for word in words:
        name, is_value, value = word.partition("=")
        if not is_value or name not in kinds:
            raise InputError(f"--values has {word!r}; expected NAME=VALUE, with a name of {', '.join(kinds)}")
        values[name] = read_value(value, kinds[name])
    return values


def _answer_lines(model: "PromptedModel", prior: "Prior") -> None:
    """Answers each line of standard input by one of standard output, until there are no more."""
    from fedprime.models.prediction import predict_samples

    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")  # a bad line is to cost that line
    for number, line in enumerate(sys.stdin, start=1):
        try:
            (found,) = predict_samples(model, [_read_line(line, model)], [f"line {number}"], prior)
            if found["label"] is None:
                found = {"error": "nothing of this sample can be used; see the log"}
        except (FedprimeError, JsonError) as error:
            found = {"error": str(error)}
        print(dump_json({"row": number} | found), flush=True)


def _read_line(line: str, model: "PromptedModel") -> dict[str, object]:
    from fedprime.data.images import InputError
    from fedprime.data.sets.table.cells import read_value

    given, kinds = parse_json(line.encode(errors="surrogateescape")), model.backbone.kinds
    if not isinstance(given, dict):
        raise InputError(f"found {line.strip()[:80]!r}; expected an object with any of {', '.join(kinds)}")
    return {
        name: read_value(own, kinds[name]) if isinstance(own, str) and name in kinds else own
        for name, own in given.items()
    }


def _rows_of_table(model: "PromptedModel", options: _PredictOptions, prior: "Prior") -> Iterator[_Row]:
    """Yields the rows of a table with what is predicted for each; an estimate needs all of them first."""
    if prior != "estimate":
        yield from _predicted_rows(model, options, prior)
        return
    from fedprime.models.prediction import with_prior

    rows = list(_predicted_rows(model, options, "train"))
    told = iter(with_prior(model, [found for _, _, found in rows if found is not None], prior))
    for number, name, found in rows:
        yield number, name, None if found is None else next(told)


def _predicted_rows(model: "PromptedModel", options: _PredictOptions, prior: "Prior") -> Iterator[_Row]:
    import numpy as np

    from fedprime.data.odd_values import OddValues
    from fedprime.data.sets.table.csv_format import CsvOptions
    from fedprime.data.sets.table.files import open_parts
    from fedprime.data.sets.table.rows import unlabelled_rows
    from fedprime.experiment.embedded_data import seen_through
    from fedprime.experiment.run_folder import RunFolder
    from fedprime.models.prediction import predict_rows, with_prior
    from fedprime.settings.data_settings import DataSettings
    from fedprime.settings.reading import read_saved_settings

    data = DataSettings()
    if (options.run / "settings.toml").exists():
        data = read_saved_settings(RunFolder(options.run).verified("settings.toml")).data
    about = model.about
    label = data.label or tuple(about.get("labels", ())) or ("label",)
    trained = about.get("columns") or data.columns  # a model says in full what settings may call *
    csv = CsvOptions(data.encoding, data.delimiter, are_usual=True)
    if options.encoding or options.delimiter:
        csv = CsvOptions(options.encoding, options.delimiter)
    table = str(options.table)
    parts = open_parts(table, csv)
    rows = unlabelled_rows(parts, table, options.columns, model.backbone.kinds, label, trained, about)
    samples = seen_through(model.backbone, rows)
    samples.odd = OddValues(rows, num_named=len(rows))
    for start in range(0, len(rows), _AT_ONCE):
        numbers = np.arange(start, min(start + _AT_ONCE, len(rows)))
        predictions = predict_rows(model, samples, numbers)
        told = predictions if prior == "train" else with_prior(model, predictions, prior)
        for number, found in zip(numbers.tolist(), told, strict=True):
            yield number + 1, rows.name_of(number), found if found["present"] else None
    samples.save()


def _write(rows: Iterable[_Row], file: TextIOBase, *, as_json: bool, have_names: bool) -> int:
    """Writes predictions, and returns how many rows have none."""
    writer = csv.writer(file, lineterminator="\n")
    num_empty = 0
    if not as_json:
        writer.writerow(["row", *(["name"] if have_names else []), "label", "probability", "present"])
    for number, name, found in rows:
        num_empty += found is None
        named = {} if name is None else {"name": name}
        if as_json:
            nothing = {"label": None, "probabilities": {}, "present": []}
            file.write(dump_json({"row": number} | named | (nothing if found is None else found)) + "\n")
        else:
            writer.writerow([number, *named.values(), *_in_cells(found)])
    return num_empty


def _in_cells(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["", "", ""]
    best = found["label"]
    label = "|".join(found["labels"]) if "labels" in found else best
    return [label, f"{found['probabilities'][best]:.4f}", "+".join(found["present"])]
