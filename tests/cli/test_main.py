"""The command line: verbs, exit codes, errors, and nothing heavy before it is needed."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

import fedprime
from command_line import exit_code
from fedprime.backbones import load_backbone
from fedprime.backbones.small_weights import lacking_weights
from fedprime.cli.main import main
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.reproducibility.seeding import torch_stream
from fedprime.settings.reading import read_settings

VERBS = ("run", "grid", "tune", "evaluate", "predict", "merge", "push", "play", "report", "track", "data", "cache")
VERBS = (*VERBS, "new", "deploy", "completion", "recipes")


#: What takes seconds to import, and is not needed to tell what is wrong.
HEAVY = ("torch", "transformers", "numpy", "scipy", "sklearn", "matplotlib", "datasets", "pandas")
IMPORTED = f"""
import sys
from fedprime.cli.main import main
for words in sys.argv[1:]:
    try:
        main(words.split())
    except SystemExit:
        pass
    print("heavy:", [name for name in {HEAVY} if name in sys.modules], "after", words)
"""
#: What one text does not need, and takes longer to import than to answer it: libraries of models and data, and what
#: torch itself imports when layers are made or moved in some ways.
UNNEEDED = ("transformers", "datasets", "huggingface_hub", "scipy", "sklearn", "pandas", "optuna", "matplotlib")
UNNEEDED += ("pyarrow.compute", "pyarrow.parquet", "sympy", "torch._dynamo", "torch.fx.experimental.symbolic_shapes")
ANSWERED = f"""
import sys
from fedprime.cli.main import main
for model in sys.argv[1:]:
    assert main(["predict", model, "--text", "a red bicycle"]) == 0
    print("unneeded:", [name for name in {UNNEEDED} if name in sys.modules])
