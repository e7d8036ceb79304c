"""Settings from TOML recipes and flags, checked all at once; and back to TOML."""

import dataclasses
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import TypeAdapter, ValidationError

from fedprime.methods import DEFAULT_METHOD, find_method, method_names
from fedprime.methods.method import Method
from fedprime.reproducibility.plugins import PluginError
from fedprime.settings.arguments import arguments_of
from fedprime.settings.describe import Setting, describe_settings
from fedprime.settings.flags import last_value, set_flags
from fedprime.settings.method_settings import method_arguments, method_table
from fedprime.settings.problems import SettingsError, describe_error
from fedprime.settings.recipe_tables import (
    dotted_names,
    dotted_values,
    merged,
    name_in,
    read_toml,
    take_by_method,
    without,
)
from fedprime.settings.recipes import find_recipe
from fedprime.settings.sections import PAPER_SETTING
from fedprime.settings.settings import Settings

_logger = logging.getLogger(__name__)

#: Settings of methods that every run wrote down before a method had settings of its own, whatever its method.
_ONCE_OF_ALL_METHODS = frozenset(
    f"method.{name}"
    for name in (
        *("num_prompts", "head", "pool_size", "pull_weight", "proximal_weight", "centres_per_prompt", "likelihood"),
        *("num_alternations", "aggregation", "hostile_share", "clip_norm", "standardised_queries", "context_weight"),
        "reference_quirks",
    )
)


def flat_settings(settings: Settings) -> dict[str, Any]:
    """Returns every setting by its dotted name, those of the method that was chosen among them.

    >>> flat_settings(Settings())["training.rounds"]
    30
    """
    return dotted_values(_tables(settings))


def differing_settings(there: Settings, here: Settings) -> dict[str, str]:
    """Returns by dotted name, in words, the settings in which two differ."""
    found, expected = flat_settings(there), flat_settings(here)
    names = (name for name in {**expected, **found} if found.get(name) != expected.get(name))
    return {
        name: f"{name} is {_in_words(found.get(name))} there, {_in_words(expected.get(name))} here" for name in names
    }


def read_settings(recipe: str | Path | None = None, flags: Sequence[str] = ()) -> Settings:
    """Reads settings from a recipe and from flags over it; what neither says keeps its default.

    What the recipe says for the chosen method alone (see `recipe_tables`) goes over the rest of the recipe.

    Args:
        recipe: A TOML file, or the name of a recipe that comes along, as ``builtin/study``.
        flags: As on a command line: ``["--training.rounds", "50", "--data.modalities", "image", "text"]`` or with
            ``=``.

    Raises:
        SettingsError: If anything is wrong, with every problem of recipe, flags and values.
    """
    content = read_toml(find_recipe(str(recipe))) if recipe else {}
    by_method, problems = take_by_method(content)
    method = last_value(flags, "method.name") or method_of(content)
    known = known_settings([method], last_value(flags, "data.name") or name_in(content, "data"))
    given: dict[str, Any] = {}
    set_flags(given, flags, known)
    note_untuned(method, by_method, dotted_names(given))
    content = merged(content, by_method.get(method, {}))
    return check_settings(content, [*problems, *set_flags(content, flags, known)])


def read_saved_settings(path: Path) -> Settings:
    """Reads the settings that a run wrote down, which may be a run of an earlier version.

    Args:
        path: Its ``settings.toml``.

    Raises:
        SettingsError: If anything is wrong, with every problem.
    """
    return check_settings(without_foreign(read_toml(path)))


