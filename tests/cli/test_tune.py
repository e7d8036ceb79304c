"""The verb `tune`: what it prints, its exit codes, its errors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line import exit_code
from fedprime.experiment.loading import with_absolute_folders
from fedprime.experiment.run_folder import RunFolder
from fedprime.settings.reading import read_settings
from fedprime.settings.settings import Settings
from made_runs import make_run


@pytest.fixture(autouse=True)
def _pretended_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def complete(settings: Settings, folder: Path, **_: object) -> dict[str, Any]:
        if settings.training.epochs == 3:
            raise OSError("no space left")
        make_run(folder, settings=with_absolute_folders(settings), rounds=1, rows=[{"accuracy": settings.training.lr}])
        (folder / "checksums.json").write_text("{}")  # of a run without checkpoints
        return RunFolder(folder).results()

    monkeypatch.setattr("fedprime.runs.processes.complete_run", complete)


def test_a_recipe_is_tuned_to_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    command = ("tune", "builtin/study_paper", "--trials", "2", "--processes", "1", "--seeds", "7")
    assert exit_code(*command, "--training.rounds=1") == 0
    first, second, *table, last = capsys.readouterr().out.splitlines()
    assert first == "trial fedprime 0, seed 7: 0 s, validation 3.0 %"  # the learning rate stands for the accuracy
    assert second.startswith("trial fedprime 1, seed 7: 0 s, validation ")
    assert "the best of each method on validation samples" in table[0]
    recipe = Path("runs/tune-builtin-study_paper/recipe.toml")
    assert last == f"the recipe: {recipe}; take it with: fedprime run {recipe} --method.name METHOD"
    settings = read_settings(recipe)
    shown = max(float(line.split()[-2]) for line in (first, second))
    assert 100 * settings.training.lr == pytest.approx(shown, abs=0.05)
    assert settings.training.rounds == 1
    assert exit_code(*command, "--training.rounds=1") == 0
    assert not capsys.readouterr().out.startswith("trial")


def test_a_search_with_runs_that_failed_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = ("tune", "builtin/study_paper", "--processes=1", "--output", tmp_path / "tuned", "--training.epochs=3")
    assert exit_code(*command) == 1
    shown, said = capsys.readouterr()
    assert shown.splitlines()[0] == "trial fedprime 0, seed 100: failed: no space left"
    assert said.startswith("fedprime: 2 runs not finished:")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "name a plan or a recipe first"),
        (["--trials", "3"], "name a plan or a recipe first"),
        (["none"], "there is no recipe or plan none"),
        (["builtin/study", "--trials", "0"], "--trials has 0; expected whole numbers from 1"),
        (["builtin/study", "--trials", "3", "4"], "--trials has 2 values; expected one"),
        (["builtin/study", "--trails", "3"], "--trails is neither a flag of fedprime tune"),
        (["builtin/study", "--seeds", "0"], "seed 0 is that of the recipe"),
        (["builtin/study", "--training.lr", "high"], "training.lr is 'high'"),
        (["pool_size", "--seeds", "7"], "is there with several labels; a search is of one for each method"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_told_before_anything_is_made(
    words: list[str], problem: str, complaint: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert problem in complaint("tune", *words)
    assert list(tmp_path.iterdir()) == []
