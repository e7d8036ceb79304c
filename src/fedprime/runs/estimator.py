"""The conventions of scikit-learn for what is set, without importing it: that would bring pandas along."""

import inspect
import logging
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from fedprime.data.sets.table.frames import frame_columns
from fedprime.data.sets.table.options import stated_columns
from fedprime.data.sets.table.row_numbers import are_row_numbers
from fedprime.data.sets.table.table import Table
from fedprime.data.sources import DataError
from fedprime.models.evaluation import Predictions, Scores, score
from fedprime.models.model_folder import ModelError
from fedprime.reproducibility.errors import FedprimeError, counted
from fedprime.settings.describe import describe_settings
from fedprime.settings.problems import SettingsError

_logger = logging.getLogger(__name__)

#: By setting, the argument of a constructor that sets it.
_ARGUMENTS = {"data.label": "label", "data.client": "client", "data.columns": "columns", "backbone": "backbone"}
_ARGUMENTS |= {"method.name": "method", "training.rounds": "rounds", "output": "folder="}


class Estimator:
    """A classifier that keeps what its constructor is given under the same names; it is copied and shown by them.

    Attributes:
        columns_: Which columns are read as what, once it was fitted.
    """

    columns_: tuple[str, ...]

    @property
    def feature_names_in_(self) -> np.ndarray:
        """The columns that are read, once it was fitted."""
        return np.array([name for own in self.columns_ for name in stated_columns(own)[1]], dtype=object)

    @property
    def n_features_in_(self) -> int:
        """How many columns are read."""
        return len(self.feature_names_in_)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns what the constructor was given, by name.

        Args:
            deep: Means nothing here; scikit-learn gives it.
        """
        del deep
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **parameters: Any) -> "Estimator":
        """Sets what the constructor takes.

        Raises:
            ValueError: If it takes no such thing.
        """
        known = self.get_params()
        for name, value in parameters.items():
            if name not in known:
                raise ValueError(f"{type(self).__name__} has no {name!r}, but {', '.join(known)}")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """Tells scikit-learn that this is a classifier; only it asks, so it is imported then."""
        from sklearn.utils import ClassifierTags, Tags, TargetTags

        return Tags("classifier", TargetTags(required=False), classifier_tags=ClassifierTags())

    def __repr__(self) -> str:
        """Returns what was given that is not the default."""
        defaults = {name: own.default for name, own in inspect.signature(type(self)).parameters.items()}
        given = (f"{name}={own!r}" for name, own in self.get_params().items() if repr(own) != repr(defaults[name]))
        return f"{type(self).__name__}({', '.join(given)})"


@contextmanager
def arguments_named() -> Iterator[None]:
    """Lets errors name what is set in Python: an argument where a command line has a flag."""
    try:
        yield
    except FedprimeError as error:
        error.args = (in_arguments(str(error)),)
        raise


def in_arguments(message: str) -> str:
    """Returns what is said of settings with the arguments of a `FederatedPredictor` in their place.

    >>> in_arguments("no column x (data.label); name another, --data.label COLUMN")
    'no column x (label); name another, label="COLUMN"'
    >>> in_arguments("name all of them by --data.classes")
    'name all of them by --data.classes in settings'
    """
    names = (re.escape(own.name).replace("_", "[_-]") for own in describe_settings(()) if "." in own.name)
    known = "|".join([*sorted(names, reverse=True), r"method\.\w+", "(?<=--)(?:backbone|output)"])
    flag = re.compile(rf"(?<![\w./\"'-])(--)?({known})\b(?: ([A-Z]+|small)\b)?")

    def argument(found: re.Match[str]) -> str:
        is_flag, setting, value = found.groups()
        name = _ARGUMENTS.get(setting)
        if name is None:
            return f"--{setting}{f' {value}' if value else ''} in settings"
        return f'{name}="{value}"' if is_flag and value else f"{name}{f' {value}' if value else ''}"

    return flag.sub(argument, message)


def own_object(given: Any) -> Any:
    """Returns what was given in the place of a name; None for a name or a path."""
    return None if isinstance(given, str | Path) else given


def not_fitted() -> ModelError:
    """Returns the error of what needs `fit` first, which scikit-learn knows by a name of its own."""
    from sklearn.exceptions import NotFittedError

    kind = type("NotFittedError", (ModelError, NotFittedError), {})
    return kind("nothing was trained yet; call fit(frame) first, or load a predictor that was saved")


def tell_unread_numbers(table: Table, client: str) -> None:
    """Warns of columns of numbers that nothing is stated of, and that are no numbers of rows.

    Args:
        client: The column that says whose a row is.
    """
    used = {client, *table.label_columns, *(name for own in table.columns for name in own.columns)}
    numbers = [name for name, form in table.forms.items() if form == "number" and name not in used]
    unread = [name for name in numbers if not are_row_numbers(name, table.parts)]
    if unread:
        _logger.warning("numbers are read where stated: columns=('table=*', ...) reads %s", ", ".join(unread))


def listed(words: str | Sequence[str] | None) -> list[str]:
    """Returns words, of which one may be given by itself, and None for none; names of columns may be numbers.

    >>> listed("a"), listed(("a", 3)), listed(0), listed(None), listed("")
    (['a'], ['a', '3'], ['0'], [], [])
    """
    if isinstance(words, str) or not isinstance(words, Iterable):
        words = [] if words is None or words == "" else [words]
    return [str(word) for word in words if word != ""]


def flag_words(settings: str | Sequence[str]) -> list[str]:
    """Returns flags, which may be given as a shell takes them.

    Raises:
        SettingsError: If a quote is not closed, or the first is no flag.
    """
    try:
        words = shlex.split(settings) if isinstance(settings, str) else list(settings)
    except ValueError as error:
        problem = f"settings is {settings!r}: {error}; close each quote, or give a list with a text for each flag"
        raise SettingsError(problem) from error
    if words and not words[0].startswith("--"):
        raise SettingsError(f'settings begin with {words[0]!r}; expected flags, as "--training.lr 0.1"')
    return words


def flags_of(given: Mapping[str, Any], num_sites: int) -> list[str]:
    """Returns what a constructor was given as the flags of a command line; what is None or empty is not said.

    Args:
        num_sites: That a frame names; 0 where it names none.

    Raises:
        SettingsError: If its settings are no flags.
    """
    labels, client, columns = (listed(given[name]) for name in ("label", "client", "columns"))
    flags = [f"--seed={given['seed']}", f"--training.rounds={given['rounds']}"]
    flags += ["--data.label", *labels] if labels else []
    flags += ["--data.columns", *columns] if columns else []
    flags += [f"--data.client={name}" for name in client]
    flags += ["--partition.kind=site", f"--partition.num_clients={num_sites}"] if num_sites else []
    flags += [f"--method.name={given['method']}"] if isinstance(given["method"], str) else []
    flags += [f"--backbone={given['backbone']}"] if isinstance(given["backbone"], str | Path) else []
    return [*flags, *flag_words(given["settings"] or ())]


def with_labels(frame: object, y: object, label: str | Sequence[str]) -> object:
    """Returns a frame with labels that were given beside it, in the place of its own.

    Raises:
        DataError: If they are no single column.
    """
    if y is None:
        return frame
    names = listed(label)
    if len(names) > 1:
        raise DataError("y is one column, and label names several; leave y out")
    if len(shape := getattr(y, "shape", ())) == 2:
        if shape[1] != 1:
            raise DataError(f"y has {counted(shape[1], 'column')}; expected one, with a label for each row")
        y = np.asarray(y).ravel()  # as frame[["label"]]
    return frame_columns(frame) | frame_columns({"".join(names) or "label": y})


def scores_of(probabilities: Float[np.ndarray, "row label"], labels: Int[np.ndarray, "row ..."]) -> Scores:
    """Returns how good probabilities are, in the order of the model's labels, on rows whose labels are known."""
    right = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    wrong = np.log(np.maximum(1 - probabilities, np.finfo(np.float64).tiny))
    one_class = labels.ndim == 1
    losses = -right[np.arange(len(labels)), labels] if one_class else -np.where(labels > 0, right, wrong).mean(1)
    return score(Predictions(probabilities, labels, losses))


def label_cells(frame: object, names: Sequence[str]) -> dict[str, list[object]]:
    """Returns the columns of labels.

    Raises:
        DataError: If there is no such column, or nothing in it.
    """
    columns = frame_columns(frame)
    absent = next((name for name in names if name not in columns), None)
    if absent is not None:
        raise DataError(f"the frame has no column {absent!r} (the labels); it has {', '.join(columns) or 'none'}")
    if not columns[names[0]]:
        raise DataError("the frame has no rows; expected some to measure on")
    return {name: columns[name] for name in names}