"""


SILENT = """
import logging
from fedprime.cli.main import main
main(["recipes", "list"])
from huggingface_hub import snapshot_download
print("level", logging.getLogger("huggingface_hub").getEffectiveLevel())
"""


def test_without_words_the_verbs_are_shown(capsys: pytest.CaptureFixture[str]):
    assert exit_code() == 2
    overview = capsys.readouterr().out
    assert all(f"\n  {verb} " in overview for verb in VERBS)


def test_help_shows_the_verbs(capsys: pytest.CaptureFixture[str]):
    assert exit_code("--help") == 0
    overview = capsys.readouterr().out
    assert all(f"\n  {verb} " in overview for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]):
    assert exit_code(verb, "--help") == 0
    assert f"fedprime {verb}" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]):
    assert exit_code("--version") == 0
    assert capsys.readouterr().out.strip() == version("fedprime")


def test_a_wrong_verb_is_told_the_nearest_right_one(complaint: Callable[..., str]):
    assert complaint("evalute").strip() == (
        f"fedprime: 'evalute' is not a verb of fedprime: {', '.join(VERBS)}; did you mean evaluate?"
    )


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["run"], "name a recipe, for example: fedprime run builtin/quickstart"),
        (["run", "--seed", "3"], "name a recipe"),
        (["run", "builtin/quickstrat"], "there is no recipe builtin/quickstrat"),
        (["run", "builtin/quickstart", "--output"], "--output has no value; name a folder"),
        (["run", "builtin/quickstart", "--output", "--seed=1"], "--output has no value"),
        (["run", "--resume"], "--resume has no value"),
        (["run", "--resume", "none"], "there is no run folder none"),
        (["run", "--resume", "none", "--seed", "3"], "there is no run folder none; `fedprime run` makes one"),
        (["run", "builtin/quickstart", "--resume", "none"], "leave out builtin/quickstart"),
        (["run", "--resume", "none", "--output", "other"], "leave out --output"),
        (["run", "builtin/quickstart", "--backbone", "none"], "cannot load a backbone from 'none'"),
        (["run", "builtin/quickstart", "--initial_model", "none"], "none is not a saved model"),
        (["run", "builtin/quickstart", "--data.modalities", "smell"], "'smell' is not one of image, text, readings"),
        (["run", "builtin/quickstart", "--missing.lacking", "smell"], "'smell' is not one of image, text, readings"),
        (
            ["run", "builtin/quickstart", "--data.num_train", "60", "--partition.num_clients", "70"],
            "60 samples cannot be divided among 70 clients",
        ),
        (["grid"], "name a plan first: fedprime grid PLAN"),
        (["grid", "--seeds", "3"], "name a plan first"),
        (["grid", "none"], "there is no plan none"),
        (["grid", "builtin/quickstart"], "builtin/quickstart is a recipe, which is one run; run it with: fedprime run"),
        (["evaluate", "none"], "there is no run folder none"),
        (["predict", "none", "--text", "soup"], "none is not a saved model"),
        (["recipes"], "usage: fedprime recipes list | fedprime recipes show NAME"),
        (["recipes", "show", "builtin/none"], "there is no recipe or plan builtin/none"),
        (["recipes", "lst"], "'lst' is not a verb of fedprime recipes: list, show; did you mean list?"),
        (["data", "chekc", "photos"], "'chekc' is not a verb of fedprime data: check, show; did you mean check?"),
        (["cache", "clean"], "'clean' is not a verb of fedprime cache: show, prune, clear; did you mean clear?"),
        (["deploy", "servr"], "is not a verb of fedprime deploy: keys, kit, server, client; did you mean server?"),
        (["--versio"], "did you mean --version?"),
        (["predict", "none", "--text", "soup", "--prior", "unifrom"], "did you mean uniform?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_that_cannot_be_carried_out_says_why_and_exits_with_2(
    words: list[str], problem: str, complaint: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    said = complaint(*words)
    assert said.startswith("fedprime: ")
    assert problem in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["evaluate"], ["evaluate", "a", "b"], ["predict"], ["predict", "a", "--smell", "b"]])
def test_words_that_a_verb_does_not_know_exit_with_2(words: list[str], complaint: Callable[..., str]):
    assert complaint(*words)


def test_a_mistake_in_the_program_shows_where_it_is(monkeypatch: pytest.MonkeyPatch):
    def divide_by_zero(_: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("fedprime.cli.run.find_recipe", divide_by_zero)
    with pytest.raises(ZeroDivisionError):
        main(["run", "builtin/quickstart"])


def test_a_value_error_from_inside_the_program_is_no_user_error(monkeypatch: pytest.MonkeyPatch):
    def mistake(_: str) -> None:
        raise ValueError("matmul: sizes do not match")

    monkeypatch.setattr("fedprime.cli.run.find_recipe", mistake)
    with pytest.raises(ValueError, match="sizes do not match"):
        main(["run", "builtin/quickstart"])


@pytest.mark.parametrize("words", [["evaluate"], ["predict", "--text", "soup"]], ids=["evaluate", "predict"])
def test_a_run_that_is_not_finished_has_no_model_yet(
    words: list[str], stopped_run: Path, complaint: Callable[..., str]
):
    assert "is not finished; continue it with" in complaint(words[0], stopped_run, *words[1:])


def test_what_needs_no_model_imports_nothing_heavy():
    commands = [
        "--help",
        "--version",
        "rnu",
        "recipes list",
        "run builtin/quickstrat",
        "run builtin/quickstart --traning.rounds 3",
        "run builtin/quickstart --training.rounds many",
        "run --help",
        "run --help training",
        "grid mian",
        "grid main --traning.rounds 3",
        "grid --help",
        "report --help",
        "evaluate --help",
        "predict --help",
        "push --help",
        "play --help",
        "data check --help",
        "data show --help",
        "cache prune --help",
        "deploy keys --help",
        "deploy server --help",
        "deploy client --help",
        "completion words run builtin/quickstart --tr",
    ]
    code = (sys.executable, "-c", IMPORTED, *commands)
    done = subprocess.run(code, capture_output=True, text=True, check=True)  # one process: each import would stay
    assert [line for line in done.stdout.splitlines() if line.startswith("heavy: ")] == [
        f"heavy: [] after {words}" for words in commands
    ]


def test_a_text_is_answered_without_what_it_does_not_need(tmp_path: Path):
    names = ["tiny"] if lacking_weights(("image", "text")) else ["tiny", "small"]
    for name in names:
        model = FedAvgP(num_prompts=2).build(
            load_backbone(name, ("image", "text")), ("a", "b"), "one_class", torch_stream(0, "model")
        )
        model.save_pretrained(tmp_path / name)
    command = (sys.executable, "-c", ANSWERED, *(str(tmp_path / name) for name in names))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [line for line in done.stdout.splitlines() if line.startswith("unneeded:")]
    assert found == ["unneeded: []"] * len(names)


def test_the_package_itself_imports_nothing_heavy_and_a_name_where_it_is_used():
    code = f"""
import sys, fedprime
before = [name for name in {HEAVY} if name in sys.modules]
print(before, "start_run" in dir(fedprime))
"""
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"
    assert fedprime.read_settings is read_settings


def test_a_name_that_the_package_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'fedprime' has no attribute 'strat_run'"):
        fedprime.strat_run  # noqa: B018


def test_what_the_output_cannot_show_is_written_in_ascii(tmp_path: Path):
    command = (sys.executable, "-m", "fedprime", "run", "r\u00fcn")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(r"fedprime: there is no recipe r\xfcn")
    assert "Traceback" not in done.stderr


def test_attempts_to_reach_the_hub_are_not_told_one_by_one():
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_VERBOSITY"}
    words = [sys.executable, "-c", SILENT]
    said = subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout
    assert said.splitlines()[-1] == f"level {logging.ERROR}"
