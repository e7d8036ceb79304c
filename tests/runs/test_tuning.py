"""A search: equal budgets, the same trials however often it is stopped, chosen on validation samples alone."""

import math
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedprime.experiment.loading import with_absolute_folders
from fedprime.experiment.run_folder import RunFolder
from fedprime.runs.tuning import RECIPE, Tuning, TuningError, tune, validation_accuracy
from fedprime.settings.searches import Search, read_search
from fedprime.settings.settings import Settings
from made_runs import make_grid, make_run

PLAN = """
seeds = [100, 101]
trials = 4
[axes.method]
fedprime = {}
fedavg-p.method.name = "fedavg-p"
[search]
training.lr = { low = 0.0001, high = 1.0, log = true }
training.epochs = { low = 1, high = 4 }
[search.by_method]
fedavg-p.training.optimizer = { choices = ["sgd", "adamw"] }
"""

#: After how many runs Ctrl-C is pressed, if it is.
STOPS: list[int] = []

#: By method, the learning rate that is best in this pretended world.
BEST = {"fedprime": 0.1, "fedavg-p": 0.002}


def accuracy_of(settings: Settings) -> float:
    """More with another seed, less with each epoch and away from the best learning rate."""
    away = abs(math.log10(settings.training.lr / BEST[settings.method.name]))
    return 0.9 - 0.1 * away - 0.01 * settings.training.epochs + 0.01 * (settings.seed - 100)


@pytest.fixture
def search(tmp_path: Path) -> Callable[..., Search]:
    def read(text: str = PLAN, **options: Any) -> Search:
        path = tmp_path / "search.toml"
        path.write_text(text)
        return read_search(path, **options)

    return read


@pytest.fixture(scope="module", autouse=True)
def made() -> Iterator[list[str]]:
    """The runs that were made, with the accuracies of `accuracy_of` and without any training."""
    names: list[str] = []

    def complete(settings: Settings, folder: Path, **_: object) -> dict[str, Any]:
        if [len(names)] == STOPS:
            raise KeyboardInterrupt
        names.append(f"{folder.parent.name} {settings.seed}")
        accuracy = accuracy_of(settings)
        told = {"rows": [{"accuracy": accuracy}], "accuracies": {"full": 1 - accuracy}}
        make_run(folder, settings=with_absolute_folders(settings), rounds=1, **told)
        (folder / "checksums.json").write_text("{}")  # of a run without checkpoints
        return RunFolder(folder).results()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedprime.runs.processes.complete_run", complete)
        patch.setattr("fedprime.runs.tuning._RANDOM_TRIALS", 2)  # so that few trials are enough to learn from some
        yield names


@pytest.fixture(scope="module")
def whole(made: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Tuning, Path]:
    """A search that was not stopped, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "search.toml").write_text(PLAN)
    tuning = tune(read_search(folder / "search.toml"), folder / "tuned", num_processes=1)
    assert len(made) == len(set(made)) == 2 * 4 * 2
    made.clear()
    return tuning, folder / "tuned"


def values_of(tuning: Tuning) -> list[tuple[str, dict[str, Any], float | None]]:
    return [(trial.label, dict(trial.values), trial.accuracy) for trial in tuning.trials]


def test_every_method_has_as_many_trials_and_the_best_on_validation_samples_becomes_a_recipe(
    search: Callable[..., Search], whole: tuple[Tuning, Path]
):
    tuning, folder = whole
    assert tuning.unfinished == ()
    for method in BEST:
        trials = tuning.of(method)
        assert [trial.number for trial in trials] == list(range(4))
        assert trials[0].values["training.lr"] == 0.01  # what it was before the search
        assert all(0.0001 <= trial.values["training.lr"] <= 1 for trial in trials)
        assert {type(trial.values["training.epochs"]) for trial in trials} == {int}
        best = tuning.best(method)
        assert best.accuracy == max(trial.accuracy or 0 for trial in trials)
        settings = {run.settings.seed: run.settings for run in search().plan({"x": (method, best.values)}).runs}
        assert best.accuracy == pytest.approx((accuracy_of(settings[100]) + accuracy_of(settings[101])) / 2)
        recipe = tomllib.loads((folder / RECIPE).read_text())["by_method"][method]["training"]
        assert {f"training.{name}": value for name, value in recipe.items()} == best.values
    assert {"sgd", "adamw"} >= {trial.values["training.optimizer"] for trial in tuning.of("fedavg-p")}


def test_a_search_that_is_stopped_or_gets_more_trials_makes_the_same_ones_and_no_run_twice(
    search: Callable[..., Search], tmp_path: Path, made: list[str], whole: tuple[Tuning, Path]
):
    made.clear()
    STOPS.append(7)  # in the middle of the second trials
    with pytest.raises(KeyboardInterrupt):
        tune(search(), tmp_path / "tuned", num_processes=1)
    STOPS.clear()
    assert len(tune(search(trials=3), tmp_path / "tuned", num_processes=1).trials) == 2 * 3
    going_on = tune(search(), tmp_path / "tuned", num_processes=1)
    assert values_of(going_on) == values_of(whole[0])
    assert len(made) == len(set(made)) == 2 * 4 * 2
    assert (tmp_path / "tuned" / RECIPE).read_text() == (whole[1] / RECIPE).read_text()


def test_a_run_that_fails_stops_the_search_and_is_tried_again_by_the_next(
    search: Callable[..., Search], tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
):
    made.clear()
    with monkeypatch.context() as patch:
        patch.setattr("fedprime.runs.processes.complete_run", lambda *_, **__: 1 / 0)
        failed = tune(search(trials=1), tmp_path / "tuned", num_processes=1)
    assert [state.state for state in failed.unfinished] == ["failed"] * 4
    assert not (tmp_path / "tuned" / RECIPE).exists()
    assert len(tune(search(trials=1), tmp_path / "tuned", num_processes=1).trials) == 2
    assert len(made) == 4


def test_a_folder_of_something_else_is_refused(search: Callable[..., Search], tmp_path: Path):
    grid = make_grid(tmp_path / "grid", PLAN.partition("[search]")[0].replace("trials = 4", ""))
    with pytest.raises(TuningError, match="is the folder of a grid, not of a search"):
        tune(search(), grid)
    tune(search(trials=1), tmp_path / "tuned", num_processes=1)
    with pytest.raises(TuningError, match=r"has a trial with training.lr 0.01, which is outside of this search"):
        tune(search(PLAN.replace("low = 0.0001", "low = 0.05")), tmp_path / "tuned")
    one = PLAN.replace('fedavg-p.method.name = "fedavg-p"', "").partition("[search.by_method]")[0]
    with pytest.raises(TuningError, match="has trials of fedavg-p, this search has none"):
        tune(search(one), tmp_path / "tuned")


def test_without_optuna_is_told_how_to_install_it(
    search: Callable[..., Search], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("fedprime.runs.tuning.find_spec", lambda _: None)
    with pytest.raises(TuningError, match=r'pip install "fedprime\[tune\]"'):
        tune(search(), tmp_path / "tuned")


def test_a_run_counts_by_the_round_that_it_ended_with(tmp_path: Path):
    rows = [{"accuracy": 0.1}, {"accuracy": 0.9}, {"accuracy": 0.5}]
    assert validation_accuracy(make_run(tmp_path / "last", rows=rows)) == 0.5
    assert validation_accuracy(make_run(tmp_path / "best", rows=rows, kept_round=1)) == 0.9
    with pytest.raises(TuningError, match="was never measured on validation samples"):
        validation_accuracy(make_run(tmp_path / "none", rows=rows, kept_round=7))
