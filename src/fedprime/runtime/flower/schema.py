"""What a site may say: for each kind of message, which facts it has, of which type, and in which bounds.

Whatever does not fit is a `MessageError`, which leaves out the site that said it; there are no two ways to read a fact.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from fedprime.reproducibility.errors import quoted
from fedprime.runtime.flower.messages import MessageError

#: More samples no site has; more than that would not be exact in a sum of double precision either.
MOST_SAMPLES = 1_000_000_000
#: Larger losses are those of no model that is worth averaging; sums of them stay finite.
_LARGEST = 1e30
_SCORES = frozenset({"accuracy", "macro_f1", "micro_f1", "auroc", "loss"})

#: By what sites have to say alike, what to do where one does not.
_REMEDIES = {
    "task": "label its samples as the others do",
    "label_names": "its folder needs the classes of the others, spelled alike",
    "modalities": "give it the columns that the others have; if they are empty there, state them by data.columns",
    "kinds": "give it the columns that the others have, or state them by data.columns at the server",
    "backbone": "copy the files of the frozen model that the others have",
    "version": "install the same version of fedprime everywhere",
}

_Name = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
_Count = Annotated[int, Field(ge=1, le=MOST_SAMPLES)]
_Number = Annotated[int | float, Field(ge=-_LARGEST, le=_LARGEST, allow_inf_nan=False)]


def _different(names: list[str]) -> list[str]:
    if len(set(names)) != len(names):
        raise ValueError("the same name stands there twice")
    return names


def _scores_of_samples(scores: dict[str, int | float]) -> dict[str, int | float]:
    """Returns one table of scores, if it is one: accuracy, loss and a number of samples are there, and all in range."""
    missing = {"accuracy", "loss", "num_samples"} - scores.keys()
    if missing:
        raise ValueError(f"{', '.join(sorted(missing))} is missing")
    for name, value in scores.items():
        own = name.removeprefix("own_")
        if name == "num_samples":
            fits = type(value) is int and 1 <= value <= MOST_SAMPLES
        elif own in _SCORES or name == "majority_accuracy":
            fits = value >= -1e-9 and (own == "loss" or value <= 1 + 1e-9)
        else:
            raise ValueError("a score is unknown")
        if not fits:
            raise ValueError(f"{name} is out of range")
    return scores


class Answer(BaseModel):
    """What stands in every answer: to which task it is one."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    run: str = Field(max_length=64)
    round: int
    client: int


class Description(Answer):
    """What a site says about itself."""

    task: Literal["one_class", "several_labels"]
    label_names: Annotated[list[_Name], Field(min_length=1, max_length=100_000), AfterValidator(_different)]
    modalities: Annotated[list[_Name], Field(min_length=1, max_length=16), AfterValidator(_different)]
    kinds: str = Field(max_length=10_000)
    backbone: _Name
    version: _Name
    num_samples: _Count


class Trained(Answer):
    """What a site says beside the values that it trained."""

    num_samples: _Count
    metrics: Annotated[dict[_Name, _Number], Field(max_length=100)]


class Measured(Answer):
    """What a site measured: by name of the samples, its scores."""

    scores: Annotated[
        dict[_Name, Annotated[dict[_Name, _Number], Field(max_length=100), AfterValidator(_scores_of_samples)]],
        Field(max_length=1_000),
    ]


class NoisyMeasured(Answer):
    """What a site measured, under noise: by name of the samples, numbers that may be out of range."""

    scores: Annotated[
        dict[_Name, dict[Literal["accuracy", "loss"], _Number]],
        Field(max_length=1_000),
    ]


_Kind = TypeVar("_Kind", bound=Answer)


def read_as(kind: type[_Kind], facts: Mapping[str, Any]) -> _Kind:
    """Returns facts as what they should be.

    Raises:
        MessageError: If they are not; it says which facts are wrong, and what was expected.
    """
    try:
        return kind.model_validate(dict(facts))
    except ValidationError as error:
        found = [
            f"{quoted('.'.join(map(str, entry['loc'])), 80)}: {entry['msg']}"
            for entry in error.errors(include_url=False, include_input=False, include_context=False)[:3]
        ]
        more = f" and {error.error_count() - 3} more" if error.error_count() > 3 else ""
        raise MessageError(f"its facts are not what they should be: {quoted('; '.join(found))}{more}") from error


def disagreement(said: Mapping[str, Any], agreed: Mapping[str, Any]) -> str:
    """Says in what a site differs from what all must say alike, and how that is mended; nothing if it does not.

    Args:
        said: What it says about itself.
        agreed: What all must say.
    """
    for name, expected in agreed.items():
        if said.get(name) != expected:
            found, wanted = quoted(said.get(name), 200), quoted(expected, 200)
            return f"it has {name} {found}, expected {wanted}; {_REMEDIES[name]}"
    return ""
