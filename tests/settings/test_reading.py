"""Settings: right defaults, every mistake reported at once, the same after a round trip through TOML."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedprime.methods import METHODS
from fedprime.settings.reading import dump_toml, flat_settings, read_settings
from fedprime.settings.settings import Settings, SettingsError


def problems_of(*flags: str, recipe: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_settings(recipe, flags)
    return list(caught.value.problems)


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
        "method.name: 'fedprim' is not one of fedprime, ",
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
        (["--training.rounds"], "--training.rounds has 0 values, expected one"),
        (["--training.rounds", "3", "4"], "--training.rounds has 2 values, expected one"),
        (["--data.modalities"], "--data.modalities has 0 values, expected one"),
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
    assert "not a readable TOML file" in problem


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
    "training.lr": st.floats(0, 1e6, exclude_min=True),
    "training.fraction": st.floats(0, 1, exclude_min=True),
    "training.schedule": st.sampled_from(["constant", "cosine", "linear"]),
}


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
