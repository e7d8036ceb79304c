"""A package that is not fedprime's own brings a method, a data set and a backbone: every verb works with them."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from fedprime.experiment.run_folder import RunFolder
from outside_package import install

pytestmark = pytest.mark.slow

RECIPE = """
backbone = "renamed:tiny"
data = { name = "colours" }
partition = { kind = "even", num_clients = 2 }
missing = { rate = 0.5 }
method = { name = "damped-p", num_prompts = 2, damping = 0.25, paper = true }
training = { rounds = 2, batch_size = 16 }
"""

PLAN = """
recipe = "recipe.toml"
seeds = [0]

[axes.damping]
none.method.damping = 0.0
half.method.damping = 0.5
"""


#: All in one process, for the seconds that each would import: verbs, a run that is stopped, the workers of a grid.
PROGRAM = """
import json, shutil
from pathlib import Path
from fedprime import read_settings, start_run
from fedprime.cli.main import main
from fedprime.runs.callbacks import AfterRound

def stop(progress):
    raise KeyboardInterrupt

def ends_well(*words):
    assert main(list(words)) == 0, words

if __name__ == "__main__":
    ends_well("run", "recipe.toml", "--data.options.samples", "120", "--output", "one")
    # As if it had been stopped before it could say that it is finished.
    shutil.copytree("one", "again")
    Path("again/results.json").unlink()
    ends_well("run", "--resume", "again")
    ends_well("predict", "one/model", "--text", "red", "--json")
    ends_well("report", "one", "--output", "report")
    ends_well("run", "recipe.toml", "--output", "whole")
    try:
        start_run(read_settings("recipe.toml"), "stopped", callbacks=[AfterRound(stop)])
    except KeyboardInterrupt:
        shutil.copytree("stopped", "resumed")
    ends_well("run", "--resume", "resumed")
    ends_well("grid", "plan.toml", "--processes", "2", "--output", "grid")
"""


class Place:
    """A folder to work in, where the outside package is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        paths = (install(folder / "site-packages"), Path(__file__).parents[2] / "src")
        self.environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
        (folder / "recipe.toml").write_text(RECIPE)
        (folder / "plan.toml").write_text(PLAN)
        (folder / "program.py").write_text(PROGRAM)

    def python(self, *words: str, expected: int = 0, **changes: str) -> str:
        """Runs a program, in an environment with changes, and returns what it printed."""
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.environment | changes,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("outside"))


@pytest.fixture(scope="module")
def said(place: Place) -> str:
    """What the program prints, whose files are left in the folder."""
    return place.python("program.py")


def test_what_a_package_registers_runs_is_resumed_predicts_and_is_reported(place: Place, said: str):
    settings = tomllib.loads((place.folder / "one" / "settings.toml").read_text())
    assert settings["method"]["damping"] == 0.25
    assert settings["data"]["options"] == {"samples": 120, "shades": [200, 250]}
    one, again = ((place.folder / name / "model" / "model.safetensors").read_bytes() for name in ("one", "again"))
    assert one == again
    assert '"green"' in said
    assert "1 run reported" in said


@pytest.mark.usefixtures("said")
def test_what_a_method_of_a_package_keeps_at_the_server_is_kept_when_its_run_is_resumed(place: Place):
    between = RunFolder(place.folder / "stopped").load_checkpoint()
    assert between.next_round == 1
    assert any(name.startswith("step.") and value.any() for name, value in between.state.server.items())
    resumed, uninterrupted = (RunFolder(place.folder / name).load_checkpoint().state for name in ("resumed", "whole"))
    for ours, theirs in ((resumed.server, uninterrupted.server), (resumed.shared, uninterrupted.shared)):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.usefixtures("said")
def test_what_a_package_registers_runs_in_the_workers_of_a_grid(place: Place):
    results = [json.loads(path.read_text()) for path in (place.folder / "grid").rglob("results.json")]
    assert [result["method"] for result in results] == ["damped-p", "damped-p"]


def test_a_setting_that_the_package_does_not_know_is_refused(place: Place):
    words = ("run", "recipe.toml", "--method.dampin", "3", "--data.options.sample", "3")
    said = place.python("-m", "fedprime", *words, expected=2)
    assert "method.dampin: damped-p has no such setting; it has num_prompts, " in said
    assert "did you mean method.damping?" in said
    assert "data.options.sample: the data set colours has no such setting; it has samples, shades" in said


def test_without_the_package_its_names_are_told_to_lack(place: Place):
    words, alone = ("run", "recipe.toml", "--output", "none"), str(Path(__file__).parents[2] / "src")
    said = place.python("-m", "fedprime", *words, expected=2, PYTHONPATH=alone)
    assert "method.name: 'damped-p' is no method: fedprime, " in said
    assert "data.name: 'colours' is no data set: builtin, " in said
    assert "one of another package is found when that is installed" in said
