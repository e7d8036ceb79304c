"""The table ``method`` of the settings: the name of a method, the fields of its class, and quirks it may have.

A method's class follows its paper. What is not set is here the best that is known instead (docs/learning.md): the head
reads blocks, starts in closed form and is trained with priors; `paper` or a quirk of research code goes back to the
class.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from fedprime.methods import DEFAULT_METHOD, METHODS, find_method
from fedprime.methods.method import Method
from fedprime.methods.safeguards import reason_against_robustness
from fedprime.reproducibility.plugins import PluginError
from fedprime.reproduction.quirks import Quirk, possible_quirks, quirks_of, with_quirks
from fedprime.settings.arguments import Argument, arguments_of, read_arguments
from fedprime.settings.data_settings import without_repetition
from fedprime.settings.problems import SettingsError
from fedprime.settings.sections import PAPER_SETTING, QUIRKS_SETTING

#: What is better than a paper's own choice, in all that was tried (docs/results.md).
_BETTER: Mapping[str, Any] = {"readout": "blocks", "start": "closed-form", "prior_aware": True}
_PAPER = Argument(
    bool,
    False,
    "Whether what is not set is as in the method's paper: the head reads the summary feature alone, starts at random "
    "values and is trained without priors.",
)

_QUIRKS = Argument(
    Annotated[tuple[Quirk, ...], AfterValidator(without_repetition)],
    (),
    "Departures of the paper's research code to reproduce, to see what each is worth. shared_parameters: after the "
    "first round, clients train one after the other on one model. similarity_sign: chosen prompts are pushed away from "
    "their samples. batch_vote: the prompts that most samples of a batch would choose are given to all of them, at "
    "test too. unsynced_query: the query map starts at random and is never averaged. prompt_readout: the feature of a "
    "sample is the output at its first prompt. placeholder_input: what is missing is encoded as a white image, an "
    "empty text, readings of zero. With any, what is not set is as in the paper.",
)


def method_arguments(kind: type[Method]) -> Mapping[str, Argument]:
    """Returns by name what can be set of a method, beside its name.

    Args:
        kind: The class of the method, without quirks.
    """
    own = {name: _by_default(name, argument) for name, argument in arguments_of(kind).items()}
    quirks = {QUIRKS_SETTING: _QUIRKS} if kind in METHODS.values() else {}
    return {**own, PAPER_SETTING: _PAPER, **quirks}


def _by_default(name: str, argument: Argument) -> Argument:
    return dataclasses.replace(argument, default=_BETTER[name]) if name in _BETTER else argument


def method_table(method: Method) -> dict[str, Any]:
    """Returns a method's name and settings as a table; `read_method` makes the method from it again."""
    plain = with_quirks(method, ())
    table: dict[str, Any] = {"name": method.name}
    table |= {entry.name: getattr(method, entry.name) for entry in dataclasses.fields(method) if entry.init}
    of_class = arguments_of(type(plain))
    table[PAPER_SETTING] = all(name not in of_class or table[name] == of_class[name].default for name in _BETTER)
    return {**table, QUIRKS_SETTING: quirks_of(method)} if possible_quirks(plain) else table


def read_method(given: object) -> object:
    """Makes a method from the table ``method`` of the settings, or checks the values of one that is made already.

    Args:
        given: The table, or the method, which is left as it is; anything else is given back.

    Raises:
        SettingsError: If anything is wrong, with every problem.
    """
    if isinstance(given, Method):
        kind, table = type(with_quirks(given, ())), method_table(given)
    elif isinstance(given, Mapping):
        table = {"name": DEFAULT_METHOD, **given}
        try:
            kind = find_method(str(table["name"]))
        except PluginError as error:
            raise SettingsError(f"method.name: {error}") from error
    else:
        return given
    name, arguments = table.pop("name"), method_arguments(kind)
    values = read_arguments(table, arguments, "method", name, _who_has_them(table.keys() - arguments.keys()))
    quirks = values.pop(QUIRKS_SETTING, ())
    if values.pop(PAPER_SETTING) or (quirks and PAPER_SETTING not in table):
        values = {key: value for key, value in values.items() if key in table or key not in _BETTER}
    try:
        method = kind(**values)
    except ValueError as error:
        raise SettingsError(f"method: {error}") from error
    try:
        method = with_quirks(method, quirks)
    except ValueError as error:
        raise SettingsError(f"method: {QUIRKS_SETTING}: {error}") from error
    reason = reason_against_robustness(method)
    if reason:
        raise SettingsError(
            f"method: {name} cannot have aggregation {method.aggregation!r} with clip_norm {method.clip_norm:g}: "
            f'{reason}; set aggregation to "mean" and clip_norm to 0'
        )
    return given if given == method else method


def _who_has_them(names: set[str]) -> str:
    if not names:
        return ""
    having = [name for name, kind in METHODS.items() if not names.isdisjoint(method_arguments(kind))]
    return f" (it is one of {', '.join(having)})" if having else ""
