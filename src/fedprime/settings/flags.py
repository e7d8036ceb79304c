"""Flags of a command line, taken from its words before the rest is read as settings."""

from collections.abc import Sequence

from fedprime.reproducibility.errors import nearest_name
from fedprime.settings.reading import flat_settings
from fedprime.settings.settings import Settings, SettingsError

__all__ = ["refuse_unknown_flags", "take_folder", "take_numbers", "take_values"]


def take_folder(words: list[str], flag: str) -> str | None:
    """Removes a flag and its one value from words and returns the value, or None if it is not there.

    Args:
        words: The words, which are changed.
        flag: For example ``--output``.

    Raises:
        SettingsError: If it has no value.
    """
    for index, word in enumerate(words):
        if word == flag:
            if index + 1 == len(words) or words[index + 1].startswith("--"):
                raise SettingsError([f"{flag} has no value; name a folder"])
            value = words[index + 1]
            del words[index : index + 2]
            return value
        if word.startswith(f"{flag}="):
            del words[index]
            if word == f"{flag}=":
                raise SettingsError([f"{flag} has no value; name a folder"])
            return word.partition("=")[2]
    return None


def take_values(words: list[str], flag: str, example: str) -> list[str]:
    """Removes a flag, however often it is there, with all its values from words and returns the values.

    Args:
        words: The words, which are changed.
        flag: For example ``--only``.
        example: Words that would be right, for the error.

    Raises:
        SettingsError: If it has no value.

    >>> words = ["--only", "a=b", "c=d", "--training.rounds", "3", "--only=e=f"]
    >>> take_values(words, "--only", "--only a=b"), words
    (['a=b', 'c=d', 'e=f'], ['--training.rounds', '3'])
    """
    values: list[str] = []
    rest: list[str] = []
    position = 0
    while position < len(words):
        name, has_value, value = words[position].partition("=")
        position += 1
        if name != flag:
            rest.append(words[position - 1])
            continue
        found = [value] if has_value else []
        while not has_value and position < len(words) and not words[position].startswith("--"):
            found.append(words[position])
            position += 1
        if not found or not all(found):
            raise SettingsError([f"{flag} has no value; expected for example {example}"])
        values += found
    words[:] = rest
    return values


def take_numbers(words: list[str], flag: str, example: str, least: int) -> list[int]:
    """Removes a flag with all its values from words and returns them as whole numbers.

    Args:
        words: The words, which are changed.
        flag: For example ``--seeds``.
        example: Words that would be right, for the error.
        least: The smallest number that is right.

    Raises:
        SettingsError: If it has no value, or a value is no whole number or too small.
    """
    values = take_values(words, flag, example)
    wrong = [value for value in values if not value.isdecimal() or int(value) < least]
    if wrong:
        raise SettingsError([f"{flag} has {' '.join(wrong)}; expected whole numbers from {least}, as in {example}"])
    return [int(value) for value in values]


def refuse_unknown_flags(words: Sequence[str], own: Sequence[str], verb: str) -> None:
    """Raises a `SettingsError` that names the flags of a verb if one was misspelt.

    Only words without a dot are looked at: wrong settings of a section are found later, all at once.

    Args:
        words: What is left of the words.
        own: The flags of the verb.
        verb: The verb.
    """
    names = [*own, *(f"--{name}" for name in flat_settings(Settings()))]
    for word in words:
        flag = word.partition("=")[0]
        if (
            flag.startswith("--")
            and "." not in flag
            and flag.replace("-", "_") not in [name.replace("-", "_") for name in names]
        ):
            hint = nearest_name(flag, names)
            raise SettingsError([f"{flag} is neither a flag of fedprime {verb} ({', '.join(own)}) nor a setting{hint}"])
