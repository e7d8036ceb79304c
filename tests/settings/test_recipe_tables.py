"""Tables of settings: one over the other, and what a recipe says for some methods alone."""

from pathlib import Path

import pytest

from fedprime.settings.problems import SettingsError
from fedprime.settings.recipe_tables import dotted_names, merged, read_toml, take_by_method, without


def test_what_is_above_goes_over_what_is_below_table_by_table():
    below = {"seed": 1, "training": {"lr": 0.1, "rounds": 5}, "data": {"num_train": 7}}
    assert merged(below, {"training": {"lr": 0.3}, "seed": 2}) == {
        "seed": 2,
        "training": {"lr": 0.3, "rounds": 5},
        "data": {"num_train": 7},
    }


def test_what_is_merged_shares_nothing_with_what_it_came_from():
    below, above = {"training": {"lr": 0.1}}, {"data": {"num_train": 7}}
    result = merged(below, above)
    result["training"]["lr"], result["data"]["num_train"] = 9.0, 9
    assert below == {"training": {"lr": 0.1}}
    assert above == {"data": {"num_train": 7}}


def test_names_are_those_of_settings_not_of_tables():
    assert dotted_names({"seed": 1, "training": {"lr": 0.1, "rounds": 5}}) == {"seed", "training.lr", "training.rounds"}


def test_settings_are_left_out_by_name():
    tables = {"seed": 1, "training": {"lr": 0.1, "rounds": 5}}
    assert without(tables, {"seed", "training.rounds"}) == {"training": {"lr": 0.1}}


def test_what_is_said_by_method_is_taken_out_of_the_recipe():
    content = {"seed": 1, "by_method": {"fedavg-p": {"training": {"lr": 0.3}}}}
    assert take_by_method(content) == ({"fedavg-p": {"training": {"lr": 0.3}}}, [])
    assert content == {"seed": 1}


def test_a_method_that_does_not_exist_is_named():
    by_method, problems = take_by_method({"by_method": {"fedavg": {"training": {"lr": 0.3}}}})
    assert by_method == {}
    assert len(problems) == 1
    assert problems[0].startswith("by_method.'fedavg' is no method: fedprime, ")


def test_a_method_cannot_choose_another_method_or_the_seed():
    _, problems = take_by_method({"by_method": {"pfpt": {"seed": 3, "method": {"name": "local-p"}}}})
    assert problems == [
        "by_method.pfpt.method.name stands there, but a method has no say in that",
        "by_method.pfpt.seed stands there, but a method has no say in that",
    ]


def test_what_is_no_table_of_methods_is_refused():
    for wrong in (3, {"fedprime": 0.1}):
        by_method, problems = take_by_method({"by_method": wrong})
        assert by_method == {}
        assert problems == ["by_method is no table of methods; expected lines like fedprime.training.lr = 0.03"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 5000 + "]" * 5000, "it is nested too deeply"),
        ("a = " + "[" * 100 + "]" * 100, "it is nested too deeply"),
        ("[" + ".".join(["a"] * 5000) + "]\nb = 1", "it is nested too deeply"),
        ("seed = " + "9" * 5000, "Exceeds the limit"),
        ("seed = 1\nseed = 2", "Cannot overwrite a value"),
    ],
)
def test_what_nobody_would_write_is_one_line(text: str, said: str, tmp_path: Path):
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(SettingsError, match=f"recipe.toml is not a readable TOML file: {said}") as caught:
        read_toml(tmp_path / "recipe.toml")
    assert "\n" not in str(caught.value).strip()
