"""The command line, mostly called in this process: what it prints, its exit codes, its errors."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from command_line import exit_code
from fedprime.cli.main import main
from fedprime.experiment.run_folder import RunFolder
from fedprime.settings.describe import describe_settings
from fedprime.settings.reading import read_settings

VERBS = ("run", "grid", "evaluate", "predict", "report", "data", "cache", "deploy", "recipes")
COMMAND = (sys.executable, "-m", "fedprime.cli.main")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text("seed = 0\n")
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.fromarray(np.full((64, 64, 3), (200, 30, 30), dtype=np.uint8)).save(path)
    return path


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


def test_the_help_of_run_explains_every_setting(capsys: pytest.CaptureFixture[str]):
    assert exit_code("run", "--help") == 0
    shown = capsys.readouterr().out
    for name in {setting.name for setting in describe_settings()}:
        assert f"--{name}".replace("_", "-") in shown.replace("_", "-")
    assert "Learning rate in the first round" in shown


def test_the_help_of_a_recipe_shows_its_values(recipe: Path, capsys: pytest.CaptureFixture[str]):
    recipe.write_text("[training]\nrounds = 1234\n")
    assert exit_code("run", recipe, "--help") == 0
    assert "1234" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]):
    assert exit_code("--version") == 0
    assert capsys.readouterr().out.strip() == version("fedprime")


def test_a_wrong_verb_is_told_the_nearest_right_one(complaint: Callable[..., str]):
    assert complaint("evalute").strip() == (
        f"fedprime: 'evalute' is not a verb of fedprime: {', '.join(VERBS)}; did you mean evaluate?"
    )


def test_a_run_shows_plain_lines_where_there_is_no_terminal(
    recipe: Path, small_flags: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert exit_code("run", recipe, *small_flags, "--output", tmp_path / "run") == 0
    shown = capsys.readouterr().out
    rounds = [line for line in shown.splitlines() if line.startswith("round ")]
    assert [line.split()[1] for line in rounds] == ["1/3", "2/3", "3/3"]
    assert all("loss " in line and " MB sent" in line and line.endswith("left") for line in rounds)
    assert "accuracy not measured yet" in rounds[0]
    assert "\x1b" not in shown
    assert "\r" not in shown
    for scenario in ("like train", "miss both", "full", "image only", "text only"):
        assert scenario in shown
    assert shown.splitlines()[-1] == f"run folder: {tmp_path / 'run'}"


def test_a_run_shows_a_live_line_on_a_terminal(
    recipe: Path, small_flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert exit_code("run", recipe, *small_flags, "--output", tmp_path / "run") == 0
    shown = sys.stdout.getvalue()
    assert "\nround 1/3  loss" not in shown
    assert "3/3" in shown
    assert "\x1b[" in shown


def test_flags_reach_the_run(recipe: Path, small_flags: tuple[str, ...], small_settings: Settings, tmp_path: Path):
    flags = [word for flag in small_flags for word in flag.split("=")]
    assert exit_code("run", recipe, f"--output={tmp_path / 'run'}", *flags) == 0
    assert read_settings(tmp_path / "run" / "settings.toml") == small_settings


def test_a_run_without_a_folder_gets_one_named_by_recipe_and_time(
    recipe: Path, small_flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert exit_code("run", recipe, *small_flags) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("recipe-2")
    assert (folder / "results.json").exists()


def test_a_stopped_run_is_continued(stopped_run: Path, finished_run: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("run", "--resume", stopped_run) == 0
    rounds = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("round ")]
    assert rounds == ["2/3", "3/3"]
    ours = load_file(stopped_run / "model" / "model.safetensors")
    theirs = load_file(finished_run / "model" / "model.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_finished_run_is_shown_again(finished_copy: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("run", f"--resume={finished_copy}") == 0
    shown = capsys.readouterr().out
    assert "round 1/3" not in shown
    assert "like train" in shown


class Interrupting(io.StringIO):
    """An output during whose first line of progress somebody presses Ctrl-C."""

    def write(self, text: str) -> int:
        if text.startswith("round 1/"):
            signal.raise_signal(signal.SIGINT)
        return super().write(text)


def test_ctrl_c_stops_after_saving_and_says_how_to_go_on(
    recipe: Path, small_flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    said = io.StringIO()
    monkeypatch.setattr(sys, "stdout", Interrupting())
    monkeypatch.setattr(sys, "stderr", said)
    assert exit_code("run", recipe, *small_flags, "--output", tmp_path / "run") == 130
    assert said.getvalue().strip() == (
        f"stopped; 1 round(s) saved. Go on with: fedprime run --resume {tmp_path / 'run'}"
    )
    assert RunFolder(tmp_path / "run").load_checkpoint().next_round == 1


def test_ctrl_c_before_the_first_round_says_that_nothing_was_saved(
    recipe: Path,
    small_flags: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def interrupted(_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("fedprime.runs.run.build_experiment", interrupted)
    assert exit_code("run", recipe, *small_flags, "--output", tmp_path / "run") == 130
    assert "nothing was saved" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_same_seed_gives_the_same_weights_to_the_bit_in_another_process(
    small_flags: tuple[str, ...], recipe: Path, finished_run: Path, tmp_path: Path
):
    words = (*COMMAND, "run", recipe, *small_flags, "--output", tmp_path / "run")
    # Another order of hashes must not matter.
    done = subprocess.run(
        words, env={**os.environ, "PYTHONHASHSEED": "4242"}, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    ours = load_file(tmp_path / "run" / "model" / "model.safetensors")
    theirs = load_file(finished_run / "model" / "model.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    here, there = (json.loads((folder / "results.json").read_text()) for folder in (tmp_path / "run", finished_run))
    assert here["scenarios"] == there["scenarios"]


def test_every_wrong_setting_is_reported_at_once_and_nothing_is_made(
    recipe: Path, tmp_path: Path, complaint: Callable[..., str]
):
    recipe.write_text("sede = 1\n")
    said = complaint("run", recipe, "--training.round", "3", "--missing.rate=7", "--output", tmp_path / "run")
    assert said.startswith("fedprime: 3 settings are wrong:")
    for part in ("did you mean seed?", "did you mean training.rounds?", "missing.rate is '7'"):
        assert part in said
    assert not (tmp_path / "run").exists()


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
        (["run", "--resume", "none", "--seed", "3"], "leave out --seed 3"),
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


def test_an_existing_run_folder_is_named_and_left_alone(
    recipe: Path, finished_copy: Path, small_flags: tuple[str, ...], complaint: Callable[..., str]
):
    before = (finished_copy / "results.json").read_bytes()
    said = complaint("run", recipe, *small_flags, "--output", finished_copy)
    assert said.strip().count("\n") == 0
    assert f"continue it with `fedprime run --resume {finished_copy}`" in said
    assert (finished_copy / "results.json").read_bytes() == before


@pytest.mark.parametrize("inside", ["run", "deeper/run"])
def test_a_run_folder_inside_a_file_is_refused(
    inside: str, recipe: Path, small_flags: tuple[str, ...], complaint: Callable[..., str]
):
    assert "recipe.toml" in complaint("run", recipe, *small_flags, "--output", recipe / inside)


def test_a_run_in_use_is_refused(stopped_run: Path, complaint: Callable[..., str]):
    with RunFolder(stopped_run).locked():
        assert f"another process is running {stopped_run}" in complaint("run", "--resume", stopped_run)


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "masks.safetensors", "metrics.jsonl", "settings.toml"])
@pytest.mark.parametrize("damage", [b"", b"\xff\x00broken\n", None], ids=["empty", "noise", "gone"])
def test_a_broken_run_gives_one_clear_error(
    name: str, damage: bytes | None, stopped_run: Path, complaint: Callable[..., str]
):
    if damage is None:
        (stopped_run / name).unlink()
    else:
        (stopped_run / name).write_bytes(damage)
    said = complaint("run", "--resume", stopped_run)
    # An empty file of settings is right as TOML; the run then turns out to be another.
    assert name in said or (name == "settings.toml" and damage == b"")


def test_a_mistake_in_the_program_shows_where_it_is(monkeypatch: pytest.MonkeyPatch):
    def divide_by_zero(_: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("fedprime.cli.main.find_recipe", divide_by_zero)
    with pytest.raises(ZeroDivisionError):
        main(["run", "builtin/quickstart"])


def test_a_value_error_from_inside_the_program_is_no_user_error(monkeypatch: pytest.MonkeyPatch):
    def mistake(_: str) -> None:
        raise ValueError("matmul: sizes do not match")

    monkeypatch.setattr("fedprime.cli.main.find_recipe", mistake)
    with pytest.raises(ValueError, match="sizes do not match"):
        main(["run", "builtin/quickstart"])


def test_evaluation_gives_the_results_of_the_run_again(finished_run: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("evaluate", finished_run, "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((finished_run / "results.json").read_text())


def test_evaluation_shows_a_table(finished_run: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("evaluate", finished_run) == 0
    shown = capsys.readouterr().out
    accuracy = json.loads((finished_run / "results.json").read_text())["scenarios"]["text only"]["accuracy"]
    (line,) = [line for line in shown.splitlines() if "text only" in line]
    assert f"{100 * accuracy:.1f}" in line


def test_evaluation_leaves_the_run_as_it_is(finished_copy: Path):
    before = {path: path.read_bytes() for path in finished_copy.rglob("*") if path.is_file()}
    assert exit_code("evaluate", finished_copy) == 0
    assert {path: path.read_bytes() for path in finished_copy.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("words", [["evaluate"], ["predict", "--text", "soup"]], ids=["evaluate", "predict"])
def test_a_run_that_is_not_finished_has_no_model_yet(
    words: list[str], stopped_run: Path, complaint: Callable[..., str]
):
    assert "is not finished; continue it with" in complaint(words[0], stopped_run, *words[1:])


@pytest.mark.parametrize("modalities", [["text"], ["image"], ["image", "text"]], ids="+".join)
def test_any_subset_of_modalities_is_predicted_from(
    modalities: list[str], finished_run: Path, picture: Path, capsys: pytest.CaptureFixture[str]
):
    values = {"text": "tomato soup", "image": picture}
    flags = [word for modality in modalities for word in (f"--{modality}", values[modality])]
    assert exit_code("predict", finished_run, *flags) == 0
    header, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header == ["row", "label", "probability", "present"]
    assert (row[0], row[3]) == ("1", "+".join(modalities))
    assert row[1].startswith("dish-0")
    assert 1 / 3 <= float(row[2]) <= 1


def test_a_prediction_in_json_has_the_probability_of_every_label(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
):
    assert exit_code("predict", finished_run, "--text", "tomato soup", "--json") == 0
    prediction = json.loads(capsys.readouterr().out)
    assert prediction["row"] == 1
    assert prediction["present"] == ["text"]
    assert prediction["probabilities"].keys() == {"dish-00", "dish-01", "dish-02"}
    assert sum(prediction["probabilities"].values()) == pytest.approx(1)


def test_a_saved_model_alone_is_enough_to_predict(finished_run: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("predict", finished_run, "--text", "tomato soup", "--json") == 0
    from_run = capsys.readouterr().out
    assert exit_code("predict", finished_run / "model", "--text", "tomato soup", "--json") == 0
    assert capsys.readouterr().out == from_run


def test_a_table_with_holes_is_predicted_row_by_row(
    finished_run: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "samples.csv").write_text(f"text,image\ntomato soup,\n,{picture.name}\nsoup,{picture.name}\n")
    assert exit_code("predict", finished_run, "--csv", tmp_path / "samples.csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["row"], row["present"]) for row in rows] == [("1", "text"), ("2", "image"), ("3", "image+text")]


def test_a_table_in_json_is_one_object_per_line(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "samples.csv").write_text("text\nsoup\ncake\n")
    assert exit_code("predict", finished_run, "--csv", tmp_path / "samples.csv", "--json") == 0
    assert [json.loads(line)["row"] for line in capsys.readouterr().out.splitlines()] == [1, 2]


def test_numbers_may_be_negative(
    recipe: Path, small_flags: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = [*small_flags, "--data.modalities", "readings", "--missing.rate=0"]
    assert exit_code("run", recipe, *words, "--output", tmp_path / "run") == 0
    capsys.readouterr()
    numbers = ["0.5", "-1.25", "-3e-1", "2", "0", "-0"]
    assert exit_code("predict", tmp_path / "run", "--json", "--readings", *numbers) == 0
    assert json.loads(capsys.readouterr().out)["present"] == ["readings"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "give a sample (--image FILE, --text TEXT, --audio FILE, --readings NUMBERS, --values NAME=VALUE, any of"),
        (["--text", "soup", "--csv", "samples.csv"], "give a sample"),
        (["--image", "none.png"], "there is no image none.png"),
        (["--image", "empty.png"], "cannot read empty.png as an image"),
        (["--image", "folder"], "cannot read folder as an image"),
        (["--readings", "1", "2"], "the model reads image, text; it cannot use readings"),
        (["--csv=none.csv"], "none.csv is not there"),
        (["--table", "columns.csv"], "columns.csv has the columns price; expected some called image, text; say with"),
        (["--table", "empty.png"], "empty.png is no table: expected a file that ends in .csv, .jsonl, .parquet"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_sample_that_cannot_be_used_gives_one_line_and_exits_with_2(
    words: list[str],
    problem: str,
    finished_run: Path,
    complaint: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    Path("empty.png").touch()
    Path("folder").mkdir()
    Path("columns.csv").write_text("price\n3\n")
    said = complaint("predict", finished_run, *words)
    assert problem in said
    assert said.strip().count("\n") == 0


def test_recipes_and_plans_are_listed_in_two_groups_with_what_they_are(capsys: pytest.CaptureFixture[str]):
    assert exit_code("recipes", "list") == 0
    of_run, of_grid = capsys.readouterr().out.split("plans, for `fedprime grid`:\n")
    assert of_run.startswith("recipes, for `fedprime run`:\n")
    (line,) = [line for line in of_run.splitlines() if line.startswith("  builtin/quickstart ")]
    assert len(line.split()) > 5
    assert "  plans/" not in of_run
    assert all(line.startswith("  plans/") for line in of_grid.splitlines() if line)


def test_a_recipe_is_shown_as_it_is_and_can_be_run_from_a_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("recipes", "show", "builtin/quickstart") == 0
    copy = tmp_path / "copy.toml"
    copy.write_text(capsys.readouterr().out)
    original = Path(__file__).parents[2] / "recipes" / "builtin" / "quickstart.toml"
    assert copy.read_text() == original.read_text()


def test_runs_are_reported_beside_each_other(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("report", finished_run, "--output", tmp_path / "report") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"1 run(s) reported in {tmp_path / 'report' / 'README.md'}"
    assert (tmp_path / "report" / "tables.md").is_file()


def test_what_a_report_leaves_out_is_said_and_the_rest_is_reported(
    finished_run: Path, stopped_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert exit_code("report", finished_run, stopped_run, "--output", tmp_path / "report") == 1
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith(f"fedprime: left out: the run {stopped_run} is not finished")
    assert said.out.startswith("1 run(s) reported")


def test_runs_that_cannot_be_reported_are_told_apart(stopped_run: Path, tmp_path: Path, complaint: Callable[..., str]):
    assert "is not finished" in complaint("report", stopped_run, "--output", tmp_path / "report")
    assert not (tmp_path / "report").exists()
    assert "name runs to report" in complaint("report")
    assert "--ouput is not a flag of fedprime report" in complaint("report", stopped_run, "--ouput", "x")


def test_the_help_of_report_shows_an_example(capsys: pytest.CaptureFixture[str]):
    assert exit_code("report", "--help") == 0
    assert "For example: fedprime report runs/main --output results/main" in capsys.readouterr().out
