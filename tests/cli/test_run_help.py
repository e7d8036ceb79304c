"""Help that a person can read: one screen, one group, a method's own settings, everything."""

from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import exit_code
from fedprime.cli.run_help import OFTEN_CHANGED
from fedprime.settings.reading import flat_settings
from fedprime.settings.settings import Settings


def shown_by(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert exit_code("run", *words) == 0
    return capsys.readouterr().out


def test_the_help_of_run_is_one_screen_with_eleven_settings_and_every_group(capsys: pytest.CaptureFixture[str]):
    shown = shown_by(capsys, "--help")
    assert len(shown.splitlines()) <= 50
    assert max(map(len, shown.splitlines())) <= 120
    assert len(OFTEN_CHANGED) == 11
    assert OFTEN_CHANGED.keys() <= flat_settings(Settings()).keys()
    for name in (*(f"--{setting} " for setting in OFTEN_CHANGED), "training", "privacy", "runtime", "method"):
        assert f"\n  {name}" in shown


def test_the_help_of_a_group_explains_its_settings_alone(capsys: pytest.CaptureFixture[str]):
    shown = shown_by(capsys, "--help", "training")
    assert "--training.lr   number, more than 0" in shown
    assert "Learning rate in the first round" in shown
    assert "--privacy" not in shown


def test_all_help_explains_every_setting(capsys: pytest.CaptureFixture[str]):
    shown = shown_by(capsys, "--help-all")
    for name in flat_settings(Settings()):
        assert f"--{name} " in shown


def test_the_settings_of_a_method_are_those_that_it_has(capsys: pytest.CaptureFixture[str]):
    shown = shown_by(capsys, "--method.name", "pfpt", "--help", "method")
    assert "--method.num_alternations" in shown
    assert "--method.pool_size" not in shown


def test_the_help_names_each_method_once_in_lines_that_fit(capsys: pytest.CaptureFixture[str]):
    shown = shown_by(capsys, "--help", "method")
    assert shown.split().count("scaffold-p") == 1
    assert max(map(len, shown_by(capsys, "--help-all").splitlines())) <= 120


def test_the_help_of_a_recipe_shows_its_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[training]\nrounds = 1234\n\n[method]\nname = "fedprox-p"\nproximal_weight = 0.375\n')
    assert "[1234]" in shown_by(capsys, recipe, "--help")
    shown = shown_by(capsys, recipe, "--help", "method")
    assert "--method.proximal_weight   number, at least 0 [0.375]" in shown


def test_a_group_that_is_not_there_is_told_the_nearest(complaint: Callable[..., str]):
    assert "did you mean training?" in complaint("run", "--help", "trainig")
