"""``fedprime new``: the project that it writes is tested, runs by its own words, and overwrites nothing."""

import importlib
import json
import runpy
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from command_line import exit_code
from fedprime.methods import method_names
from fedprime.reproducibility import plugins

SMALL = (
    *("--data.num_train", 30, "--data.num_validation", 9, "--data.num_test", 12, "--data.num_classes", 3),
    *("--partition.num_clients", 2, "--training.rounds", 2),
)


def forget_what_is_installed() -> None:
    importlib.invalidate_caches()
    plugins._plugins.cache_clear()
    plugins._of_group.cache_clear()


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project as an installer leaves it."""
    assert exit_code("new", tmp_path / "my-study") == 0
    folder = tmp_path / "my-study"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    information = tmp_path / "installed" / "my_study-0.1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my-study\nVersion: 0.1.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (information / "entry_points.txt").write_text("\n".join(lines))
    for place in (information.parent, folder / "src"):
        monkeypatch.syspath_prepend(place)
    forget_what_is_installed()
    yield folder
    forget_what_is_installed()
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_study"]:
        del sys.modules[name]


def test_its_own_test_passes_and_it_runs_and_plans_by_the_words_of_its_readme(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    tests = runpy.run_path(str(study / "tests" / "test_method.py"))
    tests["test_the_server_goes_part_of_the_way_to_the_mean"]()
    tests["test_it_trains_and_is_measured"](tmp_path)
    monkeypatch.chdir(study)
    assert "my-study" in method_names()
    assert exit_code("run", "recipe.toml", "--output", "runs/first", *SMALL) == 0
    assert json.loads(Path("runs/first/results.json").read_text())["method"] == "my-study"
    assert exit_code("grid", "plan.toml", "--output", "runs/compared", "--dry-run") == 0
    assert "0 of 9 runs" in capsys.readouterr().out


def test_nothing_of_the_template_is_left_in_it(study: Path):
    texts = {path.relative_to(study).as_posix(): path.read_text() for path in study.rglob("*") if path.is_file()}
    assert set(texts) >= {"pyproject.toml", "README.md", "recipe.toml", "plan.toml", "src/my_study/method.py"}
    assert [name for name, text in texts.items() if "$" in text or name.endswith(".txt")] == []


def test_it_refuses_what_is_there_and_names_that_no_package_can_have(
    study: Path, tmp_path: Path, complaint: Callable[..., str]
):
    before = (study / "README.md").read_text()
    assert "exists already and is not overwritten" in complaint("new", study)
    assert (study / "README.md").read_text() == before
    for name in ("My Study", "json", "class", "fedprime", "1st", "a--b"):
        assert "for example my-study" in complaint("new", tmp_path / name)
        assert not (tmp_path / name).exists()


def test_it_says_how_it_is_used(capsys: pytest.CaptureFixture[str]):
    assert exit_code("new", "--help") == 0
    assert "usage: fedprime new FOLDER" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["one", "two"], ["--force"]])
def test_one_folder_has_to_be_named(words: list[str], complaint: Callable[..., str]):
    assert "name one folder, for example: fedprime new my-study; found" in complaint("new", *words)
