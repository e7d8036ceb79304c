"""Recipes: found by name, true to their header, buildable."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from fedprime import recipes
from fedprime.config import Settings, SettingsError, flat_settings, read_settings
from fedprime.experiment import build_experiment
from fedprime.recipes import find_recipe, list_recipes

ROOT = Path(__file__).parents[1]


@pytest.fixture(params=list(list_recipes()))
def recipe(request: pytest.FixtureRequest) -> Path:
    return find_recipe(request.param)


def header(recipe: Path) -> str:
    return recipe.read_text(encoding="utf-8").partition("\n\n")[0]


def test_every_recipe_file_is_listed():
    files = {
        path.relative_to(ROOT / "recipes").with_suffix("").as_posix() for path in (ROOT / "recipes").rglob("*.toml")
    }
    assert set(list_recipes()) == files
    assert "builtin/quickstart" in files


def test_every_recipe_says_in_its_first_line_what_it_is():
    for name, summary in list_recipes().items():
        assert len(summary) > 20, name
        assert summary.endswith("."), name


def test_a_header_says_what_is_shown_by_which_command_and_how_long_it_takes(recipe: Path):
    name = recipe.relative_to(ROOT / "recipes").with_suffix("").as_posix()
    assert all(line.startswith("#") for line in header(recipe).splitlines())
    assert "# Shows: " in header(recipe)
    assert f"# Command: fedprime run {name}" in header(recipe)
    assert "# Takes: " in header(recipe)


def test_every_setting_of_a_recipe_is_right(recipe: Path):
    settings = flat_settings(read_settings(recipe))
    written = tomllib.loads(recipe.read_text(encoding="utf-8"))
    for section, content in written.items():
        values = (
            {f"{section}.{name}": value for name, value in content.items()}
            if isinstance(content, dict)
            else {section: content}
        )
        for name, value in values.items():
            assert settings[name] == (tuple(value) if isinstance(value, list) else value)


def test_what_a_recipe_asks_for_fits_together(recipe: Path):
    settings = read_settings(recipe)
    if settings.backbone != "tiny" or settings.data.name != "builtin":
        pytest.skip("needs a checkpoint or data that do not come along")
    experiment = build_experiment(settings)
    assert len(experiment.shards) == settings.partition.num_clients


@pytest.mark.parametrize("name", ["builtin/quickstart", "builtin/quickstart.toml", "recipes/builtin/quickstart.toml"])
def test_a_recipe_is_found_by_name_from_anywhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert find_recipe(name) == ROOT / "recipes" / "builtin" / "quickstart.toml"


def test_a_file_of_ones_own_is_a_recipe(tmp_path: Path):
    own = tmp_path / "own.toml"
    own.write_text("seed = 5\n")
    assert read_settings(find_recipe(str(own))) == replace(Settings(), seed=5)


def test_a_recipe_that_does_not_exist_is_told_the_nearest_one():
    with pytest.raises(
        SettingsError, match=r"there is no recipe builtin/quickstrat: .*; did you mean builtin/quickstart\?"
    ):
        find_recipe("builtin/quickstrat")


def test_recipes_come_along_with_the_installed_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    package = Path(recipes.__file__).parent
    inside = {(package.parent / target).resolve() for target in included.values()}
    assert included.keys() >= {"recipes"}
    assert (package / "recipes_installed").resolve() in inside
    assert package / "recipes_installed" in recipes._FOLDERS
