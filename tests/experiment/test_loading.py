"""From the folder of a run back to what it works with, also from one that an earlier version wrote."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedprime.experiment.loading import load_experiment, refuse_other_settings, with_absolute_folders
from fedprime.experiment.run_folder import RunError, RunFolder
from fedprime.runs.run import resume_run
from fedprime.settings.settings import Settings
from run_files import results_of

#: A run of two rounds that was stopped after the first, and the final table of the same run that was not.
SAVED = Path(__file__).parent / "saved_by_e46d9f9"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAVED, tmp_path / "run", ignore=shutil.ignore_patterns("expected_results.json")))


def test_a_run_that_an_earlier_version_began_ends_as_it_would_have_ended_there(saved: Path):
    expected = json.loads((SAVED / "expected_results.json").read_text())
    del expected["seconds"]
    resume_run(saved)
    found = results_of(saved)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if name not in ("scenarios", "clients"):
            assert found[name] == value
    # Another processor may sum in another order.
    for table in ("scenarios", "clients"):
        for name, scores in expected[table].items():
            # What that version did not measure is beside it now.
            assert {key: found[table][name][key] for key in scores} == pytest.approx(scores, rel=1e-5)


def test_the_samples_and_masks_of_an_earlier_version_are_drawn_again(saved: Path):
    experiment = load_experiment(RunFolder(saved))
    assert [shard.indices.tolist() for shard in experiment.shards] == [
        RunFolder(saved).masks()[f"client.{client}.samples"].tolist() for client in range(2)
    ]
    assert RunFolder(saved).own_objects() == {}


def test_an_experiment_is_rebuilt_as_it_was(finished_run: Path):
    run = RunFolder(finished_run)
    masks = load_experiment(run).masks()
    assert masks.keys() == run.masks().keys()
    assert all(torch.equal(mask, masks[name]) for name, mask in run.masks().items())


def test_settings_that_differ_are_named(finished_run: Path, small_settings: Settings):
    run = RunFolder(finished_run)
    refuse_other_settings(run, small_settings)
    with pytest.raises(RunError, match="has other settings: seed is 0 there, 5 here; move it away"):
        refuse_other_settings(run, replace(small_settings, seed=5))


def test_folders_that_are_there_become_absolute_and_other_names_stay(
    small_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "tiny").mkdir()
    settings = replace(small_settings, data=replace(small_settings.data, path="photos"), initial_model="nowhere")
    found = with_absolute_folders(settings)
    assert (found.data.path, found.initial_model) == (str(tmp_path / "photos"), "nowhere")
    assert found.backbone == "tiny"  # the one that comes with fedprime, whatever folder is called so