def without_foreign(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns tables without what earlier versions wrote down of methods that were not chosen.

    Where they say nothing of how a head starts and what it reads, that was the paper's.
    """
    try:
        own = method_arguments(find_method(method_of(content)))
    except PluginError:
        own = {}
    kept = without(content, _ONCE_OF_ALL_METHODS - {f"method.{name}" for name in own})
    return merged({"method": {PAPER_SETTING: True}}, kept)


def completed_settings(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what an earlier version wrote down without settings of other methods, and with the defaults of new ones.

    Args:
        flat: The settings of a run by dotted name; of a method that is not there, all are kept.
    """
    method = str(flat.get("method.name", DEFAULT_METHOD))
    known = {setting.name: setting.default for setting in known_settings([method])}
    if "method.readout" not in flat and method in method_names():  # before methods had better defaults than papers
        known |= {f"method.{name}": argument.default for name, argument in arguments_of(find_method(method)).items()}
        known[f"method.{PAPER_SETTING}"] = True
    foreign = _ONCE_OF_ALL_METHODS - known.keys() if method in method_names() else frozenset[str]()
    defaults = {name: value for name, value in known.items() if name not in flat}
    return {**{name: value for name, value in flat.items() if name not in foreign}, **defaults}


def note_untuned(method: str, by_method: Mapping[str, Mapping[str, Any]], given: Collection[str]) -> None:
    """Tells in the log that a recipe has a learning rate for other methods, but not for the one that was chosen.

    A method that trains nothing needs none.

    Args:
        by_method: What the recipe says for some methods alone.
        given: Dotted names of the settings that are set over the recipe.
    """
    rate = "training.lr"
    tuned = [name for name, tables in by_method.items() if rate in dotted_names(tables)]
    if tuned and method not in tuned and rate not in given and _trains(method):
        _logger.warning(
            "the recipe has a learning rate of their own for %s, but none for %s, which takes the one of all others; "
            "say another one by --%s",
            *(", ".join(tuned), method, rate),
        )


def _trains(method: str) -> bool:
    try:
        return find_method(method).trains
    except PluginError:  # which is told when the settings are checked
        return True


def method_of(content: Mapping[str, Any]) -> str:
    """Returns the name of the method that nested tables of settings choose."""
    return name_in(content, "method") or DEFAULT_METHOD


def known_settings(methods: Iterable[str], data_set: str = "") -> tuple[Setting, ...]:
    """Returns the settings that there are with some methods and a data set; names that do not exist are left out."""
    there: list[str] = []
    for method in methods:
        try:
            find_method(method)
        except PluginError:  # which is told when the settings are checked
            continue
        there.append(method)
    try:
        return describe_settings(there, data_set or "builtin")
    except PluginError:
        return describe_settings(there)


def check_settings(content: Mapping[str, Any], problems: Sequence[str] = ()) -> Settings:
    """Turns nested tables into settings; what they do not say keeps its default.

    Args:
        content: As read from TOML.
        problems: What is known to be wrong already.

    Raises:
        SettingsError: If anything is wrong, with every problem.
    """
    found: list[str] = []
    try:
        settings = TypeAdapter(Settings).validate_python(content)
    except ValidationError as error:
        settings, names = Settings(), [setting.name for setting in known_settings([method_of(content)])]
        found = [line for entry in error.errors() for line in describe_error(entry, names)]
    if problems or found:
        raise SettingsError([*problems, *found])
    return settings


def dump_toml(settings: Settings) -> str:
    """Writes settings as TOML, every one of them, so that a run does not depend on defaults that may change."""
    return tomlkit.dumps(_tables(settings))


def _tables(settings: Settings) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for section in dataclasses.fields(settings):  # pyright: ignore[reportArgumentType]
        value = getattr(settings, section.name)
        if isinstance(value, Method):
            value = method_table(value)
        elif dataclasses.is_dataclass(value):
            value = {entry.name: getattr(value, entry.name) for entry in dataclasses.fields(value)}
        tables[section.name] = _told(value) if isinstance(value, dict) else value
    return tables


def _told(table: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a table without what TOML has no word for: None, and tables with nothing in them."""
    return {name: value for name, value in table.items() if value is not None and value != {}}


def _in_words(value: object) -> str:
    return "not set" if value is None else repr(value)
