"""What is wrong with settings, in words."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fedprime.reproducibility.errors import FedprimeError, nearest_name


class SettingsError(FedprimeError):
    """Settings that cannot be used; the message names every one of them."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        """Puts all problems into one message.

        Args:
            problems: One line for each, or the only one.
        """
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        several = [f"{len(self.problems)} settings are wrong:", *(f"  {problem}" for problem in self.problems)]
        super().__init__("\n".join(several) if len(self.problems) > 1 else self.problems[0])


@contextmanager
def needing_flower(extra: str = "flower") -> Iterator[None]:
    """Turns an import that fails into an error that says how to install what is missing.

    Raises:
        SettingsError: If it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise SettingsError(f'this needs Flower ({error}); install it: pip install "fedprime[{extra}]"') from error


def describe_error(error: Mapping[str, Any], names: Iterable[str], prefix: str = "") -> list[str]:
    """Returns what pydantic found wrong, in our words.

    Args:
        error: One of the errors of a `pydantic.ValidationError`.
        names: The dotted names that there are.
        prefix: The dotted name of what was validated; empty for all settings.
    """
    name = ".".join(filter(None, [prefix, *(str(part) for part in error["loc"])]))
    if error["type"] == "unexpected_keyword_argument":
        found = error["input"]
        keys = [f"{name}.{key}" for key in found] if isinstance(found, dict) and found else [name]
        return ["; ".join(f"{key} is not a setting{nearest_name(key, names)}" for key in keys)]
    if error["type"] == "value_error":
        reason = error["ctx"]["error"]
        if isinstance(reason, SettingsError):  # it names its settings
            return reason.problems
        # What is wrong between sections names itself.
        return [f"{name}: {reason}" if name else str(reason)]
    message = error["msg"]
    return [f"{name} is {error['input']!r}: {message[0].lower()}{message[1:]}"]


def known_verb(words: Sequence[str], verbs: Collection[str], of: str) -> bool:
    """Returns whether words begin with a verb below a verb; without one, or where help is asked for, there is none.

    Args:
        of: The verb above, for example ``data``.

    Raises:
        SettingsError: If the first word is something else.
    """
    if not words or words[0] in ("-h", "--help"):
        return False
    if words[0] not in verbs:
        raise SettingsError(
            f"{words[0]!r} is not a verb of fedprime {of}: {', '.join(verbs)}{nearest_name(words[0], verbs)}"
        )
    return True
