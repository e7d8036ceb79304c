"""The verb recipes: what comes along."""

from pathlib import Path

import pytest

from command_line import exit_code


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
