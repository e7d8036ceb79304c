"""The command line: run, evaluate, predict, recipes."""

import csv
import json
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from fedprime import run
from fedprime.backbones.backbone import BackboneError
from fedprime.checkpoints import RunError, RunFolder
from fedprime.config import Settings, SettingsError, nearest_name, read_settings
from fedprime.model import ModelError, PromptedModel
from fedprime.prediction import InputError, predict_samples, read_image, read_table
from fedprime.recipes import find_recipe, list_recipes
from fedprime.report import scenario_table

__all__ = ["main"]

_USER_ERRORS = (SettingsError, RunError, BackboneError, ModelError, InputError, PermissionError)
_INTERRUPTED = 128 + signal.SIGINT
_NOBODY_READS = 128 + signal.SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 2 wrong input, 130 stopped by Ctrl-C.

    Args:
        arguments: The words after the program's name; those of this process when not given.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _log_to_stderr()
    verbs: dict[str, tuple[Callable[[list[str]], int], str]] = {
        "run": (_run, "train: fedprime run RECIPE [--training.rounds 50 ...], or --resume RUN"),
        "evaluate": (_evaluate, "measure a finished run's model on every test scenario again"),
        "predict": (_predict, "predict from any subset of modalities, or for the rows of a CSV file"),
        "recipes": (_recipes, "list the recipes that come along, or show one"),
    }
    if not words or words[0] in ("-h", "--help"):
        print("Federated prompt-tuning of frozen multimodal models when clients' data is incomplete.\n")
        print("usage: fedprime VERB ...   (fedprime VERB --help explains a verb)\n")
        print("\n".join(f"  {name:10}{summary}" for name, (_, summary) in verbs.items()))
        return 0 if words else 2
    if words[0] == "--version":
        from importlib.metadata import version

        print(version("fedprime"))
        return 0
    if words[0] not in verbs:
        return _fail(f"{words[0]!r} is not a verb of fedprime: {', '.join(verbs)}{nearest_name(words[0], verbs)}")
    try:
        return verbs[words[0]][0](words[1:])
    except _USER_ERRORS as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing is wrong. The interpreter would complain when it flushes
        # at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(f"{error}; free space, check permissions, or name another file or folder")


def _log_to_stderr() -> None:
    # Our own log only: libraries say what matters by their errors, and the hub's library would report every retry.
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.getLogger("fedprime").handlers = [handler]
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def _fail(message: str) -> int:
    print(f"fedprime: {message}", file=sys.stderr)
    return 2


def _run(words: list[str]) -> int:
    recipe = words.pop(0) if words and not words[0].startswith("-") else None
    if "--help" in words or "-h" in words:
        settings = read_settings(find_recipe(recipe)) if recipe else Settings()
        print(
            "RECIPE is a TOML file or the name of a recipe (fedprime recipes list); flags set settings over it.\n"
            "--output FOLDER names the run folder; fedprime run --resume RUN continues a run.\n"
        )
        tyro.cli(Settings, args=["--help"], default=settings, prog="fedprime run RECIPE [--output FOLDER]")
    folder = _take(words, "--output")
    resumed = _take(words, "--resume")
    if resumed is not None:
        if recipe or words or folder:
            extra = " ".join([*filter(None, [recipe]), *words, *(["--output"] if folder else [])])
            raise SettingsError([f"--resume continues a run with its own settings; leave out {extra}"])
        path = Path(resumed)
        with _live_display() as watch, _interruptible(path):
            results = run.resume_run(path, watch)
    else:
        named = next((word for word in words if word.endswith(".toml")), None)
        if recipe is None and named:
            raise SettingsError([f"the recipe comes first: fedprime run {named} --training.rounds 50 ..."])
        if recipe is None:
            raise SettingsError(
                ["name a recipe, for example: fedprime run builtin/quickstart; `fedprime recipes list` shows all"]
            )
        settings = read_settings(find_recipe(recipe), words)
        path = Path(folder) if folder else Path("runs") / f"{Path(recipe).stem}-{datetime.now():%Y%m%d-%H%M%S}"
        with _live_display() as watch, _interruptible(path):
            results = run.start_run(settings, path, watch)
    console = Console()
    console.print(scenario_table(results))
    sent = results["bytes_down"] + results["bytes_up"]
    console.print(
        f"{results['seconds']:.0f} s for {results['rounds']} round(s), {_megabytes(sent)} sent, "
        f"{results['trained_values']:,} values trained",
        highlight=False,
    )
    print(f"run folder: {path}")
    return 0


@dataclass(frozen=True)
class _EvaluateOptions:
    run: tyro.conf.Positional[Path]
    """Folder of a finished run."""
    json: bool = False
    """Print JSON instead of a table."""


def _evaluate(words: list[str]) -> int:
    """Measures a finished run's model on every test scenario again."""
    options = tyro.cli(_EvaluateOptions, args=words, prog="fedprime evaluate", config=(tyro.conf.FlagCreatePairsOff,))
    folder = RunFolder(options.run)
    results = folder.results()
    experiment = run.load_experiment(folder)
    measured = results | run.evaluate_scenarios(experiment, folder.load_checkpoint())
    if options.json:
        print(json.dumps(measured, indent=2))
    else:
        Console().print(scenario_table(measured))
    return 0


