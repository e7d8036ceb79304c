"""What is wrong with settings, in words."""

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from fedprime.settings.problems import SettingsError, describe_error


@dataclass(config={"extra": "forbid"})
class Section:
    rounds: int = 3


def described(content: object, prefix: str = "") -> list[str]:
    try:
        TypeAdapter(dict[str, Section]).validate_python(content)
    except ValidationError as error:
        return [line for entry in error.errors() for line in describe_error(entry, ["training.rounds"], prefix)]
    return []


def test_one_problem_is_its_own_message_and_several_are_counted():
    assert str(SettingsError(["seed is wrong"])) == str(SettingsError("seed is wrong")) == "seed is wrong"
    assert SettingsError("seed is wrong").problems == ["seed is wrong"]
    assert str(SettingsError(["a", "b"])) == "2 settings are wrong:\n  a\n  b"


def test_a_wrong_value_is_named_with_what_was_expected():
    (problem,) = described({"training": {"rounds": "many"}}, "all")
    assert problem.startswith("all.training.rounds is 'many': input should be a valid integer")


def test_an_unknown_name_is_told_the_nearest_one():
    assert described({"training": {"round": 3}}) == ["training.round is not a setting; did you mean training.rounds?"]


def test_an_error_of_several_settings_is_told_as_it_is():
    error = {"type": "value_error", "loc": ("method",), "ctx": {"error": SettingsError(["a", "b"])}}
    assert describe_error(error, ()) == ["a", "b"]
    assert describe_error({**error, "ctx": {"error": ValueError("is odd")}}, ()) == ["method: is odd"]
    assert describe_error({**error, "loc": (), "ctx": {"error": ValueError("is odd")}}, ()) == ["is odd"]
