"""The conventions of scikit-learn for what is set, without importing it: that would bring pandas along."""

import inspect
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedprime.data.sets.table.frames import frame_columns
from fedprime.data.sets.table.options import stated_columns
from fedprime.data.sources import DataError
from fedprime.models.prompted_model import ModelError
from fedprime.settings.problems import SettingsError


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
        given = (f"{name}={own!r}" for name, own in self.get_params().items() if own != defaults[name])
        return f"{type(self).__name__}({', '.join(given)})"


def not_fitted() -> ModelError:
    """Returns the error of what needs `fit` first, which scikit-learn knows by a name of its own."""
    from sklearn.exceptions import NotFittedError

    kind = type("NotFittedError", (ModelError, NotFittedError), {})
    return kind("nothing was trained yet; call fit(frame) first, or load a predictor that was saved")


def listed(words: str | Sequence[str]) -> list[str]:
    """Returns words, of which one may be given by itself."""
    return [words] if isinstance(words, str) else list(words)


def flag_words(settings: str | Sequence[str]) -> list[str]:
    """Returns flags, which may be given as a shell takes them.

    Raises:
        SettingsError: If a quote is not closed.
    """
    try:
        return shlex.split(settings) if isinstance(settings, str) else list(settings)
    except ValueError as error:
        problem = f"settings is {settings!r}: {error}; close each quote, or give a list with a text for each flag"
        raise SettingsError(problem) from error


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
    if len(shape := getattr(y, "shape", ())) == 2 and shape[1] == 1:
        y = np.asarray(y).ravel()  # as frame[["label"]]
    return frame_columns(frame) | frame_columns({"".join(names) or "label": y})


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
