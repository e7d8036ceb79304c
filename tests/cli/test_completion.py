"""What shells complete: words of verbs, recipes, settings and values, and the scripts that ask for them."""

import subprocess
import sys
from pathlib import Path

import pytest

from command_line import exit_code
from fedprime.cli.completion import SHELLS, completions


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["gr"], ["grid"]),
        (["run", "builtin/q"], ["builtin/quickstart"]),
        (["grid", "pool"], ["pool_size"]),
        (["run", "builtin/quickstart", "--training.sch"], ["--training.schedule"]),
        (["run", "builtin/quickstart", "--training.schedule", "c"], ["constant", "cosine"]),
        (["run", "builtin/quickstart", "--method.name", "pf"], ["pfpt"]),
        (["run", "builtin/quickstart", "--privacy.secret", ""], ["true", "false"]),
        (["run", "builtin/quickstart", "--out"], ["--output"]),
        (["run", "builtin/quickstart", "--output", "x"], []),
        (["pla"], ["play"]),
        (["play", "m", "--ex"], ["--export"]),
        (["push", "m", "me/soups", "--pr"], ["--private"]),
        (["recipes", "s"], ["show"]),
        (["recipes", "show", "plans/pool"], ["plans/pool_size"]),
        (["evaluate", "runs/x"], []),
        (["predict", "runs/x", "--pr"], ["--prior"]),
        (["data", "check", "photos", "--mod"], ["--modalities"]),
        (["deploy", "keys", "--"], ["--hosts", "--clients", "--help"]),
        (["run", "builtin/quickstart", "--method.name", "pfpt", "--method.num_a"], ["--method.num_alternations"]),
        (["run", "builtin/quickstart", "--method.name=pfpt", "--method.likelihood", ""], ["mean", "sum"]),
        (["run", "builtin/quickstart", "--method.name=fedprox-p", "--method.num_a"], []),
        (["run", "no/recipe", "--method.pool"], ["--method.pool_size"]),  # of the method that is taken by default
        (["grid", "main", "--method.prox"], ["--method.proximal_weight"]),
        (["run", "builtin/quickstart", "--method.reference_quirks", "batch"], ["batch_vote"]),
        (["run", "builtin/quickstart", "--track", "mlflow", "t"], ["tensorboard", "trackio"]),
        (["track", "runs/x", "--to", "w"], ["wandb"]),
        (["tune", "builtin/q"], ["builtin/quickstart"]),
        (["tune", "pool"], ["pool_size"]),
        (["tune", "builtin/study", "--tri"], ["--trials"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_word_is_completed_by_what_may_stand_there(words: list[str], expected: list[str]):
    assert completions(words) == expected


def test_bash_completes_by_its_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("completion", "bash") == 0
    (tmp_path / "fedprime").write_text(f'#!/bin/sh\nexec {sys.executable} -m fedprime "$@"\n')
    (tmp_path / "fedprime").chmod(0o755)
    asking = """
COMP_WORDS=(fedprime run builtin/thr); COMP_CWORD=2; _fedprime; echo "${COMPREPLY[@]}"
COMP_WORDS=(fedprime run x --missing.kind by-); COMP_CWORD=4; _fedprime; echo "${COMPREPLY[@]}"
complete -p fedprime
"""
    script = f'PATH={tmp_path}:"$PATH"\n{capsys.readouterr().out}{asking}'
    done = subprocess.run(("bash", "-c", script), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "builtin/three_modalities",
        "by-label by-observed by-site",
        "complete -o default -F _fedprime fedprime",
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script_that_asks_for_words(shell: str, capsys: pytest.CaptureFixture[str]):
    assert exit_code("completion", shell) == 0
    assert "fedprime completion words" in capsys.readouterr().out


def test_another_shell_is_told_which_there_are(capsys: pytest.CaptureFixture[str]):
    assert exit_code("completion", "tcsh") == 2
    assert "fedprime completion bash|zsh|fish" in capsys.readouterr().err
