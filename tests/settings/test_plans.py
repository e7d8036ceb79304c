"""Plans: which runs a file stands for, which of them are chosen, what is wrong with it."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from fedprime.methods.fedavg_p import FedAvgP
from fedprime.settings.plans import Plan, choose_runs, dump_plan, read_plan
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import read_settings
from fedprime.settings.recipes import find_recipe
from fedprime.settings.settings import Settings

METHODS_AND_SCENARIOS = """
seeds = [3, 5]

[settings.training]
rounds = 7

[axes.method]
fedprime.method.name = "fedprime"
fedavg-p.method.name = "fedavg-p"

[axes."trained on"]
"miss text".missing.lacking = "text"
"miss image".missing = { lacking = "image", rate = 0.2 }
"""


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., Plan]:
    """Reads a plan from its text."""

    def read(text: str, *flags: str, seeds: tuple[int, ...] = ()) -> Plan:
        path = tmp_path / "plan.toml"
        path.write_text(text)
        return read_plan(path, flags, seeds)

    return read


@pytest.fixture
def complaints(planned: Callable[..., Plan], tmp_path: Path) -> Callable[..., list[str]]:
    """Reads a plan that is wrong; returns the problems, without the name of the folder."""

    def read(text: str, *flags: str) -> list[str]:
        with pytest.raises(SettingsError) as caught:
            planned(text, *flags)
        return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return read


def test_every_combination_of_labels_is_run_with_every_seed(planned: Callable[..., Plan]):
    found = [
        (run.settings.seed, run.settings.method.name, run.settings.missing.lacking)
        for run in planned(METHODS_AND_SCENARIOS).runs
    ]
    assert sorted(found) == sorted(itertools.product((3, 5), ("fedprime", "fedavg-p"), ("text", "image")))


def test_a_seed_is_complete_before_the_next_one_begins(planned: Callable[..., Plan]):
    assert [run.settings.seed for run in planned(METHODS_AND_SCENARIOS).runs] == [3, 3, 3, 3, 5, 5, 5, 5]


def test_labels_change_the_settings_that_they_name_and_no_others(planned: Callable[..., Plan]):
    run = planned(METHODS_AND_SCENARIOS).runs[3]
    assert run.labels == {"method": "fedavg-p", "trained on": "miss image"}
    defaults = Settings()
    assert run.settings == replace(
        defaults,
        seed=3,
        training=replace(defaults.training, rounds=7),
        method=FedAvgP(readout="blocks", start="closed-form", prior_aware=True),
        missing=replace(defaults.missing, lacking="image", rate=0.2),
    )


def test_a_plan_begins_with_the_settings_of_its_recipe(planned: Callable[..., Plan]):
    (run,) = planned('recipe = "builtin/skewed"\nseeds = [4]\n[settings.training]\nrounds = 2\n').runs
    expected = read_settings(find_recipe("builtin/skewed"), ["--seed=4", "--training.rounds=2"])
    assert run.settings == expected


def test_flags_win_over_the_plan_but_not_over_its_labels(planned: Callable[..., Plan]):
    runs = planned(METHODS_AND_SCENARIOS, "--training.rounds", "9", "--missing.rate=0.5").runs
    assert {run.settings.training.rounds for run in runs} == {9}
    assert [run.settings.missing.rate for run in runs[:2]] == [0.5, 0.2]


def test_seeds_may_be_named_instead_of_the_plans(planned: Callable[..., Plan]):
    plan = planned(METHODS_AND_SCENARIOS, seeds=(8, 8, 1))
    assert plan.seeds == (8, 1)
    assert [run.settings.seed for run in plan.runs] == [8] * 4 + [1] * 4


def test_more_runs_than_anybody_makes_are_one_line(planned: Callable[..., Plan]):
    axes = "".join(f"[axes.x{number}]\na.training.lr = 0.1\nb.training.lr = 0.2\n" for number in range(25))
    with pytest.raises(SettingsError, match="33,554,432 runs, expected at most 10,000; name fewer labels or seeds"):
        planned(f"seeds = [0]\n{axes}")


def test_without_axes_there_is_a_run_for_each_seed(planned: Callable[..., Plan]):
    runs = planned("seeds = [0, 1]").runs
    assert [run.settings for run in runs] == [Settings(), replace(Settings(), seed=1)]
    assert [run.folder for run in runs] == [PurePosixPath("seed-0"), PurePosixPath("seed-1")]


def test_a_run_is_named_by_its_labels_and_seed(planned: Callable[..., Plan]):
    run = planned(METHODS_AND_SCENARIOS).runs[0]
    assert run.name == "method fedprime, trained on miss text, seed 3"
    assert run.folder == PurePosixPath("fedprime/miss-text/seed-3")


@pytest.mark.parametrize(
    ("label", "name"),
    [("..", "-"), ("../../b", "--..-b"), ("/", "-"), ("", "-"), (".c", "-c"), ("0.5", "0.5"), ("ε = 1", "ε-1")],
)
def test_no_label_leads_out_of_the_grids_folder(label: str, name: str, planned: Callable[..., Plan]):
    (run,) = planned(f'seeds = [0]\n[axes.a]\n"{label}" = {{}}\n').runs
    assert run.folder.parts == (name, "seed-0")


def test_a_plan_that_was_written_down_is_the_same_plan(planned: Callable[..., Plan], tmp_path: Path):
    plan = planned('recipe = "builtin/skewed"\n' + METHODS_AND_SCENARIOS, "--data.modalities", "image", "text")
    (tmp_path / "written.toml").write_text(dump_plan(plan))
    again = read_plan(tmp_path / "written.toml")
    assert again.runs == plan.runs
    assert again.axes == plan.axes


def test_runs_are_chosen_by_their_labels(planned: Callable[..., Plan]):
    plan = planned(METHODS_AND_SCENARIOS)
    assert choose_runs(plan, []) == plan.runs
    one_method = choose_runs(plan, ["method=fedavg-p"])
    assert [(run.labels["method"], run.settings.seed) for run in one_method] == [("fedavg-p", 3)] * 2 + [
        ("fedavg-p", 5)
    ] * 2
    assert choose_runs(plan, ["method=fedavg-p,fedprime"]) == plan.runs
    assert choose_runs(plan, ["method=fedavg-p", "method=fedprime"]) == plan.runs
    one_cell = choose_runs(plan, ["method=fedprime", "trained on=miss image"])
    assert [run.folder for run in one_cell] == [
        PurePosixPath("fedprime/miss-image/seed-3"),
        PurePosixPath("fedprime/miss-image/seed-5"),
    ]


def test_a_label_with_a_comma_can_be_chosen(planned: Callable[..., Plan]):
    plan = planned('seeds = [0]\n[axes.a]\n"b, c" = {}\nd = {}\n')
    assert [run.labels["a"] for run in choose_runs(plan, ["a=b, c"])] == ["b, c"]


def test_labels_that_cannot_be_chosen_are_told_the_nearest_ones(planned: Callable[..., Plan]):
    with pytest.raises(SettingsError) as caught:
        choose_runs(planned(METHODS_AND_SCENARIOS), ["methd=fedprime", "method=fedprim,fedavg-p", "method"])
    assert caught.value.problems == [
        "'methd' is not an axis of the plan: method, trained on; did you mean method?",
        "'fedprim' is not a label of the axis method: fedprime, fedavg-p; did you mean fedprime?",
        "'method' names no labels; expected AXIS=LABEL,LABEL, for example method=fedprime",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "seeds is None; expected at least one whole number, for example seeds = [0, 1, 2]"),
        ("seeds = []", "seeds is []; expected at least one"),
        ("seeds = [0, 0]", "seeds is [0, 0]; name each once"),
        ("seeds = [true]", "seeds is [True]; expected"),
        (
            "seeds = [0]\nsetings = 3",
            "setings is not an entry of a plan (recipe, seeds, settings, by_method, axes, of a search also",
        ),
        ("seeds = [0]\nsettings = 3", "settings is not a table"),
        ("seeds = [0]\naxes = 3", "axes is not a table"),
        ("seeds = [0]\n[axes.method]\n", "axes.method is no table of labels"),
        ("seeds = [0]\n[axes]\nmethod = ['fedprime']", "axes.method is no table of labels"),
        ("seeds = [0]\nrecipe = 3", "recipe is 3; expected the name of a recipe"),
        ("seeds = [0]\n[settings]\nseed = 3", "settings.seed stands there"),
        ("seeds = [0]\n[axes.a.b]\nseed = 3", "axes.a.b.seed stands there"),
        ("seeds = [0]\n[settings.training]\nround = 3", "training.round is not a setting; did you mean training.round"),
        ('seeds = [0]\n[axes.a]\nb.method.name = "fedprim"', "a b: method.name: 'fedprim' is no method: fedprime, "),
        ('seeds = [0]\n[axes.a]\n"b c" = {}\nb-c = {}', "two runs would share the folder b-c/seed-0"),
    ],
)
def test_a_wrong_plan_says_what_is_wrong(text: str, problem: str, complaints: Callable[..., list[str]]):
    assert complaints(text)[0].startswith(f"plan.toml: {problem}")


def test_everything_that_is_wrong_is_said_at_once_and_only_once(complaints: Callable[..., list[str]]):
    found = complaints(METHODS_AND_SCENARIOS.replace('"image"', '"smell"'), "--training.round=3")
    assert len(found) == 3
    assert found[0].startswith("--training.round is not a setting")
    assert found[1].startswith("plan.toml: method fedprime, trained on miss image: missing.lacking: 'smell'")
    assert found[2].startswith("plan.toml: method fedavg-p, trained on miss image: missing.lacking: 'smell'")


def test_a_flag_that_would_have_no_effect_is_refused(complaints: Callable[..., list[str]]):
    assert complaints(METHODS_AND_SCENARIOS, "--method.name", "pfpt", "--seed=1") == [
        "--seed has no effect on a plan, which has several; name seeds with --seeds",
        "--method.name has no effect: every label of the axis method sets it",
    ]


def test_a_recipe_that_does_not_exist_is_named(planned: Callable[..., Plan]):
    with pytest.raises(SettingsError, match=r"there is no recipe builtin/skewd: .*did you mean builtin/skewed\?"):
        planned('recipe = "builtin/skewd"\nseeds = [0]')


def test_a_file_that_is_no_toml_is_named(planned: Callable[..., Plan]):
    with pytest.raises(SettingsError, match=r"plan\.toml is not a readable TOML file"):
        planned("seeds = [")


def test_another_recipe_takes_the_place_of_the_plans(tmp_path: Path):
    ours, theirs, plan = (tmp_path / f"{name}.toml" for name in ("ours", "theirs", "plan"))
    theirs.write_text("[training]\nrounds = 3\nepochs = 4\n")
    ours.write_text("seed = 9\n[training]\nrounds = 5\nbatch_size = 6\n[data]\nnum_classes = 4\n")
    plan.write_text(f'recipe = "{theirs}"\nseeds = [0]\n[settings.training]\nbatch_size = 7\n')
    [run] = read_plan(plan, recipe=str(ours)).runs
    # What the plan sets is over the recipe; nothing of its own recipe is left, and it names the seeds.
    assert (run.settings.training.rounds, run.settings.training.batch_size) == (5, 7)
    assert run.settings.training.epochs == Settings().training.epochs
    assert (run.settings.data.num_classes, run.settings.seed) == (4, 0)
    assert read_plan(plan).runs[0].settings.training.epochs == 4


# What a recipe says by method

BY_METHOD = """
[training]
lr = 0.5