@dataclass(frozen=True)
class _PredictOptions:
    run: tyro.conf.Positional[Path]
    """Folder of a finished run, or of a saved model."""
    image: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """An image file."""
    text: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None
    """A text."""
    readings: Annotated[tuple[float, ...] | None, tyro.conf.arg(metavar="NUMBER ...")] = None
    """A row of numbers."""
    csv: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A CSV file with columns image (paths), text, readings (numbers and spaces); an empty cell is missing."""
    json: bool = False
    """Print one JSON object per sample, with the probability of every label."""


def _predict(words: list[str]) -> int:
    """Predicts from any subset of modalities."""
    options = tyro.cli(_PredictOptions, args=words, prog="fedprime predict", config=(tyro.conf.FlagCreatePairsOff,))
    given = {
        name: getattr(options, name) for name in ("image", "text", "readings") if getattr(options, name) is not None
    }
    if (options.csv is None) == (not given):
        raise InputError(
            "give a sample (--image FILE, --text TEXT, --readings NUMBERS, any of them), or --csv FILE, not both"
        )
    folder = options.run
    if (folder / "settings.toml").exists():
        RunFolder(folder).results()  # says so if the run is not finished
        folder = RunFolder(folder).model_path
        if not folder.exists():
            raise ModelError(f"the clients of {options.run} share no model; name that of one: {options.run}/clients/0")
    model = PromptedModel.from_pretrained(folder)
    if options.csv is None:
        if "image" in given:
            given["image"] = read_image(options.image)  # pyright: ignore[reportArgumentType]
        predictions = predict_samples(model, [given])
    else:
        predictions = predict_samples(model, read_table(options.csv, model.backbone.modalities))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if not options.json:
        writer.writerow(["row", "label", "probability", "present"])
    for row, prediction in enumerate(predictions, start=1):
        if options.json:
            print(json.dumps({"row": row} | prediction))
        else:
            best = prediction["label"]
            writer.writerow([row, best, f"{prediction['probabilities'][best]:.4f}", "+".join(prediction["present"])])
    return 0


def _recipes(words: list[str]) -> int:
    if words == ["list"]:
        for name, summary in list_recipes().items():
            print(f"{name:32}{summary}")
        return 0
    if len(words) == 2 and words[0] == "show":
        print(find_recipe(words[1]).read_text(encoding="utf-8"), end="")
        return 0
    usage = "usage: fedprime recipes list | fedprime recipes show NAME"
    if words in (["-h"], ["--help"]):
        print(usage)
        return 0
    return _fail(usage)


def _take(words: list[str], flag: str) -> str | None:
    """Removes a flag and its value from the words and returns the value."""
    for index, word in enumerate(words):
        if word == flag:
            if index + 1 == len(words) or words[index + 1].startswith("--"):
                raise SettingsError([f"{flag} has no value; name a folder"])
            value = words[index + 1]
            del words[index : index + 2]
            return value
        if word.startswith(f"{flag}="):
            del words[index]
            if word == f"{flag}=":
                raise SettingsError([f"{flag} has no value; name a folder"])
            return word.partition("=")[2]
    return None


@contextmanager
def _interruptible(path: Path) -> Iterator[None]:
    """Turns Ctrl-C into an exit that says how to go on: every finished round is saved already."""
    try:
        yield
    except (KeyboardInterrupt, BrokenPipeError) as error:
        if isinstance(error, BrokenPipeError):
            # Whoever read our output has gone; the interpreter must not complain about it when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if (path / "settings.toml").exists():
            finished = RunFolder(path).load_checkpoint().next_round
            resume = shlex.join(["fedprime", "run", "--resume", str(path)])
            print(f"\nstopped; {finished} round(s) saved. Go on with: {resume}", file=sys.stderr)
        else:
            print("\nstopped before the first round; nothing was saved", file=sys.stderr)
        raise SystemExit(_INTERRUPTED if isinstance(error, KeyboardInterrupt) else _NOBODY_READS) from None


@contextmanager
def _live_display() -> Iterator[Callable[[run.Progress], None]]:
    """Shows progress as a live line on a terminal, as plain lines elsewhere."""
    if not sys.stdout.isatty():
        yield lambda progress: print(
            f"round {progress.round_number}/{progress.num_rounds}  {_describe(progress)}", flush=True
        )
        return
    columns = (TextColumn("round"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console()) as display:
        task = display.add_task("preparing", total=None)

        def watch(progress: run.Progress) -> None:
            display.update(
                task, completed=progress.round_number, total=progress.num_rounds, description=_describe(progress)
            )

        yield watch


def _describe(progress: run.Progress) -> str:
    accuracy, best = progress.accuracy, progress.best_accuracy
    known = "not measured yet" if accuracy is None or best is None else f"{100 * accuracy:.1f} of {100 * best:.1f} %"
    minutes, seconds = divmod(round(progress.seconds_left), 60)
    sent = _megabytes(progress.bytes_sent)
    return f"loss {progress.loss:.3f}  accuracy {known}  {sent} sent  {minutes}:{seconds:02d} left"


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
