"""The conventions of scikit-learn for what is set, without importing it: that would bring pandas along."""

import inspect
from typing import Any

import numpy as np

from fedprime.models.prompted_model import ModelError

__all__ = ["Estimator", "not_fitted"]


class Estimator:
    """A classifier that keeps what its constructor is given under the same names; it is copied and shown by them.

    Attributes:
        columns_: Which columns are read as what, once it was fitted.
    """

    columns_: tuple[str, ...]

    @property
    def feature_names_in_(self) -> np.ndarray:
        """The columns that are read, once it was fitted."""
        return np.array([name for own in self.columns_ for name in own.partition("=")[2].split("+")], dtype=object)

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