[by_method]
fedavg-p.training = { lr = 0.25, epochs = 3 }
fedprime.training.lr = 0.125
"""

TWO_METHODS = """
seeds = [0]

[axes.method]
fedprime.method.name = "fedprime"
"fedavg-p, fast".method.name = "fedavg-p"
head-only.method.name = "head-only"
"""


@pytest.fixture
def tuned(tmp_path: Path, planned: Callable[..., Plan]) -> Callable[..., Plan]:
    """Reads a plan that starts from a recipe with settings by method."""

    def read(text: str, *flags: str) -> Plan:
        recipe = tmp_path / "recipe.toml"
        recipe.write_text(BY_METHOD)
        return planned(f'recipe = "{recipe}"\n{text}', *flags)

    return read


def learning_rates(plan: Plan) -> dict[str, float]:
    return {run.labels["method"]: run.settings.training.lr for run in plan.runs}


def test_a_run_has_what_the_recipe_says_for_its_method(tuned: Callable[..., Plan]):
    plan = tuned(TWO_METHODS)
    assert learning_rates(plan) == {"fedprime": 0.125, "fedavg-p, fast": 0.25, "head-only": 0.5}
    assert [run.settings.training.epochs for run in plan.runs] == [1, 3, 1]


def test_the_plan_and_flags_go_over_what_the_recipe_says_for_a_method(tuned: Callable[..., Plan]):
    assert set(learning_rates(tuned(TWO_METHODS, "--training.lr", "0.75")).values()) == {0.75}
    assert set(learning_rates(tuned(f"{TWO_METHODS}\n[settings.training]\nlr = 0.75\n")).values()) == {0.75}


def test_labels_go_over_what_is_said_for_a_method(tuned: Callable[..., Plan]):
    plan = tuned(f'{TWO_METHODS}\n[axes."learning rate"]\n"1".training.lr = 1.0\n')
    assert set(learning_rates(plan).values()) == {1.0}


def test_a_plan_can_say_something_for_a_method_itself(tuned: Callable[..., Plan]):
    plan = tuned(f"{TWO_METHODS}\n[by_method]\nhead-only.training.lr = 0.875\nfedprime.training.lr = 1.5\n")
    assert learning_rates(plan) == {"fedprime": 1.5, "fedavg-p, fast": 0.25, "head-only": 0.875}


def test_a_plan_that_is_written_keeps_what_is_said_for_methods(
    tuned: Callable[..., Plan], planned: Callable[..., Plan]
):
    plan = tuned(TWO_METHODS)
    assert planned(dump_plan(plan)).runs == plan.runs


def test_a_method_that_does_not_exist_is_named_in_a_plan(complaints: Callable[..., list[str]]):
    (problem,) = complaints(f"{TWO_METHODS}\n[by_method]\nhead.training.lr = 1.0\n")
    assert problem.startswith("plan.toml: by_method.'head' is no method: fedprime, ")
