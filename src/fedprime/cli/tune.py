"""The verb ``tune`` of the command line: settings are searched for, and become a recipe."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from fedprime.cli.stopping import importing, interruptible
from fedprime.reproducibility.errors import as_word
from fedprime.settings.first_look import refuse_plainly_wrong
from fedprime.settings.flags import refuse_unknown_flags, take_folder, take_numbers, take_values
from fedprime.settings.problems import SettingsError
from fedprime.settings.recipes import find_recipe_or_plan, is_plan, plan_name, recipe_name

if TYPE_CHECKING:
    from fedprime.runs.grid import GridProgress
    from fedprime.runs.tuning import Tuning

_HELP = """\
usage: fedprime tune PLAN|RECIPE [--trials N] [--recipe RECIPE] [--output FOLDER] [--processes N] [--seeds N N ...]
                     [--SETTING VALUE ...]

Searches for the settings with which methods have the highest accuracy on validation samples, by Optuna, with as many
trials for each method. The same command again goes on where it was stopped. The result is a recipe.

  PLAN              a TOML file with one label for each method and a table [search] of what is varied (docs/tuning.md);
                    without that table, the learning rate is
  RECIPE            a recipe, of whose method the learning rate is varied
  --trials N        for each method, instead of the plan's; 12 if nothing is said; more can be added to a folder later
  --recipe RECIPE   the recipe to start from instead of the plan's
  --output FOLDER   where to: the result is FOLDER/recipe.toml, the trials are a grid; runs/tune-PLAN if not given
  --processes N     runs to make at the same time; as many as the cores allow if not given
  --seeds N N ...   seeds to choose by, instead of the plan's, or of 100 and 101; report results with others
  --SETTING VALUE   a setting for all trials, over the plan's

For example: fedprime tune builtin/study --trials 20
             fedprime run runs/tune-builtin-study/recipe.toml

Needs Optuna: pip install "fedprime[tune]". Exit code: 0 when the recipe is there, 1 when runs failed or are in use by
another process, 2 when nothing could be done, 130 when stopped by Ctrl-C."""


def tune_settings(words: list[str]) -> int:
    """Makes a search, as asked for on a command line, and returns the exit code."""
    if "--help" in words or "-h" in words:
        print(_HELP)
        return 0
    command = shlex.join(["fedprime", "tune", *words])
    if not words or words[0].startswith("-"):
        raise SettingsError("name a plan or a recipe first, for example: fedprime tune builtin/study")
    name = words.pop(0)
    path = find_recipe_or_plan(name)
    once = {
        "--recipe": take_values(words, "--recipe", "--recipe food101/study"),
        "--trials": take_numbers(words, "--trials", "--trials 20", least=1),
        "--processes": take_numbers(words, "--processes", "--processes 2", least=1),
    }
    several = [f"{flag} has {len(found)} values; expected one" for flag, found in once.items() if len(found) > 1]
    if several:
        raise SettingsError(several)
    whose = plan_name(path) if is_plan(path) else recipe_name(name)
    parts = ["tune", whose, *(recipe_name(str(name)) for name in once["--recipe"])]
    folder = Path(take_folder(words, "--output") or Path("runs") / "-".join(parts))
    seeds = take_numbers(words, "--seeds", "--seeds 100 101", least=0)
    refuse_unknown_flags(words, (*once, "--output", "--seeds"), "tune")
    refuse_plainly_wrong(None, words)
    recipe, trials, processes = (next(iter(found), None) for found in once.values())
    with importing():
        from fedprime.cli.progress import complain_about
        from fedprime.runs.tuning import RECIPE, tune
        from fedprime.settings.searches import read_search

        search = read_search(path, words, seeds, str(recipe or ""), int(trials or 0))
    with interruptible(lambda: f"; what is finished is kept. Go on with: {command}"):
        tuning = tune(search, folder, num_processes=int(processes or 0), watch=lambda event: _tell(event, folder))
    if tuning.unfinished:
        complain_about(tuning.unfinished, folder)
        return 1
    _show(tuning, list(search.spaces))
    recipe = folder / RECIPE
    print(f"the recipe: {recipe}; take it with: fedprime run {as_word(recipe)} --method.name METHOD")
    return 0


def _tell(progress: "GridProgress", folder: Path) -> None:
    """Says what a run of a trial came to, once it has ended; never what it has on test samples."""
    from fedprime.runs.grid import run_path
    from fedprime.runs.tuning import validation_accuracy

    ended = progress.ended
    if ended is not None and ended.state == "finished":
        accuracy = validation_accuracy(run_path(folder, ended.planned))
        print(f"{ended.planned.name}: {ended.seconds:.0f} s, validation {100 * accuracy:.1f} %", flush=True)
    elif ended is not None:
        print(f"{ended.planned.name}: {ended.state}: {ended.reason}", flush=True)


def _show(tuning: "Tuning", methods: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="the best of each method on validation samples")
    for column in ("method", "settings", "accuracy %", "first trial %", "trials"):
        table.add_column(column, justify="left" if column in ("method", "settings") else "right")
    for method in methods:
        best, trials = tuning.best(method), tuning.of(method)
        values = ", ".join(f"{name} {value}" for name, value in best.values.items())
        shares = [f"{100 * (trial.accuracy or 0):.1f}" for trial in (best, trials[0])]
        table.add_row(method, values, *shares, str(len(trials)))
    Console().print(table)
