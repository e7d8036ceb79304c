"""What ``fedprime run --help`` says: the settings that people change most, one group of settings, or all of them."""

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

from fedprime.cli.stopping import importing
from fedprime.methods import DEFAULT_METHOD
from fedprime.reproducibility.errors import nearest_name
from fedprime.settings.describe import Setting, describe_groups, describe_settings
from fedprime.settings.flags import last_value
from fedprime.settings.problems import SettingsError
from fedprime.settings.recipe_tables import dotted_values, read_toml
from fedprime.settings.recipes import find_recipe

_USAGE = """\
usage: fedprime run RECIPE [--output FOLDER] [--live] [--track TRACKER ...] [--SETTING VALUE ...]
       fedprime run --resume RUN [--live] [--track TRACKER ...]

Trains, measures every test scenario, and keeps all of it in a run folder.

  RECIPE            a TOML file, or the name of a recipe (fedprime recipes list); flags set settings over it
  --output FOLDER   the run folder; runs/RECIPE-DATE-TIME if not given
  --resume RUN      continue a run that was stopped, with its own settings
  --live            keep a page with curves in the run folder, live.html, that a browser reads again by itself
  --track TRACKER   send it to tensorboard, mlflow, wandb, trackio, or several of them, on this machine

What people change most [what it is if nothing is said]:
"""
_GROUPS = """
Groups of settings: fedprime run --help GROUP explains one, fedprime run --help-all all of them.
"""
_END = """
With a recipe before --help, values are the recipe's. A method's own settings:
fedprime run --method.name pfpt --help method

Exit code: 0 when the run is finished, 2 when something is wrong, 130 when stopped by Ctrl-C."""

#: What the short help shows, in a few words each.
OFTEN_CHANGED = {
    "method.name": "the federated method",
    "data.name": "the data set",
    "data.path": "where it is",
    "data.classes": "names of all classes, where a site or a split may lack some",
    "backbone": "the frozen model",
    "partition.num_clients": "clients",
    "missing.rate": "share of the samples that lack something",
    "training.rounds": "rounds",
    "training.fraction": "share of the clients in each round",
    "training.lr": "learning rate in the first round",
    "seed": "seed of everything random",
}
_GENERAL = "general"
_WIDTH, _INDENT = 118, " " * 6


def show_help(words: Sequence[str]) -> None:
    """Prints the help that is asked for.

    Args:
        words: What stands after ``fedprime run``: ``--help``, ``--help GROUP`` or ``--help-all``, with or without a
            recipe and flags, whose values are then shown.

    Raises:
        SettingsError: If there is no such recipe or group.
    """
    flag = next(word for word in words if word in ("-h", "--help", "--help-all"))
    place = list(words).index(flag)
    group = "".join(words[place + 1 : place + 2])
    if group.startswith("-") or flag == "--help-all":
        group = ""
    rest = [*words[:place], *words[place + 1 + bool(group) :]]
    recipe = words[0] if words[0] != flag and not words[0].startswith("-") else None
    values = dotted_values(read_toml(find_recipe(recipe))) if recipe else {}
    if flag != "--help-all" and not group:
        _show_short(values)
        return
    groups = [_GENERAL, *describe_groups()]
    if group and group not in groups:
        raise SettingsError(f"{group!r} is no group of settings: {', '.join(groups)}{nearest_name(group, groups)}")
    method = last_value(rest, "method.name") or values.get("method.name", DEFAULT_METHOD)
    data_set = last_value(rest, "data.name") or values.get("data.name", "builtin")
    settings = _described(method, data_set) if group in ("", "method", "data") else describe_settings(())
    for name in [group] if group else groups:
        own = [setting for setting in settings if (setting.group.partition(".")[0] or _GENERAL) == name]
        print(f"{name}: {_summary(name, method)}\n")
        print("\n".join(_explained(setting, values.get(setting.name, setting.default)) for setting in own))


def _show_short(values: dict[str, Any]) -> None:
    defaults = {setting.name: setting.default for setting in describe_settings(())} | values
    print(_USAGE)
    for name, words in OFTEN_CHANGED.items():
        print(f"  --{name:24}{words} [{_in_words(defaults[name])}]")
    print(_GROUPS)
    for name in (_GENERAL, *describe_groups()):
        print(f"  {name:12}{_summary(name)}")
    print(_END)


def _described(method: str, data_set: str) -> tuple[Setting, ...]:
    with importing():  # of the method's class
        return describe_settings([method], data_set)


def _summary(group: str, method: str = "") -> str:
    if group == _GENERAL:
        return "What no group is for: the seed, the frozen model, where it runs."
    if group == "method":
        return f"The federated method, and its own settings{f'; here those of {method}' if method else ''}."
    return describe_groups()[group]


def _explained(setting: Setting, value: Any) -> str:
    shown = textwrap.wrap(
        f"--{setting.name}   {setting.expected} [{_in_words(value)}]",
        _WIDTH,
        initial_indent="  ",
        subsequent_indent=2 * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    meaning = textwrap.wrap(setting.description, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    return "\n".join([*shown, *meaning, ""])


def _in_words(value: Any) -> str:
    if dataclasses.is_dataclass(value) or value == "" or value in ((), [], {}):
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
