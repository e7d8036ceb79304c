"""Every setting there is, with its type, default and meaning: what help, flags and errors know of settings."""

import dataclasses
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fedprime.methods import DEFAULT_METHOD, find_method, method_names
from fedprime.settings.arguments import Argument, arguments_of, described_names
from fedprime.settings.data_settings import data_options
from fedprime.settings.sections import PlainSettings

_RANGES = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_WORDS = {int: "whole number", float: "number", str: "word", bool: "yes or no"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """A setting.

    Attributes:
        name: Its dotted name.
        annotation: Its type, with the range that it may have.
        default: What it is if nobody sets it; `arguments.REQUIRED` if somebody has to.
        methods: Which methods have it; empty if it does not depend on the method.
    """

    name: str
    annotation: Any
    default: Any
    description: str
    methods: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """What stands before the dot; empty for the few settings without one."""
        return self.name.rpartition(".")[0]

    @property
    def takes_several(self) -> bool:
        """Whether it has any number of values."""
        return typing.get_origin(_plain(self.annotation)) in (tuple, list)

    @property
    def is_switch(self) -> bool:
        """Whether it is true or false."""
        return _plain(self.annotation) is bool

    @property
    def expected(self) -> str:
        """What values it may have, in words: ``whole number, at least 1``, ``sgd or adamw``."""
        plain = _plain(self.annotation)
        if self.takes_several:
            inner = typing.get_args(plain)
            return f"any number of: {_in_words(inner[0])}" if inner else "any number of values"
        return _in_words(self.annotation)


def describe_settings(methods: Iterable[str] | None = None, data_set: str = "builtin") -> tuple[Setting, ...]:
    """Returns every setting, group by group; what several methods have alike stands there once.

    Args:
        methods: The methods whose settings are asked for; None for all, those of installed packages too.
        data_set: The data set whose options are asked for.

    Raises:
        PluginError: If there is no such method or data set.
    """
    names = method_names() if methods is None else tuple(dict.fromkeys(methods))
    types_of, described = typing.get_type_hints(PlainSettings, include_extras=True), described_names(PlainSettings)
    found: list[Setting] = []
    for section in dataclasses.fields(PlainSettings):  # pyright: ignore[reportArgumentType]
        if section.name == "method":
            found += _of_methods(names)
        elif dataclasses.is_dataclass(kind := _plain(types_of[section.name])):
            found += [
                _setting(f"{section.name}.{name}", argument)
                for name, argument in arguments_of(kind).items()  # pyright: ignore[reportArgumentType]
                if name != "options"
            ]
        else:
            found.append(
                Setting(section.name, types_of[section.name], section.default, described.get(section.name, ""))
            )
    options = data_options(data_set).items()
    return (*found, *(_setting(f"data.options.{name}", argument) for name, argument in options))


def describe_groups() -> dict[str, str]:
    """Returns by name of every group of settings what it is about."""
    types_of = typing.get_type_hints(PlainSettings)
    return {
        section.name: (types_of[section.name].__doc__ or "").partition("\n")[0]
        for section in dataclasses.fields(PlainSettings)  # pyright: ignore[reportArgumentType]
        if section.name == "method" or dataclasses.is_dataclass(types_of[section.name])
    }


def _of_methods(names: tuple[str, ...]) -> list[Setting]:
    choice = Setting(
        "method.name",
        Literal[method_names()],
        DEFAULT_METHOD,
        "Which method: FED-PRIME, one of its ablations, its start alone, or a baseline.",
    )
    having: dict[tuple[str, str], tuple[Argument, list[str]]] = {}
    for method in names:
        from fedprime.settings.method_settings import method_arguments  # loads torch, as the method does

        for name, argument in method_arguments(find_method(method)).items():
            same = (name, repr((argument.annotation, argument.default, argument.description)))
            having.setdefault(same, (argument, []))[1].append(method)
    return [
        choice,
        *(_setting(f"method.{name}", argument, tuple(methods)) for (name, _), (argument, methods) in having.items()),
    ]


def _setting(name: str, argument: Argument, methods: tuple[str, ...] = ()) -> Setting:
    return Setting(name, argument.annotation, argument.default, argument.description, methods)


def _plain(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation


def _in_words(annotation: Any) -> str:
    plain = _plain(annotation)
    if typing.get_origin(plain) is Literal:
        return " or ".join(map(str, typing.get_args(plain)))
    if typing.get_origin(plain) in (typing.Union, types.UnionType):
        return " or ".join(_in_words(each) for each in typing.get_args(plain) if each is not type(None))
    limits = [
        f"{words} {getattr(limit, name)}"
        for extra in typing.get_args(annotation)[1:]
        for limit in getattr(extra, "metadata", ())
        for name, words in _RANGES.items()
        if hasattr(limit, name)
    ]
    return ", ".join([_WORDS.get(plain, "value"), *limits])
