"""The loop of a run: a line of metrics for every round, and a final table that adds up."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fedprime.experiment.loading import load_experiment
from fedprime.experiment.run_folder import Checkpoint, RunFolder
from fedprime.methods import METHODS
from fedprime.methods.fedprime import FedIntra
from fedprime.runs.callbacks import AfterRound
from fedprime.runs.evaluators import OwnSamples
from fedprime.runs.metrics import Progress
from fedprime.runs.run import resume_run, start_run
from fedprime.settings.settings import Settings
from run_files import flip_bit, metrics_of, results_of, weights_of


@dataclass(frozen=True)
class PrivateIntra(FedIntra):
    """FED-INTRA whose pool stays at its client."""

    name = "private-intra"

    def travels(self, name: str) -> bool:
        return "pools" not in name


def test_there_is_a_line_of_metrics_for_every_round(finished_run: Path):
    lines = metrics_of(finished_run)
    assert [line["round"] for line in lines] == [0, 1, 2]
    for line in lines:
        assert line["asked"] == line["answered"] == 4
        assert line["left_out"] == {}
        assert line["pool_sizes"].keys() == {"pools.inter", "pools.intra"}
        assert line["bytes_down"] > 0
        assert math.isfinite(line["loss"])


def test_accuracy_is_measured_as_often_as_asked_and_at_the_end(finished_run: Path):
    # Every second round, and the last.
    assert ["accuracy" in line for line in metrics_of(finished_run)] == [False, True, True]


def test_every_round_tells_which_prompts_met_in_which_centre(finished_run: Path):
    for line in metrics_of(finished_run):
        (inter,) = line["matches"].values()
        assert len(inter) == line["answered"]
        # Each client sent what it had received, and each of its prompts is at a centre of its own.
        assert all(len(set(centres)) == len(centres) for centres in inter)
        assert {centre for centres in inter for centre in centres} == set(range(line["pool_sizes"]["pools.inter"]))


def test_where_accuracy_is_measured_it_is_told_how_often_each_prompt_was_chosen(finished_run: Path):
    experiment = load_experiment(RunFolder(finished_run))
    present = experiment.validation.present.tolist()
    for line in metrics_of(finished_run):
        assert ("usage" in line) == ("accuracy" in line)
        for pool, usage in line.get("usage", {}).items():
            for name, there in (("image", [True, False]), ("text", [False, True]), ("image+text", [True, True])):
                if there in present:
                    assert len(usage[name]) == line["pool_sizes"][f"pools.{pool}"]
                    assert sum(usage[name]) == 2 * present.count(there)  # 4 prompts from 2 pools
                else:
                    assert name not in usage


def test_clients_with_models_of_their_own_tell_no_usage(
    small_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(METHODS, PrivateIntra.name, PrivateIntra)
    start_run(replace(small_settings, method=METHODS[PrivateIntra.name](num_prompts=4)), tmp_path / "run")
    assert all("usage" not in line and "matches" not in line for line in metrics_of(tmp_path / "run"))


def test_the_results_add_up_what_was_sent(finished_run: Path):
    results, lines = results_of(finished_run), metrics_of(finished_run)
    assert results["bytes_down"] == sum(line["bytes_down"] for line in lines)
    assert results["bytes_up"] == sum(line["bytes_up"] for line in lines)
    assert results["rounds"] == 3


def test_the_results_count_the_values_that_are_trained_and_sent(finished_run: Path):
    results = results_of(finished_run)
    values = sum(value.numel() for value in weights_of(finished_run).values())
    assert results["trained_values"] == results["sent_values"] == values
    assert results["sent_bytes_per_client_and_round"] == 2 * 4 * values


def test_a_run_goes_on_from_an_earlier_state_although_the_best_is_one_that_is_made_again(
    small_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    measured, losses = OwnSamples.on_validation, (1.0, 1.1, 0.9)

    def pretended(self: OwnSamples, checkpoint: Checkpoint) -> dict[str, Any]:
        return measured(self, checkpoint) | {"selection_loss": losses[checkpoint.next_round - 1]}

    monkeypatch.setattr(OwnSamples, "on_validation", pretended)
    settings = replace(
        small_settings,
        training=replace(small_settings.training, keep="best"),
        evaluation=replace(small_settings.evaluation, every=1),
    )

    def stop(progress: Progress) -> None:
        if progress.round_number == len(losses):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(settings, tmp_path / "run", callbacks=[AfterRound(stop)])
    flip_bit(tmp_path / "run" / "checkpoint.safetensors", 0.9)
    assert resume_run(tmp_path / "run")["kept_round"] == 2


def test_the_final_model_is_the_last_checkpoint(finished_run: Path):
    shared = RunFolder(finished_run).load_checkpoint().state.shared
    assert all(torch.equal(shared[name], value) for name, value in weights_of(finished_run).items())
