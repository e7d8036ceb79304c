"""What is told about a run while it is made, and how one ends before its last round."""

import csv
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fedprime.data.batches import Encoded
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.report.writing import write_report
from fedprime.runs.callbacks import AfterRound, Callback, EarlyStopping, ProgressLine
from fedprime.runs.metrics import Progress
from fedprime.runs.run import resume_run, start_run
from fedprime.settings.settings import Settings
from run_files import metrics_of, results_of


def history_of(*losses: float | None) -> list[dict[str, Any]]:
    """Lines of metrics with these validation losses; None where nothing was measured."""
    return [
        {"round": number} if loss is None else {"round": number, "validation_loss": loss}
        for number, loss in enumerate(losses)
    ]


def test_a_run_is_over_when_as_many_rounds_have_not_undercut_the_lowest_loss():
    losses = [3.0, 2.0, 2.5, 1.5, 1.6, 1.7, 1.5]
    ends = [EarlyStopping(3).is_over(history_of(*losses[: number + 1])) for number in range(len(losses))]
    assert ends == [False, False, False, False, False, False, True]


def test_rounds_that_were_not_measured_count_but_do_not_end_a_run():
    losses = [3.0, None, 3.5, None, 3.2]
    ends = [EarlyStopping(3).is_over(history_of(*losses[: number + 1])) for number in range(len(losses))]
    assert ends == [False, False, False, False, True]


def test_without_patience_or_losses_no_run_is_over():
    assert not EarlyStopping(0).is_over(history_of(1.0, 2.0, 3.0))
    assert not EarlyStopping(1).is_over(history_of(None, None, None))


class Diary(Callback):
    """Notes what it is told, and ends a run after its second round."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def round_finished(self, progress: Progress) -> None:
        self.told.append(progress.round_number)

    def is_over(self, history: Sequence[Mapping[str, Any]]) -> bool:
        return len(history) == 2

    def run_finished(self, results: Mapping[str, Any]) -> None:
        self.told.append(results)


def test_a_callback_is_told_of_rounds_and_end_and_may_end_the_run(small_settings: Settings, tmp_path: Path):
    diary = Diary()
    results = start_run(small_settings, tmp_path / "run", callbacks=[diary])
    assert diary.told == [1, 2, results]
    assert (results["rounds"], results["stopped_early"]) == (2, {"after_rounds": 2, "of": 3})
    assert results_of(tmp_path / "run")["stopped_early"] == results["stopped_early"]
    assert len(metrics_of(tmp_path / "run")) == 2


def test_what_fails_in_a_callback_loses_no_round(small_settings: Settings, tmp_path: Path):
    def fail(_: Progress) -> None:
        raise RuntimeError("the disk of the dashboard is full")

    with pytest.raises(RuntimeError, match="dashboard"):
        start_run(small_settings, tmp_path / "run", callbacks=[AfterRound(fail)])
    assert [line["round"] for line in metrics_of(tmp_path / "run")] == [0]
    assert resume_run(tmp_path / "run")["rounds"] == 3


@pytest.fixture
def worsening(small_settings: Settings) -> Settings:
    """Settings with which the validation loss rises: steps are far too long."""
    training = replace(small_settings.training, rounds=8, lr=3.0, patience=2)
    return replace(
        small_settings,
        method=FedAvgP(num_prompts=4),
        training=training,
        evaluation=replace(small_settings.evaluation, every=1),
    )


def test_a_run_without_improvement_ends_early_and_equal_to_the_bit_however_often_it_is_stopped(
    worsening: Settings, tmp_path: Path
):
    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    rounds = start_run(worsening, whole)["rounds"]
    assert 3 <= rounds < 8
    losses = [line["validation_loss"] for line in metrics_of(whole)]
    assert losses.index(min(losses)) == rounds - 1 - 2
    with pytest.raises(KeyboardInterrupt):
        start_run(worsening, stopped, callbacks=[AfterRound(stop)])
    for _ in range(rounds - 1):  # the last time after the round with which it is over
        with pytest.raises(KeyboardInterrupt):
            resume_run(stopped, callbacks=[AfterRound(stop)])
    resume_run(stopped, callbacks=[AfterRound(stop)])
    assert metrics_of(stopped) == metrics_of(whole)
    assert results_of(stopped) == results_of(whole)
    ours, theirs = (load_file(folder / "model" / "model.safetensors") for folder in (stopped, whole))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.usefixtures("without_plots")
def test_the_report_tells_the_rounds_that_were_really_made(small_settings: Settings, tmp_path: Path):
    start_run(small_settings, tmp_path / "runs" / "early", callbacks=[Diary()])
    report = write_report([tmp_path / "runs"], tmp_path / "report")
    assert report.problems == ()
    rows = list(csv.DictReader((tmp_path / "report" / "runs.csv").read_text().splitlines()))
    assert {row["rounds"] for row in rows} == {"2"}


def test_a_line_of_progress_is_written_over_all_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))  # as in a notebook
    line = ProgressLine()
    line.values_encoded(Encoded("image", 1000, 1000))
    line.round_finished(Progress(1, 30, 0.5, 0.75, None, 0, 1.0))
    line.run_finished({})
    assert capsys.readouterr().err == "\rencoding image 1,000/1,000\rround 1/30, accuracy 75.0 %\n"
    line.round_finished(Progress(2, 30, 0.5, None, None, 0, 1.0))
    assert capsys.readouterr().err == f"\r{'round 2/30':27}"
