"""What can be set of the samples: the data set, which of it is used, and what one of another package can be told."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from fedprime.data.sets.registered import find_data_set
from fedprime.data.sets.table.options import TableOptions
from fedprime.reproducibility.plugins import PluginError
from fedprime.reproducibility.ranges import Count, Share
from fedprime.settings.arguments import Argument, arguments_of, read_arguments

#: Of every class of settings.
CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)


def _known_data_set(name: str) -> str:
    try:
        find_data_set(name)
    except PluginError as error:
        raise ValueError(f"{error}") from error
    return name


def without_repetition(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns names that must not be repeated.

    Raises:
        ValueError: If one is there twice.
    """
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(f"{', '.join(twice)} stands there more than once; name each once")
    return names


def _word(name: str) -> str:
    if not name.isidentifier():
        raise ValueError(f"{name!r} cannot be the name of a modality; take a word, as image")
    return name


ModalityName = Annotated[str, AfterValidator(_word)]


def data_options(name: str) -> dict[str, Argument]:
    """Returns by name what can be said of a data set of another package, besides where it is.

    Raises:
        PluginError: If there is none of that name.
    """
    opener = find_data_set(name)
    return {} if opener is None else {key: value for key, value in arguments_of(opener).items() if key != "path"}


@dataclass(frozen=True, config=CONFIG)
class DataSettings(TableOptions):
    """The samples."""

    name: Annotated[str, AfterValidator(_known_data_set)] = "builtin"
    """Which data set: "builtin" is the generated world; UPMC Food-101 (food101), MM-IMDb (mmimdb) and Hateful Memes
    (hateful_memes) do not come along; a "table" is any folder with metadata.csv, .jsonl or .parquet, or a data set of
    the library datasets; installed packages may add others."""
    path: str = ""
    """Folder of the data set, or of a table also its file or its name on the hub; the built-in world needs none."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    """What a data set of another package can be told besides, by the names that it gives, as data.options.NAME."""
    modalities: Annotated[tuple[ModalityName, ...], AfterValidator(without_repetition)] = ()
    """Which of image, text, readings, or of a table's own, to use; none named means those that the backbone was trained
    for."""
    num_train: Count = 4000
    """Training samples, over all clients (built-in; other data has its own splits)."""
    num_validation: Count = 500
    """Samples that accuracy is measured on during the run (built-in)."""
    num_test: Count = 2000
    """Samples that the final table is measured on (built-in)."""
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training samples to set apart for validation, if the data has no validation split."""
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the samples to set apart for the test, if the data has neither a test nor a validation split (table)."""
    num_classes: Annotated[int, Field(ge=2, le=101)] = 8
    """Classes, 2 to 101: of food101 and mmimdb the most frequent ones, 8 as in the paper; hateful_memes has two."""
    num_sites: Count = 20
    """Natural groups of the built-in world."""
    concept_shift: Share = 0.0
    """How much sites disagree about what a dish is made of: 0 not at all, 1 means dishes of their own (built-in)."""
    world_seed: int = 0
    """Seed of the built-in world; the run's own seed does not change the samples."""

    @model_validator(mode="after")
    def _read_options(self) -> "DataSettings":
        options = read_arguments(self.options, data_options(self.name), "data.options", f"the data set {self.name}")
        object.__setattr__(self, "options", options)  # every one of them, converted
        return self
