"""Searches: what is varied for which method, what is wrong with that, and the recipe that comes of it."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from fedprime.settings.plans import read_plan
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import read_settings
from fedprime.settings.searches import Range, Search, read_search

PLAN = """
seeds = [100, 101]
trials = 5
[settings.training]
rounds = 2
[by_method]
fedavg-p.training.epochs = 2
[axes.method]
fedprime = {}
fedavg-p = { method.name = "fedavg-p", method.head = "linear" }
[search]
training.lr = { low = 0.001, high = 0.3, log = true }
training.optimizer = { choices = ["sgd", "adamw"] }
[search.by_method]
fedprime.training.batch_size = { low = 4, high = 64 }
"""


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Search]:
    def read_text(text: str = PLAN, *flags: str, **options: object) -> Search:
        path = tmp_path / "search.toml"
        path.write_text(text)
        return read_search(path, flags, **options)  # pyright: ignore[reportArgumentType]

    return read_text


def test_a_plan_says_what_is_varied_for_all_and_for_single_methods(read: Callable[..., Search]):
    search = read()
    shared = {"training.lr": Range(0.001, 0.3, log=True), "training.optimizer": Range(choices=("sgd", "adamw"))}
    assert search.spaces == {"fedprime": shared | {"training.batch_size": Range(4, 64)}, "fedavg-p": shared}
    assert search.starts == {
        "fedprime": {"training.lr": 0.01, "training.optimizer": "adamw", "training.batch_size": 32},
        "fedavg-p": {"training.lr": 0.01, "training.optimizer": "adamw"},
    }
    assert (search.trials, search.base.seeds) == (5, (100, 101))
    changed = read(PLAN, "--training.rounds", "9", seeds=(7,), trials=3)
    assert (changed.trials, changed.base.seeds, changed.base.runs[0].settings.training.rounds) == (3, (7,), 9)


def test_trials_are_labels_of_a_plan(read: Callable[..., Search]):
    search = read()
    plan = search.plan({"fedavg-p 0": ("fedavg-p", {"training.lr": 0.2}), "fedprime 0": ("fedprime", {})})
    assert [str(run.folder) for run in plan.runs] == [
        f"{method}-0/seed-{seed}" for seed in (100, 101) for method in ("fedavg-p", "fedprime")
    ]
    settings = plan.runs[0].settings
    assert (settings.method.name, settings.training.lr, settings.training.epochs) == ("fedavg-p", 0.2, 2)
    assert settings.training.rounds == 2


def test_a_recipe_alone_has_its_learning_rate_varied(tmp_path: Path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[method]\nname = "fedavg-p"\n[by_method]\nfedavg-p.training.lr = 0.04\n')
    search = read_search(recipe)
    (space,) = search.spaces["fedavg-p"].values()
    assert (space.low, space.high, space.log) == (0.004, 0.4, True)
    assert search.starts == {"fedavg-p": {"training.lr": 0.04}}
    assert (search.trials, search.base.seeds) == (12, (100, 101))


def test_a_start_that_is_outside_of_the_search_is_none(read: Callable[..., Search]):
    search = read(PLAN.replace("high = 0.3", "high = 0.005"))
    assert search.starts == {}


def test_the_result_is_a_recipe_that_gives_each_method_what_was_chosen_for_it(
    read: Callable[..., Search], tmp_path: Path
):
    search = read()
    chosen = {"fedprime": {"training.lr": 0.05}, "fedavg-p": {"training.lr": 0.2, "training.optimizer": "sgd"}}
    recipe = tmp_path / "chosen.toml"
    recipe.write_text(search.recipe(chosen, ["Why.", "", "How."]))
    assert recipe.read_text().startswith("# Why.\n#\n# How.\n")
    tables = tomllib.loads(recipe.read_text())
    assert tables["by_method"] == {
        "fedavg-p": {"training": {"epochs": 2, "lr": 0.2, "optimizer": "sgd"}, "method": {"head": "linear"}},
        "fedprime": {"training": {"lr": 0.05}},
    }
    settings = read_settings(recipe, ["--method.name=fedavg-p"])
    assert (settings.training.lr, settings.training.optimizer, settings.training.epochs) == (0.2, "sgd", 2)
    assert read_settings(recipe).training.lr == 0.05
    assert read_settings(recipe).training.rounds == 2


def test_flags_stand_in_the_recipe_as_a_person_writes_them(read: Callable[..., Search]):
    flags = ["--training.rounds=7", "--data.name=builtin", "--training.activation_checkpointing=true"]
    tables = tomllib.loads(read(PLAN, *flags).recipe({}, []))
    assert (tables["training"]["rounds"], tables["data"]["name"]) == (7, "builtin")
    assert tables["training"]["activation_checkpointing"] is True


@pytest.mark.parametrize(
    ("search", "problem"),
    [
        ("training.lr = 0.1", "search.training.lr is 0.1; expected for example { low = 0.001"),
        ("training.lr = { low = 0.1 }", "search.training.lr: low and high are numbers, and high is more than low"),
        ("training.lr = { low = 0.3, high = 0.1 }", "low and high are numbers, and high is more than low"),
        ("training.lr = { low = 0, high = 0.1, log = true }", "low must be more than 0 where log is true"),
        ("training.lr = { low = 0.1, high = 1, step = 2 }", "step is nothing that a range has"),
        ("training.lr = { choices = [] }", "choices stand alone, and are words, numbers"),
        ("training.lr = { choices = [0.1], log = true }", "choices stand alone"),
        ("training.lr = { low = -1.0, high = 0.1 }", "training.lr is -1.0: input should be greater than 0"),
        ("training.optimizer = { choices = ['adam'] }", "training.optimizer is 'adam'"),
        ("training.learning = { low = 0.1, high = 1 }", "training.learning is not a setting"),
        ("by_method.pfpt.training.lr = { low = 0.1, high = 1 }", "search.by_method.pfpt: the plan has no runs of it"),
        ("by_method.pfptt.training.lr = { low = 0.1, high = 1 }", "search.by_method.'pfptt' is no method: "),
        ("by_method.fedprime.training.lr = { low = 0.1, high = 1 }", "search has nothing for fedavg-p"),
    ],
)
def test_what_is_wrong_with_a_range_is_told_before_any_trial(search: str, problem: str, read: Callable[..., Search]):
    with pytest.raises(SettingsError) as caught:
        read(f"{PLAN.partition('[search]')[0]}[search]\n{search}\n")
    assert problem in str(caught.value)


def test_two_labels_of_one_method_are_refused(read: Callable[..., Search]):
    with pytest.raises(SettingsError, match="fedprime is there with several labels"):
        read(f'{PLAN}[axes.head]\nlinear.method.head = "linear"\npooled.method.head = "pooled"\n')


def test_the_seed_of_the_recipe_is_not_one_to_choose_by(read: Callable[..., Search]):
    with pytest.raises(SettingsError, match=r"seed 0 is that of the recipe, .* --seeds 100 101"):
        read(f'recipe = "builtin/study"\n{PLAN}', seeds=(0, 1))


def test_a_number_of_trials_is_a_whole_number(read: Callable[..., Search]):
    with pytest.raises(SettingsError, match=r"trials is 0; expected a whole number from 1"):
        read(PLAN.replace("trials = 5", "trials = 0"))


def test_a_search_is_no_grid(tmp_path: Path):
    path = tmp_path / "search.toml"
    path.write_text(PLAN)
    with pytest.raises(SettingsError, match=r"search and trials stand there, so it is a search: fedprime tune makes"):
        read_plan(path)
