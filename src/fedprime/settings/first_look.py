"""What is plainly wrong with settings, told before anything heavy is imported."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from fedprime.methods import method_names
from fedprime.reproducibility.plugins import unknown_name
from fedprime.settings.describe import describe_settings
from fedprime.settings.flags import flags_outside, last_value, set_flags
from fedprime.settings.problems import SettingsError, describe_error
from fedprime.settings.recipe_tables import name_in, read_toml, take_by_method
from fedprime.settings.sections import PlainSettings


def refuse_plainly_wrong(recipe: Path | None, flags: Sequence[str]) -> None:
    """Raises a `SettingsError` with everything that is wrong with settings that no method has for itself.

    Whether a method has a setting and which values go together is not looked at: that needs the method's class, and
    `reading.read_settings` looks at all of it again.

    Args:
        flags: As for `reading.read_settings`.
    """
    content = read_toml(recipe) if recipe else {}
    _, problems = take_by_method(content)
    known = describe_settings(())
    problems += set_flags(content, flags_outside(flags, "method", "data.options"), known)
    try:
        TypeAdapter(PlainSettings).validate_python(content)
    except ValidationError as error:
        names = [setting.name for setting in known]
        problems += [line for entry in error.errors() for line in describe_error(entry, names)]
    method = last_value(flags, "method.name") or name_in(content, "method")
    if method and method not in method_names():
        problems.append(f"method.name: {unknown_name('method', method, method_names())}")
    if problems:
        raise SettingsError(problems)
