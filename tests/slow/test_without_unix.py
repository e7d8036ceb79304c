"""Runs on a machine that lacks what Windows lacks: names of `os` and `signal` are taken away, in workers, too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from run_files import results_of

pytestmark = pytest.mark.slow

TAKEN_AWAY = """
import os, signal
del signal.SIGPIPE, signal.SIGHUP, signal.pthread_sigmask, os.preadv, os.O_CLOEXEC, os.sched_getaffinity
"""
PLAN = """
seeds = [0]
[axes.method]
head-only.method.name = "head-only"
fedavg-p.method.name = "fedavg-p"
"""


def test_a_run_and_a_grid_in_workers_need_none_of_what_windows_lacks(small_flags: tuple[str, ...], tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(TAKEN_AWAY)
    (tmp_path / "plan.toml").write_text(PLAN)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    def ends_well(*words: object) -> None:
        command = [sys.executable, "-m", "fedprime", *map(str, words)]
        made = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=300
        )
        assert (made.returncode, made.stderr) == (0, "")

    ends_well("run", "builtin/quickstart", *small_flags, "--output", tmp_path / "run")
    ends_well("predict", tmp_path / "run", "--text", "warm soup")
    ends_well("grid", tmp_path / "plan.toml", *small_flags, "--processes", "2", "--output", tmp_path / "grid")
    assert results_of(tmp_path / "grid" / "runs" / "fedavg-p" / "seed-0")["rounds"] == 3
