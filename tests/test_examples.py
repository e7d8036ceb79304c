"""The examples: each is short, runs by itself, and says what came of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "examples").glob("*.py"))


#: Minutes, for its processes.
SLOW = ("examples/deployment.py",)


@pytest.mark.parametrize(
    "example", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in EXAMPLES]
)
def test_an_example_runs_in_a_process_of_its_own_and_prints_something(example: str, tmp_path: Path):
    found = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *filter(None, found)])}
    command = [sys.executable, "-W", "error::FutureWarning", str(ROOT / example)]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_read_in_a_minute_and_says_what_it_shows(example: str):
    lines = (ROOT / example).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60
    assert lines[0].startswith('"""')
    assert f"python {example}" in "\n".join(lines)


def test_the_loop_by_hand_tells_the_accuracy_of_every_round_and_learns(tmp_path: Path):
    command = [sys.executable, str(ROOT / "examples" / "loop_by_hand.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in said.splitlines()]
    accuracies = [float(line.rsplit(" ", 1)[1]) for line in said.splitlines()]
    assert losses == sorted(losses, reverse=True)
    assert len(accuracies) == 3
    assert accuracies[-1] > 1 / 8  # of eight classes
