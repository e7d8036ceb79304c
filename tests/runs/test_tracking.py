"""What trackers are told of a run, and what becomes of the run when one of them fails."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedprime.runs.callbacks import AfterRound, Callback
from fedprime.runs.metrics import Progress
from fedprime.runs.run import resume_run, start_run
from fedprime.runs.tracker import Line, TrackedRun, TrackedTable
from fedprime.runs.trackers import TRACKERS, MissingTrackerError
from fedprime.runs.tracking import Tracking
from fedprime.settings.sections import PrivacySettings
from fedprime.settings.settings import Settings
from run_files import metrics_of, results_of


class Notebook:
    """A tracker that remembers; it breaks at a step, if one is named."""

    breaks_at: int | None = None

    def __init__(self, run: TrackedRun, key: str, going_on: Line | None) -> None:
        self.key, self.run, self.going_on = key, run, going_on
        self.lines: list[Line] = []
        self.ends: list[tuple[Line, TrackedTable, Path | None]] = []
        self.closed: list[bool] = []
        OPENED.append(self)

    @staticmethod
    def place(run: TrackedRun) -> str:
        del run
        return "here"

    def log_line(self, line: Line) -> None:
        if line.step == self.breaks_at:
            raise ConnectionError("the server\nhas gone")
        self.lines.append(line)

    def log_end(self, last: Line, table: TrackedTable, model: Path | None) -> None:
        self.ends.append((last, table, model))

    def close(self, *, is_finished: bool) -> None:
        self.closed.append(is_finished)


class Broken(Notebook):
    breaks_at = 2


OPENED: list[Notebook] = []


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Notebook]:
    """The notebooks that were opened, which are the trackers that there are."""
    monkeypatch.setattr("fedprime.runs.tracking.TRACKERS", {"mlflow": Notebook, "wandb": Broken})
    monkeypatch.setattr("fedprime.runs.trackers.find_spec", lambda name: name)
    OPENED.clear()
    return OPENED


def test_a_run_is_told_with_its_settings_its_rounds_its_final_table_and_its_model(
    small_settings: Settings, tmp_path: Path, opened: list[Notebook]
):
    folder = tmp_path / "run"
    with Tracking(folder, ["mlflow"]) as tracking:
        start_run(small_settings, folder, callbacks=[tracking])
    (notebook,) = opened
    assert (notebook.run.name, notebook.run.group, notebook.closed) == ("run", "", [True])
    assert notebook.run.settings["training.rounds"] == 3
    assert notebook.run.settings["data.modalities"] == "[]"
    told, results = metrics_of(folder), results_of(folder)
    assert [(line.place, line.step) for line in notebook.lines] == [(0, 1), (1, 2), (2, 3)]
    assert [line.values["loss"] for line in notebook.lines] == [line["loss"] for line in told]
    assert [line.values.get("accuracy") for line in notebook.lines] == [line.get("accuracy") for line in told]
    head = told[0]["bytes_by_part"]["up"]["head"]
    assert notebook.lines[0].values["bytes_by_part/up/head"] == head
    times = [line.seconds for line in notebook.lines]
    assert times == sorted(times)
    ((end, table, model),) = notebook.ends
    assert end.step == 3
    assert end.values["results/scenarios/full/accuracy"] == results["scenarios"]["full"]["accuracy"]
    assert end.values["results/clients/0/accuracy"] == results["clients"]["0"]["accuracy"]
    assert model == folder / "model"
    titles, line, first, *_ = table.markdown().splitlines()
    assert titles.startswith("| test scenario | accuracy | ")
    assert line.startswith("| :-- | --: |")
    assert first.startswith(f"| like train | {results['scenarios']['like train']['accuracy']} | ")


def test_a_run_that_goes_on_goes_on_in_the_same_run_of_the_tracker(
    small_settings: Settings, tmp_path: Path, opened: list[Notebook]
):
    folder = tmp_path / "run"

    def stop(progress: Progress) -> None:
        if progress.round_number == 2:
            raise KeyboardInterrupt

    def make(make_run: Callable[..., object], *words: object, stops: Callback | None = None) -> None:
        with Tracking(folder, ["mlflow"]) as tracking:
            make_run(*words, callbacks=[tracking, *([stops] if stops else [])])

    with pytest.raises(KeyboardInterrupt):
        make(start_run, small_settings, folder, stops=AfterRound(stop))
    make(resume_run, folder)
    make(resume_run, folder)  # it is finished, and told
    first, second = opened
    assert first.key == second.key
    assert first.going_on is None
    assert second.going_on == first.lines[-1]
    assert [line.step for line in (*first.lines, *second.lines)] == [1, 2, 3]
    assert (len(first.ends), len(second.ends)) == (0, 1)
    assert (first.closed, second.closed) == ([False], [True])


def test_a_finished_run_is_told_afterwards_once_and_again_only_where_it_has_changed(
    finished_copy: Path, opened: list[Notebook]
):
    for _ in range(2):
        with Tracking(finished_copy, ["mlflow"], finished_copy.parent, {"method": "fedprime"}):
            pass
    (notebook,) = opened
    assert [line.step for line in notebook.lines] == [1, 2, 3]
    assert notebook.run.name == "method fedprime, seed 0"
    assert notebook.run.group == finished_copy.parent.name
    assert notebook.run.settings["label.method"] == "fedprime"
    with Tracking(finished_copy, ["mlflow"]) as tracking:
        resume_run(finished_copy, changes=["--training.rounds", "4"], callbacks=[tracking])
    assert [line.step for line in opened[1].lines] == [4]
    assert (opened[1].key, len(opened[1].ends)) == (notebook.key, 1)


def test_a_tracker_that_fails_costs_itself_alone_and_gets_the_rest_later(
    small_settings: Settings,
    finished_run: Path,
    tmp_path: Path,
    opened: list[Notebook],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    folder = tmp_path / "run"
    with Tracking(folder, ["wandb", "mlflow"]) as tracking, caplog.at_level(logging.ERROR, "fedprime"):
        start_run(small_settings, folder, callbacks=[tracking])
        assert not caplog.messages  # it is told once, at the end
    assert tracking.failures == {"wandb": "ConnectionError: the server has gone"}
    (told,) = caplog.messages
    assert told.startswith(
        "wandb FAILED and lacks a part of this run, which itself is as it should be: ConnectionError"
    )
    assert told.endswith(f"fedprime track {folder} --to wandb")
    assert metrics_of(folder) == metrics_of(finished_run)
    broken, whole = opened
    assert ([line.step for line in broken.lines], len(broken.ends)) == ([1], 0)
    assert ([line.step for line in whole.lines], len(whole.ends)) == ([1, 2, 3], 1)
    monkeypatch.setattr(Broken, "breaks_at", None)
    with Tracking(folder, ["wandb", "mlflow"]):
        pass
    (mended,) = opened[2:]
    assert (mended.key, mended.closed) == (broken.key, [True])
    assert ([line.step for line in mended.lines], len(mended.ends)) == ([2, 3], 1)


@pytest.mark.parametrize("how", ["private", "at sites"])
def test_scores_of_single_clients_are_not_told_of_private_runs_and_of_sites(
    how: str, finished_copy: Path, opened: list[Notebook], monkeypatch: pytest.MonkeyPatch, small_settings: Settings
):
    runtime = replace(small_settings.runtime, kind="deployment")
    changed = {"private": {"privacy": PrivacySettings(clip_norm=1.0)}, "at sites": {"runtime": runtime}}[how]
    settings = replace(small_settings, **changed)
    monkeypatch.setattr("fedprime.runs.tracking.read_saved_settings", lambda _: settings)
    with Tracking(finished_copy, ["mlflow"]):
        pass
    ((end, *_),) = opened[0].ends
    assert "results/scenarios/full/accuracy" in end.values
    assert not [name for name in end.values if "client" in name and "bytes" not in name]


def test_nothing_is_opened_for_a_run_that_never_began(tmp_path: Path, opened: list[Notebook]):
    with pytest.raises(KeyboardInterrupt), Tracking(tmp_path / "run", ["mlflow"]):
        raise KeyboardInterrupt
    assert opened == []


def test_what_is_missing_is_told_with_the_command_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fedprime.runs.trackers.find_spec", lambda name: None if name in ("alembic", "wandb") else name)
    with pytest.raises(MissingTrackerError, match=r'install with: pip install "fedprime\[mlflow,wandb\]"$'):
        Tracking(tmp_path, ["tensorboard", "mlflow", "wandb"])
    with pytest.raises(MissingTrackerError, match=r"'tensorbord' is not a tracker: .*did you mean tensorboard"):
        Tracking(tmp_path, ["tensorbord"])
    assert list(TRACKERS) == ["tensorboard", "mlflow", "wandb", "trackio"]


def test_what_was_told_is_noted_beside_the_run(finished_copy: Path):
    with Tracking(finished_copy, ["mlflow"]):
        pass
    note = json.loads((finished_copy / "trackers.json").read_text())["mlflow"]["here"]
    assert (note["lines"], len(note["key"]), len(note["results"])) == (3, 12, 64)
