"""Searches for settings, by Optuna: a grid that grows by a trial for each method, until all have had the same number.

Nothing is kept but the grid: its plan says which values were tried, its run folders what came of them. The same search
in the same folder goes on where it was stopped, and tries what it would have tried then: what a trial tries follows
from the seed of its own stream and from the trials before it. Trials are judged on validation samples alone.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fedprime.experiment.run_folder import RunFolder
from fedprime.reproducibility.atomic_files import write_whole
from fedprime.reproducibility.errors import FedprimeError
from fedprime.reproducibility.seeding import stream_seed
from fedprime.runs.grid import GridProgress, RunState, run_grid, run_path
from fedprime.settings.recipe_tables import dotted_values, read_toml
from fedprime.settings.searches import AXIS, Range, Search

#: How the result is called, in the folder of the search.
RECIPE = "recipe.toml"
#: Trials of a method before what came of the others is looked at.
_RANDOM_TRIALS = 5
_DIGITS = 3


class TuningError(FedprimeError):
    """A search that cannot be made, or whose folder is that of another."""


@dataclass(frozen=True)
class Trial:
    """Values that were tried for a method.

    Attributes:
        number: From 0; the first has the values before the search, if these are inside of it.
        values: By dotted name of the setting.
        accuracy: Mean over seeds on validation samples; None if it is not known yet.
    """

    method: str
    number: int
    values: Mapping[str, Any]
    accuracy: float | None = None

    @property
    def label(self) -> str:
        """What it is called in the plan of the grid."""
        return f"{self.method} {self.number}"


@dataclass(frozen=True)
class Tuning:
    """What came of a search.

    Attributes:
        trials: All of them, method after method.
        unfinished: Runs that failed, or that another process is making: the search cannot go on without them.
    """

    trials: tuple[Trial, ...]
    unfinished: tuple[RunState, ...]

    def of(self, method: str) -> tuple[Trial, ...]:
        """Returns the trials of a method whose accuracy is known."""
        return tuple(trial for trial in self.trials if trial.method == method and trial.accuracy is not None)

    def best(self, method: str) -> Trial:
        """Returns its best trial; of several, the first."""
        return max(self.of(method), key=lambda trial: trial.accuracy or 0.0)


def tune(
    search: Search, folder: Path, *, num_processes: int = 0, watch: Callable[[GridProgress], None] = lambda _: None
) -> Tuning:
    """Makes the trials of a search that are not made, and writes the recipe with the best of each method.

    Args:
        folder: The folder of the search, which may hold some of them already.
        num_processes: How many runs to make at the same time; as many as the cores allow if 0. If it is not 1, a
            script must guard its own work by ``if __name__ == "__main__"``.
        watch: As for `run_grid`.

    Raises:
        TuningError: If Optuna is not installed, or the folder holds trials that are not of this search.
        GridError: If the folder holds something else.
        SettingsError: If the folder's ``plan.toml`` cannot be read.
    """
    if not find_spec("optuna"):
        raise TuningError('fedprime tune needs Optuna; install it: pip install "fedprime[tune]"')
    trials = {trial.label: trial for trial in _trials_there(search, folder)}
    while True:
        if all(trial.accuracy is not None for trial in trials.values()):
            new = list(_next_trials(search, tuple(trials.values())))
            if not new:
                break
            trials |= {trial.label: trial for trial in new}
        plan = search.plan({label: (trial.method, trial.values) for label, trial in trials.items()})
        runs = [run for run in plan.runs if trials[run.labels[AXIS]].accuracy is None]
        states = run_grid(plan, folder, runs, num_processes=num_processes, watch=watch)
        unfinished = tuple(state for state in states if state.state != "finished")
        for label in dict.fromkeys(run.labels[AXIS] for run in runs):
            own = [run for run in runs if run.labels[AXIS] == label]
            if not any(state.planned in own for state in unfinished):
                found = [validation_accuracy(run_path(folder, run)) for run in own]
                old = trials[label]
                trials[label] = Trial(old.method, old.number, old.values, sum(found) / len(found))
        if unfinished:
            return Tuning(_in_order(search, trials.values()), unfinished)
    tuning = Tuning(_in_order(search, trials.values()), ())
    write_whole(folder / RECIPE, _recipe(search, tuning))
    return tuning


def validation_accuracy(folder: Path) -> float:
    """Returns the accuracy of a finished run on its validation samples, with the state that the run ended with."""
    run = RunFolder(folder)
    kept = run.results().get("kept_round")
    rows = [row for row in run.metrics() if "accuracy" in row and kept in (None, row["round"])]
    if not rows:
        raise TuningError(f"{folder} was never measured on validation samples; set evaluation.every to 1")
    return rows[-1]["accuracy"]


def _trials_there(search: Search, folder: Path) -> Iterator[Trial]:
    """Yields the trials that the folder's plan has, without what came of them."""
    path = folder / "plan.toml"
    if not path.exists():
        return
    axes = read_toml(path).get("axes", {})
    if list(axes) != [AXIS]:
        raise TuningError(f"{folder} is the folder of a grid, not of a search; name another folder with --output")
    for label, tables in axes[AXIS].items():
        method, _, number = label.rpartition(" ")
        space, values = search.spaces.get(method), dotted_values(tables)
        if space is None:
            raise TuningError(f"{folder} has trials of {method}, this search has none; name another one with --output")
        outside = [f"{name} {values.get(name)}" for name, found in space.items() if values.get(name) not in found]
        if outside:
            raise TuningError(
                f"{folder} has a trial with {', '.join(outside)}, which is outside of this search; name another folder "
                "with --output"
            )
        yield Trial(method, int(number), {name: values[name] for name in space})


