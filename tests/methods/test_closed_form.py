"""CLOSED-FORM as a method: a start and no round of training."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedprime.experiment.run_folder import RunFolder
from fedprime.methods.closed_form import ClosedForm
from fedprime.runs.run import start_run
from fedprime.settings.settings import Settings

pytestmark = pytest.mark.without_shape_checks


def test_it_has_a_start_and_no_rounds(small_settings: Settings, tmp_path: Path):
    results = start_run(replace(small_settings, method=ClosedForm()), tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    assert results["rounds"] == 0
    assert [line["round"] for line in run.metrics()] == [-5, -4, -3, -2, -1]
    assert run.load_checkpoint().next_round == 0
    assert all("own_accuracy" in scores for scores in results["scenarios"].values())
    assert all("majority_accuracy" in scores for scores in results["scenarios"].values())


def test_the_sums_over_all_clients_stay_at_the_server(small_settings: Settings, tmp_path: Path):
    start_run(replace(small_settings, method=ClosedForm()), tmp_path / "run")
    state = RunFolder(tmp_path / "run").load_checkpoint().state
    assert float(state.server["sums.num_samples"]) == 40
    assert not any(name.startswith(("sums.", "method.")) for name in state.shared)


def test_the_same_seed_gives_the_same_head_to_the_bit(small_settings: Settings, tmp_path: Path):
    heads = []
    for name in ("one", "other"):
        start_run(replace(small_settings, method=ClosedForm()), tmp_path / name)
        heads.append(RunFolder(tmp_path / name).load_checkpoint().state.shared)
    assert all(torch.equal(value, heads[1][name]) for name, value in heads[0].items())
