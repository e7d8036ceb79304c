"""Flags of a command line: the one place that takes words apart, for the settings and for the verbs' own flags."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from fedprime.reproducibility.errors import counted, nearest_name
from fedprime.settings.describe import Setting, describe_settings
from fedprime.settings.problems import SettingsError
from fedprime.settings.recipe_tables import put_dotted


@dataclass(frozen=True)
class _Flag:
    """A flag with the words behind it; the words before the first flag belong to one without a name."""

    name: str
    words: tuple[str, ...]  # as they were written, the flag included
    values: tuple[str, ...]


def _split(words: Sequence[str]) -> list[_Flag]:
    groups: list[list[str]] = [[]]
    for word in words:
        if word.startswith("--"):
            groups.append([])
        groups[-1].append(word)
    before, *flags = groups
    split = [_Flag("", tuple(before), tuple(before))] if before else []
    for own in flags:
        name, has_value, value = own[0].partition("=")
        split.append(_Flag(name, tuple(own), (*((value,) if has_value else ()), *own[1:])))
    return split


def take_folder(words: list[str], flag: str) -> str | None:
    """Removes a flag and its one value from words and returns the value, or None if it is not there.

    Raises:
        SettingsError: If it has no value.
    """
    found, left = None, list[str]()
    for entry in _split(words):
        if entry.name != flag or found is not None:
            left += entry.words
            continue
        if not entry.values or not entry.values[0]:
            raise SettingsError(f"{flag} has no value; name a folder")
        found = entry.values[0]
        left += entry.values[1:]
    words[:] = left
    return found


def take_switch(words: list[str], flag: str) -> bool:
    """Removes a flag that has no value from words and returns whether it was there."""
    was_there = flag in words
    words[:] = [word for word in words if word != flag]
    return was_there


def take_values(words: list[str], flag: str, example: str) -> list[str]:
    """Removes a flag, however often it is there, with all its values from words and returns the values.

    Args:
        example: Words that would be right, for the error.

    Raises:
        SettingsError: If it has no value.

    >>> words = ["--only", "a=b", "c=d", "--training.rounds", "3", "--only=e=f"]
    >>> take_values(words, "--only", "--only a=b"), words
    (['a=b', 'c=d', 'e=f'], ['--training.rounds', '3'])
    """
    flags = _split(words)
    own = [entry for entry in flags if entry.name == flag]
    if not all(entry.values and all(entry.values) for entry in own):
        raise SettingsError(f"{flag} has no value; expected for example {example}")
    words[:] = [word for entry in flags if entry.name != flag for word in entry.words]
    return [value for entry in own for value in entry.values]


def take_numbers(words: list[str], flag: str, example: str, least: int) -> list[int]:
    """Removes a flag with all its values from words and returns them as whole numbers.

    Raises:
        SettingsError: If it has no value, or a value is no whole number or too small.
    """
    values = take_values(words, flag, example)
    wrong = [value for value in values if not value.isdecimal() or int(value) < least]
    if wrong:
        raise SettingsError(f"{flag} has {' '.join(wrong)}; expected whole numbers from {least}, as in {example}")
    return [int(value) for value in values]


def refuse_unknown_flags(words: Sequence[str], own: Sequence[str], verb: str) -> None:
    """Raises a `SettingsError` that names the flags of a verb if one was misspelt.

    Only words without a dot are looked at: wrong settings of a section are found later, all at once.
    """
    names = [*own, *(f"--{setting.name}" for setting in describe_settings(()))]
    known = {_underscored(name) for name in names}
    for flag in _split(words):
        if flag.name and "." not in flag.name and _underscored(flag.name) not in known:
            hint = nearest_name(flag.name, names)
            raise SettingsError(
                f"{flag.name} is neither a flag of fedprime {verb} ({', '.join(own)}) nor a setting{hint}"
            )


def flags_outside(words: Sequence[str], *groups: str) -> list[str]:
    """Returns words without the flags of some groups of settings.

    Args:
        *groups: What those flags begin with, for example ``method``.

    >>> flags_outside(["--method.head", "linear", "--seed", "3"], "method")
    ['--seed', '3']
    """
    beginnings = tuple(f"--{group}." for group in groups)
    return [word for flag in _split(words) if not flag.name.startswith(beginnings) for word in flag.words]


def last_value(words: Sequence[str], name: str) -> str | None:
    """Returns the value that flags give a setting, or None if they give it none."""
    values = [flag.values[-1] for flag in _split(words) if _underscored(flag.name) == f"--{name}" and flag.values]
    return values[-1] if values else None


def set_flags(content: dict[str, Any], words: Sequence[str], settings: Collection[Setting]) -> list[str]:
    """Puts flags into nested tables of settings, and returns what is wrong with their names.

    A setting that is true or false needs no value: ``--privacy.secret`` sets it, ``--privacy.no-secret`` sets it to
    false. A name in the group of the method is taken whatever it is: the method itself says which settings it has.

    Args:
        content: The tables, which are changed.
    """
    known = {setting.name: setting for setting in settings}
    switches = {
        f"{setting.group}.no_{setting.name.rpartition('.')[2]}".lstrip("."): setting.name
        for setting in settings
        if setting.is_switch
    }
    problems: list[str] = []
    for flag in _split(words):
        if not flag.name:
            problems.append(f"{flag.words[0]!r} stands before any flag; settings look like --training.rounds 50")
            continue
        name, values = _underscored(flag.name).removeprefix("--"), list(flag.values)
        setting = known.get(switches.get(name, name))
        if setting is None and not name.startswith(("method.", "data.options.")):
            problems.append(f"--{name} is not a setting{nearest_name(name, known)}")
        elif name in switches and values:
            problems.append(f"--{name} has {counted(len(values), 'value')}; expected none")
        elif problem := _wrong_number(name, values, setting):
            problems.append(problem)
        elif setting is not None and setting.is_switch and not values:
            put_dotted(content, setting.name, name not in switches)
        else:
            several = len(values) > 1 if setting is None else setting.takes_several
            put_dotted(content, name, values if several else values[0])
    return problems


def _wrong_number(name: str, values: Sequence[str], setting: Setting | None) -> str:
    if setting is not None and setting.is_switch and not values:
        return ""
    several = setting is None or setting.takes_several
    if values and (several or len(values) == 1):
        return ""
    found = f"{len(values)} values" if values else "no value"
    return f"--{name} has {found}; expected {'one or more, separated by spaces' if several else 'one'}"


def _underscored(name: str) -> str:
    return f"--{name[2:].replace('-', '_')}" if name.startswith("--") else name.replace("-", "_")
