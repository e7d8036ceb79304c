"""Recipes and plans: found by name, true to their header, buildable."""

import functools
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from fedprime.experiment.build import build_experiment
from fedprime.report.writing import write_report
from fedprime.runs.run import start_run
from fedprime.settings import recipes
from fedprime.settings.plans import read_plan
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import flat_settings, read_settings
from fedprime.settings.recipe_tables import merged
from fedprime.settings.recipes import (
    find_plan,
    find_recipe,
    find_recipe_or_plan,
    list_plans,
    list_recipes,
    plan_name,
    recipe_name,
)
from fedprime.settings.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=list(list_recipes()))
def recipe(request: pytest.FixtureRequest) -> Path:
    return find_recipe(request.param)


@pytest.fixture(params=list(list_plans()))
def plan(request: pytest.FixtureRequest) -> Path:
    return find_plan(request.param)


@pytest.fixture
def come_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder of recipes that come along: one recipe and two plans."""
    folder = tmp_path / "recipes"
    (folder / "builtin").mkdir(parents=True)
    (folder / "plans" / "food101").mkdir(parents=True)
    (folder / "builtin" / "small.toml").write_text("# A small run.\n\nseed = 3\n")
    (folder / "plans" / "main.toml").write_text("# All methods.\n\nseeds = [0]\n")
    (folder / "plans" / "food101" / "main.toml").write_text("# All methods on food.\n\nseeds = [0]\n")
    monkeypatch.setattr(recipes, "_FOLDERS", (folder,))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


def header(recipe: Path) -> str:
    return recipe.read_text(encoding="utf-8").partition("\n\n")[0]


def test_every_recipe_file_is_listed():
    files = {
        path.relative_to(ROOT / "recipes").with_suffix("").as_posix() for path in (ROOT / "recipes").rglob("*.toml")
    }
    assert {*list_recipes(), *list_plans()} == files
    assert "builtin/quickstart" in list_recipes()


def test_every_recipe_says_in_its_first_line_what_it_is():
    for name, summary in (list_recipes() | list_plans()).items():
        assert len(summary) > 20, name
        assert summary.endswith("."), name


def test_a_header_says_what_is_shown_by_which_command_and_how_long_it_takes(recipe: Path):
    name = recipe.relative_to(ROOT / "recipes").with_suffix("").as_posix()
    assert all(line.startswith("#") for line in header(recipe).splitlines())
    assert "# Shows: " in header(recipe)
    assert f"# Command: fedprime run {name}" in header(recipe)
    assert "# Takes: " in header(recipe)


def test_a_plans_header_says_what_is_shown_by_which_command_how_long_it_takes_and_what_came_out(plan: Path):
    name = plan.relative_to(ROOT / "recipes" / "plans").with_suffix("").as_posix()
    assert all(line.startswith("#") for line in header(plan).splitlines())
    assert "# Shows: " in header(plan)
    assert f"# Command: fedprime grid {name}" in header(plan)
    assert "# Takes: " in header(plan)
    assert "# Came out: " in header(plan)


read_once = functools.cache(read_plan)


def test_every_plan_can_be_read(plan: Path):
    assert len(read_once(plan).runs) > 1


@pytest.mark.usefixtures("without_plots")
def test_a_small_run_of_every_plan_is_made_and_reported(plan: Path, tmp_path: Path):
    # The last combination of labels: the first is FED-PRIME as it is, almost everywhere.
    read = read_once(plan)
    settings = [run.settings for run in read.runs if run.settings.seed == read.seeds[0]][-1]
    small = replace(
        settings,
        data=replace(settings.data, num_train=40, num_validation=8, num_test=12, num_classes=4),
        partition=replace(settings.partition, num_clients=4, min_samples=2),
        training=replace(settings.training, rounds=1, epochs=1, batch_size=32),
        evaluation=replace(settings.evaluation, every=1),
    )
    results = start_run(small, tmp_path / "run")
    assert results["method"] == settings.method.name
    assert write_report([tmp_path / "run"], tmp_path / "report").num_runs == 1


def test_every_setting_of_a_recipe_is_right(recipe: Path):
    written = tomllib.loads(recipe.read_text(encoding="utf-8"))
    by_method = written.pop("by_method", {})
    settings = flat_settings(read_settings(recipe))
    written = merged(written, by_method.get(settings["method.name"], {}))
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
    if settings.backbone not in ("auto", "tiny") or settings.data.name != "builtin":
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


@pytest.mark.usefixtures("come_along")
def test_recipes_and_plans_are_told_apart():
    assert list_recipes() == {"builtin/small": "A small run."}
    assert list_plans() == {"plans/food101/main": "All methods on food.", "plans/main": "All methods."}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("main", "plans/main.toml"),
        ("plans/main", "plans/main.toml"),
        ("main.toml", "plans/main.toml"),
        ("recipes/plans/main.toml", "plans/main.toml"),
        ("food101/main", "plans/food101/main.toml"),
    ],
)
def test_a_plan_is_found_by_name(name: str, file: str, come_along: Path):
    assert find_plan(name) == come_along / file


@pytest.mark.usefixtures("come_along")
def test_a_file_of_ones_own_is_a_plan():
    Path("own.toml").write_text("seeds = [0]\n")
    assert find_plan("own.toml") == Path("own.toml")


def test_whatever_is_listed_can_be_found(come_along: Path):
    for name in (*list_recipes(), *list_plans()):
        assert find_recipe_or_plan(name) == come_along / f"{name}.toml"
    with pytest.raises(SettingsError, match=r"there is no recipe or plan plans/mian: .*; did you mean plans/main\?"):
        find_recipe_or_plan("plans/mian")


def test_a_folder_or_an_empty_file_is_no_recipe(tmp_path: Path):
    with pytest.raises(SettingsError, match="is a folder, not a recipe; to train on its data: fedprime run table/fold"):
        find_recipe(str(tmp_path))
    (tmp_path / "settings.toml").touch()
    with pytest.raises(SettingsError, match="is the folder of a run, not a recipe; it goes on with: fedprime run --re"):
        find_recipe(str(tmp_path))
    with pytest.raises(SettingsError, match="is empty; expected a recipe"):
        find_recipe(str(tmp_path / "settings.toml"))


def test_a_command_that_is_told_can_be_copied(tmp_path: Path):
    (tmp_path / "my photos").mkdir()
    with pytest.raises(SettingsError, match=f"--data.path '{tmp_path}/my photos'"):
        find_recipe(str(tmp_path / "my photos"))


@pytest.mark.usefixtures("come_along")
def test_a_plan_that_does_not_exist_is_told_the_nearest_one():
    for name in ("mian", "plans/mian"):
        with pytest.raises(SettingsError, match=rf"there is no plan {name}: .*; did you mean main\?"):
            find_plan(name)


@pytest.mark.usefixtures("come_along")
@pytest.mark.parametrize("name", ["plans/main", "main", "own.toml"])
def test_a_plan_where_a_recipe_should_be_is_told_the_verb_for_plans(name: str):
    Path("own.toml").write_text("[axes.method]\n")
    with pytest.raises(SettingsError, match=rf"{name} is a plan, .*: fedprime grid {name.removeprefix('plans/')}$"):
        find_recipe(name)


@pytest.mark.usefixtures("come_along")
@pytest.mark.parametrize("name", ["builtin/small", "own.toml"])
def test_a_recipe_where_a_plan_should_be_is_told_the_verb_for_recipes(name: str):
    Path("own.toml").write_text("seed = 3\n")
    with pytest.raises(SettingsError, match=rf"{name} is a recipe, .*: fedprime run {name}$"):
        find_plan(name)


@pytest.mark.usefixtures("come_along")
def test_the_runs_of_a_plan_are_named_by_its_file():
    assert plan_name(find_plan("main")) == "main"
    assert plan_name(find_plan("food101/main")) == "food101-main"
    assert plan_name(Path("some/where/own.toml")) == "own"


def test_runs_that_start_from_a_recipe_are_named_by_its_file(tmp_path: Path):
    assert recipe_name("builtin/study") == recipe_name("recipes/builtin/study.toml") == "builtin-study"
    (tmp_path / "own.toml").write_text("seed = 3\n")
    assert recipe_name(str(tmp_path / "own.toml")) == "own"


def test_recipes_come_along_with_the_installed_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    package = Path(recipes.__file__).parents[1]
    folders = {folder.name for folder in (ROOT / "recipes").iterdir()} - set(recipes._OF_CHECKOUT)
    assert included == {f"recipes/{folder}": f"fedprime/recipes_installed/{folder}" for folder in folders}
    assert package / "recipes_installed" in recipes._FOLDERS


def test_a_recipe_that_did_not_come_along_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recipes, "_FOLDERS", (tmp_path,))
    with pytest.raises(SettingsError, match="flipkart7/missing needs a checkout of fedprime"):
        find_recipe("flipkart7/missing")
