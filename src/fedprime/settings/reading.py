"""Settings from TOML recipes and flags, checked all at once; and back to TOML."""

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import TypeAdapter, ValidationError

from fedprime.reproducibility.errors import nearest_name
from fedprime.settings.recipe_tables import merged, take_by_method
from fedprime.settings.settings import MethodSettings, Settings, SettingsError

__all__ = [
    "check_settings",
    "dump_toml",
    "flat_settings",
    "method_of",
    "read_settings",
    "read_toml",
    "set_flags",
]


def flat_settings(settings: Settings) -> dict[str, Any]:
    """Returns every setting by its dotted name.

    Args:
        settings: The settings.

    >>> flat_settings(Settings())["training.rounds"]
    30
    """
    flat: dict[str, Any] = {}
    for name, value in dataclasses.asdict(settings).items():  # pyright: ignore[reportArgumentType]
        flat |= (
            {f"{name}.{inner}": entry for inner, entry in value.items()} if isinstance(value, dict) else {name: value}
        )
    return flat


def read_settings(recipe: str | Path | None = None, flags: Sequence[str] = ()) -> Settings:
    """Reads settings from a TOML recipe and from flags over it; what neither says keeps its default.

    What the recipe says for the chosen method alone (see `recipe_tables`) goes over the rest of the recipe.

    Args:
        recipe: A TOML file.
        flags: As on a command line: ``["--training.rounds", "50", "--data.modalities", "image", "text"]`` or with
            ``=``.

    Raises:
        SettingsError: If anything is wrong, with every problem of recipe, flags and values.
    """
    content = read_toml(Path(recipe)) if recipe else {}
    by_method, problems = take_by_method(content)
    chosen = merged(content, {})
    set_flags(chosen, flags)
    content = merged(content, by_method.get(method_of(chosen), {}))
    return check_settings(content, [*problems, *set_flags(content, flags)])


def method_of(content: Mapping[str, Any]) -> str:
    """Returns the name of the method that nested tables of settings choose.

    Args:
        content: The tables.
    """
    table = content.get("method", {})
    name = table.get("name") if isinstance(table, dict) else None
    return name if isinstance(name, str) else MethodSettings.name


def set_flags(content: dict[str, Any], flags: Sequence[str]) -> list[str]:
    """Puts flags into nested tables of settings, and returns what is wrong with their names.

    Args:
        content: The tables, which are changed.
        flags: As for `read_settings`.
    """
    names = flat_settings(Settings())
    problems: list[str] = []
    for flag, values in _split_flags(flags, problems):
        section, _, name = flag.rpartition(".")
        if flag not in names:
            problems.append(f"--{flag} is not a setting{nearest_name(flag, names)}")
        elif not values or (len(values) > 1 and not isinstance(names[flag], tuple)):
            expected = "one or more, separated by spaces" if isinstance(names[flag], tuple) else "one"
            problems.append(f"--{flag} has {len(values)} values, expected {expected}")
        else:
            table = content.setdefault(section, {}) if section else content
            if isinstance(table, dict):
                table[name] = values if isinstance(names[flag], tuple) else values[0]
    return problems


def check_settings(content: Mapping[str, Any], problems: Sequence[str] = ()) -> Settings:
    """Turns nested tables into settings; what they do not say keeps its default.

    Args:
        content: As read from TOML.
        problems: What is known to be wrong already.

    Raises:
        SettingsError: If anything is wrong, with every problem.
    """
    try:
        settings, found = TypeAdapter(Settings).validate_python(content), []
    except ValidationError as error:
        settings, found = Settings(), [_describe(entry, flat_settings(Settings())) for entry in error.errors()]
    if problems or found:
        raise SettingsError([*problems, *found])
    return settings


def read_toml(path: Path) -> dict[str, Any]:
    """Returns the tables of a TOML file.

    Args:
        path: The file.

    Raises:
        SettingsError: If there is none, or it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problem = f"there is no recipe {path}; `fedprime recipes list` shows those that come along"
        raise SettingsError([problem]) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError([f"{path} is not a readable TOML file: {error}"]) from error


def dump_toml(settings: Settings) -> str:
    """Writes settings as TOML, every one of them, so that a run does not depend on defaults that may change.

    Args:
        settings: The settings.
    """
    return tomlkit.dumps(dataclasses.asdict(settings))  # pyright: ignore[reportArgumentType]


def _split_flags(flags: Sequence[str], problems: list[str]) -> list[tuple[str, list[str]]]:
    split: list[tuple[str, list[str]]] = []
    for word in flags:
        if word.startswith("--"):
            name, has_value, value = word[2:].partition("=")
            split.append((name.replace("-", "_"), [value] if has_value else []))
        elif split:
            split[-1][1].append(word)
        else:
            problems.append(f"{word!r} stands before any flag; settings look like --training.rounds 50")
    return split


def _describe(error: Any, names: Iterable[str]) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "unexpected_keyword_argument":
        found = error["input"]
        keys = [f"{name}.{key}" for key in found] if isinstance(found, dict) and found else [name]
        return "; ".join(f"{key} is not a setting{nearest_name(key, names)}" for key in keys)
    if error["type"] == "value_error":
        # What is wrong between sections names itself.
        return f"{name}: {error['ctx']['error']}" if name else str(error["ctx"]["error"])
    message = error["msg"]
    return f"{name} is {error['input']!r}: {message[0].lower()}{message[1:]}"
