"""Settings: right defaults, every mistake reported at once, the same after a round trip through TOML."""

import dataclasses
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changed_settings import problems_of
from fedprime.methods import METHODS
from fedprime.methods.fedprox_p import FedProxP
from fedprime.methods.head_only import HeadOnly
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import (
    differing_settings,
    dump_toml,
    flat_settings,
    read_saved_settings,
    read_settings,
)
from fedprime.settings.recipes import find_recipe
from fedprime.settings.settings import Settings


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text('seed = 3\n[training]\nrounds = 7\nlr = 0.5\n[method]\nname = "fedavg-p"\n')
    return path


def test_without_recipe_and_flags_every_setting_has_its_default():
    assert read_settings() == Settings()


def test_a_recipe_sets_what_it_names_and_leaves_the_rest(recipe: Path):
    settings = read_settings(recipe)
    assert (settings.seed, settings.training.rounds, settings.method.name) == (3, 7, "fedavg-p")
    assert settings.training.batch_size == Settings().training.batch_size


def test_flags_go_over_the_recipe(recipe: Path):
    settings = read_settings(recipe, ["--training.rounds", "9", "--seed=4"])
    assert (settings.seed, settings.training.rounds, settings.training.lr) == (4, 9, 0.5)


@pytest.mark.parametrize(
    "flags",
    [["--training.batch-size", "64"], ["--training.batch_size=64"], ["--training.batch-size=64"]],
    ids=lambda flags: " ".join(flags),
)
def test_flags_may_be_written_with_hyphens_and_equals_signs(flags: list[str]):
    assert read_settings(None, flags).training.batch_size == 64


def test_a_flag_may_hold_several_names():
    assert read_settings(None, ["--data.modalities", "image", "readings"]).data.modalities == ("image", "readings")


def test_a_value_may_be_negative_or_hold_an_equals_sign():
    settings = read_settings(None, ["--seed", "-5", "--backbone=folder=with/equals"])
    assert (settings.seed, settings.backbone) == (-5, "folder=with/equals")


def test_the_last_of_two_equal_flags_counts():
    assert read_settings(None, ["--seed", "1", "--seed", "2"]).seed == 2


