"""The verb ``run`` of the command line: one run, from its beginning or from where it was stopped."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fedprime.cli.run_help import show_help
from fedprime.cli.stopping import importing, interruptible
from fedprime.reproducibility.errors import counted
from fedprime.runs.trackers import refuse_missing_trackers
from fedprime.settings.first_look import refuse_plainly_wrong
from fedprime.settings.flags import take_folder, take_switch, take_values
from fedprime.settings.problems import SettingsError
from fedprime.settings.recipes import find_recipe

#: Exit code of a run that is finished although a client never answered.
ABSENT = 3
_LIVE = "live.html"  # as `fedprime.runs.live` calls it, which is slow to import


def run_recipe(words: list[str]) -> int:
    """Makes a run, or continues one, as asked for on a command line, and returns the exit code."""
    if not {"-h", "--help", "--help-all"}.isdisjoint(words):
        show_help(words)
        return 0
    live = take_switch(words, "--live")
    trackers = take_values(words, "--track", "--track tensorboard")
    refuse_missing_trackers(trackers)
    recipe = words.pop(0) if words and not words[0].startswith("-") else None
    folder = take_folder(words, "--output")
    resumed = take_folder(words, "--resume")
    if resumed is not None:
        if recipe or folder:
            extra = " ".join([*filter(None, [recipe]), *(["--output"] if folder else [])])
            raise SettingsError(f"--resume continues a run with its own settings; leave out {extra}")
        live = live or (Path(resumed) / _LIVE).exists()  # a page that is there would else never hear of the end
        return _make(None, Path(resumed), live, trackers, words)
    named = next((word for word in words if word.endswith(".toml")), None)
    if recipe is None and named:
        raise SettingsError(f"the recipe comes first: fedprime run {named} --training.rounds 50 ...")
    if recipe is None:
        raise SettingsError(
            "name a recipe, for example: fedprime run builtin/quickstart; `fedprime recipes list` shows all"
        )
    path = find_recipe(recipe)
    refuse_plainly_wrong(path, words)
    with importing():  # of the method's class
        from fedprime.settings.reading import read_settings

        settings = read_settings(path, words)
    path = Path(folder or f"runs/{Path(recipe).stem}-{datetime.now():%Y%m%d-%H%M%S}")
    return _make(settings, path, live, trackers)


def _make(settings: Any, path: Path, live: bool, trackers: Sequence[str], changes: Sequence[str] = ()) -> int:
    """Makes a run of these settings, or, without any, continues the one that is there, with some settings changed."""
    with importing():
        from fedprime.cli.progress import display_run
        from fedprime.runs import run
        from fedprime.runs.callbacks import Callback
        from fedprime.runs.tracking import Tracking
    tracked = Tracking(path, trackers)
    with interruptible(lambda: _saved_rounds(path)), tracked, display_run() as display:
        callbacks: list[Callback] = [display, tracked]
        if live:
            from fedprime.runs.live import LivePage

            callbacks.append(LivePage(path))
            print(f"to look at from its first round on: {(path / _LIVE).absolute()}")
        if settings is None:
            results = run.resume_run(path, changes=changes, callbacks=callbacks)
        else:
            results = run.start_run(settings, path, callbacks=callbacks)
    _show_results(results, path)
    print(where_it_lies(path))
    return exit_code(results, path)


def _show_results(results: Mapping[str, Any], path: Path) -> None:
    from rich.console import Console

    from fedprime.cli.progress import megabytes
    from fedprime.experiment.run_folder import RunFolder
    from fedprime.report.single_run import notices, rising_loss, scenario_table, traffic_table

    console = Console()
    console.print(scenario_table(results))
    traffic = traffic_table(results)
    if traffic is not None:
        console.print(traffic)
    sent = results["bytes_down"] + results["bytes_up"]
    console.print(
        f"{results['seconds']:.0f} s for {counted(results['rounds'], 'round')}, {megabytes(sent)} sent, "
        f"{results['trained_values']:,} values trained",
        highlight=False,
    )
    for line in filter(None, [*notices(results), rising_loss(RunFolder(path).metrics())]):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def where_it_lies(path: Path) -> str:
    """Returns the last line of a run: its folder, and which of the files there to look at."""
    return f"run folder: {path} (open first: {path / 'scenarios.png'}, then results.json)"


def exit_code(results: Mapping[str, Any], path: Path) -> int:
    """Returns the exit code of a finished run: 3 if a client never answered and the settings do not allow it."""
    never = [client for client, found in results.get("absent_clients", {}).items() if not found["answered"]]
    if not never:
        return 0
    from fedprime.settings.reading import read_saved_settings

    if read_saved_settings(path / "settings.toml").runtime.allow_absent:
        return 0
    named = f"client {never[0]}" if len(never) == 1 else f"clients {', '.join(never)}"
    print(
        f"fedprime: {named} never answered: the model knows nothing of their samples (exit code 3; "
        "--runtime.allow-absent if that may be)",
        file=sys.stderr,
    )
    return ABSENT


def _saved_rounds(path: Path) -> str:
    from fedprime.experiment.run_folder import RunFolder

    if not (path / "settings.toml").exists():
        return " before the first round; nothing was saved"
    finished = max(0, RunFolder(path).load_checkpoint().next_round)  # rounds of the start are below
    resume = shlex.join(["fedprime", "run", "--resume", str(path)])
    return f"; {counted(finished, 'round')} saved. Go on with: {resume}"
