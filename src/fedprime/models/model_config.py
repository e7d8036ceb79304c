"""What ``config.json`` of a saved model may say: it may come from anybody, and is checked before it is used."""

from collections.abc import Mapping
from typing import Annotated, Any, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from torch import nn

from fedprime.reproducibility.errors import quoted

_Words = list[str]
_Numbers = dict[str, int | float | None]


def _different(names: list[str]) -> list[str]:
    if len(set(names)) != len(names):
        raise ValueError("a name stands there twice")
    return names


_Names = Annotated[_Words, Field(min_length=1), AfterValidator(_different)]


class _Part(BaseModel):
    """A table of which more may be said than is known here."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Backbone(_Part):
    reference: str
    modalities: _Names
    fingerprint: str
    options: dict[str, Any] = {}


class _Prompter(_Part):
    kind: str
    options: dict[str, Any]


class _Training(_Part):
    method: str = ""
    rounds: int = 0
    num_clients: int = 0
    num_samples: int = 0
    sent_up: dict[str, Any] = {}
    sent_bytes: int | float = 0
    missing: dict[str, float] = {}
    chosen: dict[str, Any] = {}
    scores: dict[str, _Numbers] = {}
    privacy: _Numbers | None = None


class _About(_Part):
    columns: _Words = []
    labels: _Words = []
    kinds: dict[str, str] = {}
    forms: dict[str, Any] = {}
    styles: dict[str, Any] = {}
    typical: dict[str, dict[str, float]] = {}
    training: _Training = _Training()


class _Config(_Part):
    label_names: _Names
    backbone: _Backbone
    prompter: _Prompter
    about: _About = _About()


def config_problem(config: Mapping[str, Any]) -> str:
    """Says what is wrong with what a saved model says of itself; nothing if it can be read.

    >>> config_problem({"label_names": ["cat", "cat"], "backbone": {}, "prompter": {"kind": "none", "options": {}}})
    'label_names: Value error, a name stands there twice; backbone.reference: Field required'
    """
    try:
        _Config.model_validate(dict(config))
    except ValidationError as error:
        return _told(error)
    return ""


def checked_options(kind: type[nn.Module], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns what something is made with, if each option has the type that it says.

    Raises:
        TypeError: If one has not; what is unknown is left to the call.
    """
    try:
        hints = get_type_hints(kind.__init__)
    except NameError:  # a package may name types that are there for type checkers alone
        return options
    for name in options.keys() & hints.keys():
        try:
            TypeAdapter(hints[name], config=ConfigDict(arbitrary_types_allowed=True)).validate_python(
                options[name], strict=True
            )
        except ValidationError as error:
            raise TypeError(f"{name}: {_told(error)}") from error
    return options


def _told(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)[:2]
    words = [": ".join(filter(None, [".".join(map(str, entry["loc"])), entry["msg"]])) for entry in found]
    return quoted("; ".join(words))