def test_every_mistake_in_recipe_flags_and_values_is_reported_at_once(tmp_path: Path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('sede = 1\n[training]\nlearnrate = 1.0\noptimizer = "adma"\n[nonsense]\nx = 1\n')
    problems = problems_of(
        "--training.round", "3", "--training.fraction", "7", "--method.name", "fedprim", recipe=recipe
    )
    report = "\n".join(problems)
    for part in (
        "--training.round is not a setting; did you mean training.rounds?",
        "sede is not a setting; did you mean seed?",
        "training.learnrate is not a setting",
        "training.optimizer is 'adma'",
        "nonsense.x is not a setting",
        "training.fraction is '7'",
        "method.name: 'fedprim' is no method: fedprime, ",
    ):
        assert part in report
    assert len(problems) == 7


def test_the_error_says_how_many_settings_are_wrong():
    with pytest.raises(SettingsError, match=r"^2 settings are wrong:\n  .*\n  .*$"):
        read_settings(None, ["--sede", "1", "--training.lr", "fast"])
    with pytest.raises(SettingsError, match=r"^[^\n]+$"):
        read_settings(None, ["--sede", "1"])


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--training.rounds"], "--training.rounds has no value; expected one"),
        (["--training.rounds", "3", "4"], "--training.rounds has 2 values; expected one"),
        (["--data.modalities"], "--data.modalities has no value; expected one"),
        (["rounds=3"], "'rounds=3' stands before any flag; settings look like --training.rounds 50"),
        (["--training", "3"], "--training is not a setting"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_flags_of_the_wrong_form_are_refused(flags: list[str], problem: str):
    (found,) = problems_of(*flags)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"[training\nrounds = 3", "not a readable TOML file"),
        (b"seed = \xff\xfe", "not a readable TOML file"),
        (b"training = 3", "training is 3"),
        (b"[data]\nmodalities = 'image'", "data.modalities is 'image'"),
        (b"[training]\nrounds = [3]", "training.rounds is [3]"),
        (b"[training.rounds]\nx = 1", "training.rounds is {'x': 1}"),
        (b"[[training]]\nrounds = 3", "training is "),
    ],
)
def test_a_recipe_that_is_not_what_it_should_be_gives_one_clear_error(content: bytes, part: str, tmp_path: Path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_bytes(content)
    (problem,) = problems_of(recipe=recipe)
    assert part in problem


def test_a_recipe_that_is_not_there_is_named(tmp_path: Path):
    (problem,) = problems_of(recipe=tmp_path / "none.toml")
    assert f"there is no recipe {tmp_path / 'none.toml'}" in problem


def test_a_folder_is_no_recipe(tmp_path: Path):
    (problem,) = problems_of(recipe=tmp_path)
    assert problem.startswith(f"{tmp_path} is a folder, not a recipe")


def test_a_recipe_may_be_given_by_its_name():
    assert read_settings("builtin/skewed") == read_settings(find_recipe("builtin/skewed"))
    with pytest.raises(SettingsError, match=r"there is no recipe builtin/skewd: .*did you mean builtin/skewed\?"):
        read_settings("builtin/skewd")


def test_flags_beside_a_table_that_is_none_do_not_hide_the_mistake(tmp_path: Path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("training = 3")
    (problem,) = problems_of("--training.rounds", "5", recipe=recipe)
    assert "training is 3" in problem


def test_flat_settings_name_every_setting_once():
    flat = flat_settings(Settings())
    sections = [
        entry for entry in dataclasses.fields(Settings) if dataclasses.is_dataclass(getattr(Settings(), entry.name))
    ]
    single = len(dataclasses.fields(Settings)) - len(sections)
    inner = sum(len(dataclasses.fields(getattr(Settings(), entry.name))) for entry in sections)
    inner += 3  # the method's name, quirks, and whether it is as in its paper
    inner -= 1  # the built-in world has no options
    assert len(flat) == single + inner
    assert flat["partition.num_clients"] == Settings().partition.num_clients


def written_and_read(settings: Settings, folder: Path) -> Settings:
    path = folder / "settings.toml"
    path.write_text(dump_toml(settings), encoding="utf-8")
    return read_settings(path)


def test_every_setting_is_written_down():
    text = dump_toml(Settings())
    assert all(f"{name.rpartition('.')[2]} = " in text for name in flat_settings(Settings()))


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


CHOICES: dict[str, st.SearchStrategy[Any]] = {
    "seed": st.integers(-(2**63), 2**63 - 1),
    "backbone": NAMES,
    "initial_model": NAMES,
    "data.modalities": st.lists(st.sampled_from(["image", "text", "readings"]), min_size=1, max_size=3, unique=True),
    "data.num_classes": st.integers(2, 101),
    "partition.kind": st.sampled_from(["even", "labels", "site"]),
    "partition.alpha": st.floats(0, 1e6, exclude_min=True),
    "missing.rate": st.floats(0, 1),
    "missing.lacking": st.sampled_from(["any", "image", "text", "readings"]),
    "method.name": st.sampled_from(sorted(METHODS)),
    "method.clip_norm": st.just(0.0),
    "method.hostile_share": st.floats(0, 0.5, exclude_max=True),
    "training.lr": st.floats(0, 1e6, exclude_min=True),
    "training.fraction": st.floats(0, 1, exclude_min=True),
    "training.schedule": st.sampled_from(["constant", "cosine", "linear"]),
}


@hypothesis.settings(max_examples=30, deadline=None)
@given(chosen=st.fixed_dictionaries({}, optional=CHOICES))
def test_settings_are_the_same_after_a_round_trip_through_toml(
    chosen: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
):
    content: dict[str, Any] = {}
    for name, value in chosen.items():
        section, _, last = name.rpartition(".")
        (content.setdefault(section, {}) if section else content)[last] = value
    settings = Settings(**content)
    assert written_and_read(settings, tmp_path_factory.mktemp("settings")) == settings


def test_a_recipe_may_say_something_for_one_method_alone(tmp_path: Path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[training]\nlr = 0.5\nrounds = 7\n\n[by_method]\npfpt.training.lr = 0.25\n")
    assert read_settings(recipe).training.lr == 0.5
    tuned = read_settings(recipe, ["--method.name", "pfpt"])
    assert (tuned.training.lr, tuned.training.rounds) == (0.25, 7)
    assert read_settings(recipe, ["--method.name", "pfpt", "--training.lr", "0.75"]).training.lr == 0.75


# Settings of methods


def test_a_setting_that_the_method_does_not_have_is_refused(tmp_path: Path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[method]\nproximal_weight = 0.1\n")
    expected = "method.proximal_weight: fedprime has no such setting (it is one of fedprox-p, fedmsplit-p); it has"
    for problem in (*problems_of(recipe=recipe), *problems_of("--method.proximal_weight", "0.1")):
        assert problem.startswith(expected)
    flags = ["--method.name=fedprox-p", "--method.paper"]
    assert read_settings(recipe, flags).method == FedProxP(proximal_weight=0.1)


def test_a_misspelt_setting_of_a_method_is_told_the_nearest_one():
    (problem,) = problems_of("--method.name=fedprox-p", "--method.proximal_wait", "3")
    assert problem.endswith("; did you mean method.proximal_weight?")


def test_a_run_of_an_earlier_version_wrote_down_settings_of_all_methods(tmp_path: Path):
    old = tmp_path / "settings.toml"
    old.write_text('[method]\nname = "head-only"\nhead = "linear"\npool_size = 20\nproximal_weight = 0.01\n')
    assert read_saved_settings(old).method == HeadOnly(head="linear")
    with pytest.raises(SettingsError, match=r"method\.pool_size: head-only has no such setting"):
        read_settings(old)
    old.write_text('[method]\nname = "head-only"\npoolsize = 20\n')
    with pytest.raises(SettingsError, match=r"method\.poolsize: head-only has no such setting"):
        read_saved_settings(old)


def test_settings_that_differ_are_told_also_where_one_side_has_them_not():
    there, here = read_settings(None, ["--method.name=pfpt"]), read_settings(None, ["--method.name=fedprox-p"])
    told = differing_settings(there, here)
    assert told["method.name"] == "method.name is 'pfpt' there, 'fedprox-p' here"
    assert told["method.likelihood"] == "method.likelihood is 'mean' there, not set here"
    assert told["method.proximal_weight"] == "method.proximal_weight is not set there, 0.01 here"
    assert len(told) == 4  # and num_alternations
    assert differing_settings(here, here) == {}


@pytest.mark.parametrize(
    ("flags", "is_warned"),
    [
        (["--method.name=fedavg-p"], True),
        (["--method.name=pfpt"], False),
        (["--method.name=fedavg-p", "--training.lr=0.1"], False),
        (["--method.name=closed-form"], False),
    ],
)
def test_a_method_without_a_learning_rate_of_its_own_in_the_recipe_is_told(
    flags: list[str], is_warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[by_method]\npfpt.training.lr = 0.25\n")
    read_settings(recipe, flags)
    assert ("learning rate of their own for pfpt, but none for fedavg-p" in caplog.text) == is_warned
    assert bool(caplog.records) == is_warned


# Switches


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        (["--privacy.secret"], True),
        (["--privacy.secret", "true"], True),
        (["--privacy.secret=false"], False),
        (["--privacy.secret", "--privacy.no-secret"], False),
        (["--privacy.secret", "--training.rounds", "3"], True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_setting_that_is_true_or_false_needs_no_value(flags: list[str], value: bool):
    assert read_settings(None, flags).privacy.secret is value


def test_what_is_true_or_false_takes_nothing_else():
    assert problems_of("--privacy.secret", "a", "b") == ["--privacy.secret has 2 values; expected one"]
    assert problems_of("--privacy.no-secret", "a") == ["--privacy.no_secret has 1 value; expected none"]
    assert problems_of("--privacy.secret", "a")[0].startswith("privacy.secret is 'a': input should be a valid boolean")
