"""Settings that a class or function has by its arguments: read, checked, described."""

from dataclasses import dataclass
from typing import Literal

import pytest

from fedprime.reproducibility.ranges import Count
from fedprime.settings.arguments import REQUIRED, arguments_of, described_names, read_arguments
from fedprime.settings.problems import SettingsError


@dataclass(frozen=True)
class Plain:
    """Something.

    Attributes:
        size: How large it is; that can be
            said at length.
        name: What it is called.

    More is said below.
    """

    size: Count = 3
    name: str = "x"


@dataclass(frozen=True)
class Own(Plain):
    """Something more."""

    kind: Literal["a", "b"] = "a"
    """Which of two."""
    steps: tuple[float, ...] = ()
    """How far."""


class Opener:
    def __init__(self, colour: str, *, bright: bool = False) -> None:
        """Mixes.

        Args:
            colour: Which one.
            bright: Whether it shines.
        """


def problems_of(table: dict[str, object]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_arguments(table, arguments_of(Own), "method", "own")
    return list(caught.value.problems)


def test_what_a_class_says_of_its_fields_is_found_where_it_says_so():
    assert described_names(Own) == {
        "size": "How large it is; that can be said at length.",
        "name": "What it is called.",
        "kind": "Which of two.",
        "steps": "How far.",
    }


def test_a_class_that_is_no_dataclass_has_the_arguments_of_its_constructor():
    arguments = arguments_of(Opener)
    assert list(arguments) == ["colour", "bright"]
    assert arguments["colour"].default is REQUIRED
    assert (arguments["bright"].annotation, arguments["bright"].default) == (bool, False)


def test_values_are_converted_and_defaults_filled_in():
    values = read_arguments({"size": "4", "steps": ["0.5", 1]}, arguments_of(Own), "method", "own")
    assert values == {"size": 4, "name": "x", "kind": "a", "steps": (0.5, 1.0)}
    assert Own(**values).steps == (0.5, 1.0)


def test_every_problem_is_told_by_its_dotted_name():
    found = problems_of({"size": 0, "kind": "c", "nam": "y", "steps": [float("nan")]})
    assert [problem.partition(" ")[0] for problem in found] == [
        "method.kind",
        "method.nam:",
        "method.size",
        "method.steps.0",
    ]
    assert found[1] == (
        "method.nam: own has no such setting; it has size, name, kind, steps; did you mean method.name?"
    )


def test_what_has_no_default_must_be_set():
    with pytest.raises(SettingsError, match=r"data\.options\.colour is not set; the data set x needs it"):
        read_arguments({}, arguments_of(Opener), "data.options", "the data set x")
