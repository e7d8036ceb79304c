"""What runs at the server of a deployment: what a file describes; what came of it stands beside that file."""

import json
from pathlib import Path

import pytest

from fake_grid import FakeGrid
from fedprime.experiment.run_folder import RunError, RunFolder
from fedprime.runs.server_app import run_job
from fedprime.runtime.flower.client_app import STATE_KEY
from fedprime.settings.reading import dump_toml, read_settings


@pytest.fixture
def job(small_flags: tuple[str, ...], tmp_path: Path) -> Path:
    flags = ["--runtime.kind=deployment", "--runtime.wait_seconds=0.01", "--training.rounds=1"]
    (tmp_path / "settings.toml").write_text(dump_toml(read_settings(None, [*small_flags, *flags])))
    facts = {
        "run": "abc0",
        "attempt": "1",
        "folder": str(tmp_path / "run"),
        "settings": str(tmp_path / "settings.toml"),
    }
    (tmp_path / "job.json").write_text(json.dumps(facts))
    return tmp_path / "job.json"


def outcome(job: Path) -> dict[str, str | None]:
    return json.loads(job.with_name("outcome.json").read_text())


def test_a_job_is_done_and_says_so(job: Path):
    run_job(FakeGrid(4, **{STATE_KEY: str(job.with_name("state"))}), job)
    assert RunFolder(job.with_name("run")).is_finished
    assert outcome(job) == {"attempt": "1", "error": None}


def test_who_is_not_used_is_said_beside_the_job(job: Path):
    grid = FakeGrid(4, **{STATE_KEY: str(job.with_name("state"))})
    grid.connect(1)
    run_job(grid, job)
    said = job.with_name("refused.log").read_text().splitlines()
    assert [line.partition(" (")[0] for line in said] == ["client 1", "client 1"]


def test_what_went_wrong_stands_where_the_command_looks_for_it(job: Path):
    with pytest.raises(RunError):
        run_job(FakeGrid(0), job)
    said = outcome(job)
    assert said["attempt"] == "1"
    assert "no client is connected" in str(said["error"])
