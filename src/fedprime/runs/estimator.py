"""The conventions of scikit-learn for what is set, without importing it: that would bring pandas along."""

import inspect
from typing import Any

__all__ = ["Estimator"]


class Estimator:
    """A classifier that keeps what its constructor is given under the same names; it is copied and shown by them."""

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
