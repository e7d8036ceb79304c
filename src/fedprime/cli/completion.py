"""The verb ``completion`` of the command line: scripts by which shells complete words, and the words they ask for."""

import re
import sys
import typing
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout, suppress
from io import StringIO

from fedprime.cli.main import VERBS, main
from fedprime.methods import DEFAULT_METHOD, METHODS, method_names, method_place
from fedprime.runs.trackers import TRACKERS
from fedprime.settings.describe import Setting, describe_settings
from fedprime.settings.flags import last_value
from fedprime.settings.problems import SettingsError
from fedprime.settings.recipe_tables import dotted_values, read_toml
from fedprime.settings.recipes import find_recipe, list_plans, list_recipes
from fedprime.settings.sections import PAPER_SETTING, QUIRKS_SETTING
from fedprime.settings.source_fields import fields_in_source, words_in_source

_USAGE = """\
usage: fedprime completion bash|zsh|fish

Prints a script that completes verbs, recipes, plans, settings and their values. To have it in every shell:

  bash   echo 'eval "$(fedprime completion bash)"' >> ~/.bashrc
  zsh    echo 'eval "$(fedprime completion zsh)"' >> ~/.zshrc      (after compinit)
  fish   fedprime completion fish > ~/.config/fish/completions/fedprime.fish"""

#: By shell, the script; where there is nothing of ours, files are completed.
SHELLS = {
    "bash": """\
_fedprime() {
    local word="${COMP_WORDS[COMP_CWORD]}"
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(fedprime completion words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "$word"))
}
complete -o default -F _fedprime fedprime
""",
    "zsh": """\
_fedprime() {
    local -a found
    found=(${(f)"$(fedprime completion words "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( $#found )); then compadd -a found; else _files; fi
}
compdef _fedprime fedprime
""",
    "fish": """\
function __fedprime_words
    fedprime completion words (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null
end
complete -c fedprime -a '(__fedprime_words)'
""",
}

_OWN_WORDS = {
    "data": ("check", "show"),
    "cache": ("show", "prune", "clear"),
    "deploy": ("keys", "kit", "server", "client"),
    "recipes": ("list", "show"),
    "completion": tuple(SHELLS),
}


def complete(words: list[str]) -> int:
    """Prints the script of a shell, or the words that it asks for, and returns the exit code."""
    if words[:1] == ["words"]:
        print("\n".join(completions(words[1:])))
        return 0
    if len(words) == 1 and words[0] in SHELLS:
        print(SHELLS[words[0]], end="")
        return 0
    is_help = words in (["-h"], ["--help"])
    print(_USAGE, file=sys.stdout if is_help else sys.stderr)
    return 0 if is_help else 2


def completions(words: Sequence[str]) -> list[str]:
    """Returns what the last word may become; nothing where it is a file or anything else.

    A method's own settings are read from the source of its class, which takes seconds to import.

    Args:
        words: What stands after ``fedprime``, the last of them unfinished or empty.
    """
    *before, word = words or [""]
    if not before:
        return _beginning_with(word, [*VERBS, "--help", "--version"])
    verb = before[0]
    if len(before) == 1 and not word.startswith("-"):
        named = {"run": list_recipes, "grid": list_plans, "tune": lambda: list_plans() | list_recipes()}
        names = named[verb]() if verb in named else _OWN_WORDS.get(verb, ())
        return _beginning_with(word, [name.removeprefix("plans/") for name in names])
    if before in (["recipes", "show"], ["deploy", "server"]):
        return _beginning_with(word, [*list_recipes(), *(list_plans() if verb == "recipes" else ())])
    flags = _settings(before) if _takes_settings(before) else {}
    if word.startswith("-"):
        return _beginning_with(word, dict.fromkeys((*_flags_in_help(before), *flags)))
    if before[-1] == "--recipe":
        return _beginning_with(word, list_recipes())
    last_flag = next((name for name in reversed(before) if name.startswith("-")), "")
    if (verb, last_flag) in (("run", "--track"), ("grid", "--track"), ("track", "--to")):  # any number of them
        return _beginning_with(word, TRACKERS)
    return _beginning_with(word, flags.get(before[-1], ()))


def _flags_in_help(before: Sequence[str]) -> list[str]:
    """Returns the flags that a verb's help speaks of."""
    named = before[: 2 if before[0] in _OWN_WORDS else 1]
    with redirect_stdout(StringIO()) as said, suppress(SystemExit):
        main([*named, "--help"])
    return re.findall(r"(?<![\w-])--[a-z][a-z-]*\b(?!\.)", said.getvalue())


def _takes_settings(before: Sequence[str]) -> bool:
    return before[0] in ("run", "grid", "tune") or list(before[:2]) == ["deploy", "server"]


def _settings(before: Sequence[str]) -> dict[str, Sequence[str]]:
    """Returns by flag of a setting the words that it may be, where only some are right."""
    flags: dict[str, Sequence[str]] = {f"--{entry.name}": _values(entry) for entry in describe_settings(())}
    for method in _methods(before):
        own = {f"--method.{name}": words for name, words in fields_in_source(method_place(method)).items()}
        own[f"--method.{PAPER_SETTING}"] = ("true", "false")
        flags |= {name: tuple(dict.fromkeys((*flags.get(name, ()), *words))) for name, words in own.items()}
        if method in METHODS:
            flags[f"--method.{QUIRKS_SETTING}"] = words_in_source("fedprime.reproduction.quirks:Quirk")
    return flags


def _methods(before: Sequence[str]) -> Sequence[str]:
    """Returns the method that a command line chooses; all where a plan may choose any."""
    if before[0] in ("grid", "tune"):
        return method_names()
    chosen = last_value(before, "method.name")
    if chosen is None:
        recipe = before[2 if before[0] == "deploy" else 1 :][:1]
        try:
            chosen = dotted_values(read_toml(find_recipe(*recipe))).get("method.name") if recipe else None
        except SettingsError:  # which is told when the command is carried out
            chosen = None
    return [name for name in (chosen or DEFAULT_METHOD,) if name in method_names()]


def _values(setting: Setting) -> Sequence[str]:
    if setting.is_switch:
        return ("true", "false")
    plain = setting.annotation
    if typing.get_origin(plain) is typing.Annotated:
        plain = typing.get_args(plain)[0]
    return [str(value) for value in typing.get_args(plain)] if typing.get_origin(plain) is typing.Literal else []


def _beginning_with(word: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(word)]