def _next_trials(search: Search, trials: Sequence[Trial]) -> Iterator[Trial]:
    """Yields for each method that has not had all of its trials the next one."""
    for method in search.spaces:
        before = sorted((trial for trial in trials if trial.method == method), key=lambda trial: trial.number)
        if len(before) < search.trials:
            yield Trial(method, len(before), _values(search, method, before))


def _values(search: Search, method: str, before: Sequence[Trial]) -> dict[str, Any]:
    """Returns what to try next."""
    space = search.spaces[method]
    if not before and method in search.starts:
        return dict(search.starts[method])
    optuna = import_module("optuna")
    optuna.logging.set_verbosity(logging.WARNING)
    distributions = {name: _distribution(optuna, found) for name, found in space.items()}
    seed = stream_seed(search.base.seeds[0], "tuning", method, len(before)) % 2**32
    sampler = optuna.samplers.TPESampler(n_startup_trials=_RANDOM_TRIALS, seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in before:
        study.add_trial(
            optuna.trial.create_trial(params=dict(trial.values), distributions=distributions, value=trial.accuracy)
        )
    asked = study.ask(distributions).params
    return {name: _rounded(asked[name], found) for name, found in space.items()}


def _distribution(optuna: Any, found: Range) -> Any:
    if found.choices:
        return optuna.distributions.CategoricalDistribution(found.choices)
    kind = optuna.distributions.IntDistribution if found.is_whole else optuna.distributions.FloatDistribution
    return kind(found.low, found.high, log=found.log)


def _rounded(value: Any, found: Range) -> Any:
    """Returns a number as a person would write it down, inside its range."""
    if not isinstance(value, float) or found.choices:
        return value
    return min(max(float(f"{value:.{_DIGITS}g}"), float(found.low)), float(found.high))


def _in_order(search: Search, trials: Any) -> tuple[Trial, ...]:
    methods = list(search.spaces)
    return tuple(sorted(trials, key=lambda trial: (methods.index(trial.method), trial.number)))


def _recipe(search: Search, tuning: Tuning) -> str:
    seeds = " and ".join(map(str, search.base.seeds))
    label = "seed" if len(search.base.seeds) == 1 else "seeds"
    remarks = [
        f"Settings that `fedprime tune` chose from {search.path.name} on validation samples, with {label} {seeds}.",
        "",
        "Shows: nothing by itself. Measure it with other seeds than these.",
    ]
    for method in search.spaces:
        found, best = tuning.of(method), tuning.best(method)
        remarks.append(
            f"{method}: {100 * (best.accuracy or 0):.1f} % on validation samples, trial {best.number} of {len(found)}; "
            f"the first had {100 * (found[0].accuracy or 0):.1f} %."
        )
    return search.recipe({method: tuning.best(method).values for method in search.spaces}, remarks)
