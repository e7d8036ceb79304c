"""The command line: run, grid, evaluate, predict, report, data, cache, deploy, recipes."""

import json
import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import tyro
from rich.console import Console

from fedprime.backbones.backbone import BackboneError
from fedprime.cli.cache import manage_cache
from fedprime.cli.data import look_at_data
from fedprime.cli.deploy import deploy
from fedprime.cli.grid import make_grid
from fedprime.cli.predict import predict_labels
from fedprime.cli.progress import INTERRUPTED, display_run, interruptible, megabytes
from fedprime.data.batches import DataError
from fedprime.data.embeddings.cache_folder import CacheError
from fedprime.data.images import InputError
from fedprime.experiment.loading import load_experiment
from fedprime.experiment.run_folder import RunError, RunFolder
from fedprime.federation.rounds import TooFewAnswersError
from fedprime.models.prompted_model import ModelError
from fedprime.report import ReportError, scenario_table, traffic_table, write_report
from fedprime.reproducibility.errors import nearest_name
from fedprime.runs import run
from fedprime.runs.callbacks import AfterRound
from fedprime.runs.evaluators import OwnSamples
from fedprime.runs.grid import GridError
from fedprime.settings.flags import take_folder
from fedprime.settings.reading import read_settings
from fedprime.settings.recipes import find_recipe, find_recipe_or_plan, list_plans, list_recipes
from fedprime.settings.settings import Settings, SettingsError

__all__ = ["main"]

_USER_ERRORS = (
    SettingsError,
    RunError,
    GridError,
    ReportError,
    BackboneError,
    DataError,
    CacheError,
    ModelError,
    InputError,
    PermissionError,
    TooFewAnswersError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 1 done in part, 2 wrong input, 130 stopped by Ctrl-C.

    Args:
        arguments: The words after the program's name; those of this process when not given.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _log_to_stderr()
    verbs: dict[str, tuple[Callable[[list[str]], int], str]] = {
        "run": (_run, "train: fedprime run RECIPE [--training.rounds 50 ...], or --resume RUN"),
        "grid": (make_grid, "train many: fedprime grid PLAN; the same command again goes on where it was stopped"),
        "evaluate": (_evaluate, "measure a finished run's model on every test scenario again"),
        "predict": (predict_labels, "predict from any subset of modalities, or for the rows of a table"),
        "report": (_report, "turn finished runs into tables, comparisons and plots: fedprime report runs/main"),
        "data": (
            look_at_data,
            "look at data: fedprime data check PATH, or show for a picture of samples",
        ),
        "cache": (manage_cache, "where embeddings of samples are kept for later runs; make room: fedprime cache show"),
        "deploy": (deploy, "federate sites on other machines: fedprime deploy keys, server, client"),
        "recipes": (_recipes, "list the recipes and plans that come along, or show one"),
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
        return INTERRUPTED
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
    logging.getLogger("fedprime").setLevel(logging.INFO)
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
    folder = take_folder(words, "--output")
    resumed = take_folder(words, "--resume")
    if resumed is not None:
        if recipe or words or folder:
            extra = " ".join([*filter(None, [recipe]), *words, *(["--output"] if folder else [])])
            raise SettingsError([f"--resume continues a run with its own settings; leave out {extra}"])
        path = Path(resumed)
        with display_run() as watch, interruptible(lambda: _saved_rounds(path)):
            results = run.resume_run(path, callbacks=[AfterRound(watch)])
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
        with display_run() as watch, interruptible(lambda: _saved_rounds(path)):
            results = run.start_run(settings, path, callbacks=[AfterRound(watch)])
    console = Console()
    console.print(scenario_table(results))
    traffic = traffic_table(results)
    if traffic is not None:
        console.print(traffic)
    sent = results["bytes_down"] + results["bytes_up"]
    console.print(
        f"{results['seconds']:.0f} s for {results['rounds']} round(s), {megabytes(sent)} sent, "
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
    experiment = load_experiment(folder)
    measured = results | OwnSamples(experiment).on_test(folder.load_checkpoint())
    if options.json:
        print(json.dumps(measured, indent=2))
    else:
        Console().print(scenario_table(measured))
    return 0


_REPORT_HELP = """\
usage: fedprime report RUNS ... [--output FOLDER]

Turns finished runs into tables (Markdown, LaTeX, CSV), pairwise comparisons and plots (SVG, PNG).

  RUNS              run folders, folders that contain some at any depth, folders of grids, and runs.json files of
                    earlier reports, from which a report can be made again without its runs
  --output FOLDER   where to: FOLDER/README.md shows everything; if not given, a folder named report in the folder
                    that the runs have in common

Runs of a grid are called by the labels of its plan, other runs by the settings in which they differ.

For example: fedprime report runs/main --output results/main

Exit code: 0 when all is reported, 1 when something had to be left out, 2 when nothing could be reported."""


def _report(words: list[str]) -> int:
    if "--help" in words or "-h" in words:
        print(_REPORT_HELP)
        return 0
    output = take_folder(words, "--output")
    unknown = [word for word in words if word.startswith("-")]
    if unknown:
        raise SettingsError([f"{unknown[0]} is not a flag of fedprime report (--output)"])
    report = write_report([Path(word) for word in words], None if output is None else Path(output))
    for problem in report.problems:
        print(f"fedprime: left out: {problem}", file=sys.stderr)
    for note in report.notes:
        print(note)
    print(f"{report.num_runs} run(s) reported in {report.folder / 'README.md'}")
    return 1 if report.problems else 0


def _recipes(words: list[str]) -> int:
    if words == ["list"]:
        for title, entries in (
            ("recipes, for `fedprime run`", list_recipes()),
            ("plans, for `fedprime grid`", list_plans()),
        ):
            print(f"{title}:")
            print("".join(f"  {name:30}{summary}\n" for name, summary in entries.items()))
        return 0
    if len(words) == 2 and words[0] == "show":
        print(find_recipe_or_plan(words[1]).read_text(encoding="utf-8"), end="")
        return 0
    usage = "usage: fedprime recipes list | fedprime recipes show NAME"
    if words in (["-h"], ["--help"]):
        print(usage)
        return 0
    return _fail(usage)


def _saved_rounds(path: Path) -> str:
    if not (path / "settings.toml").exists():
        return " before the first round; nothing was saved"
    finished = RunFolder(path).load_checkpoint().next_round
    resume = shlex.join(["fedprime", "run", "--resume", str(path)])
    return f"; {finished} round(s) saved. Go on with: {resume}"


if __name__ == "__main__":
    sys.exit(main())
