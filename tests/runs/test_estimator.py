"""The conventions of scikit-learn, asked for by scikit-learn."""

import pytest
from sklearn.base import clone, is_classifier

from fedprime.runs.estimator import Estimator


class Fake(Estimator):
    """Keeps two things."""

    def __init__(self, label: str = "", seed: int = 0) -> None:
        self.label = label
        self.seed = seed


def test_scikit_learn_copies_it_and_knows_what_it_is():
    one = Fake("dish", 3)
    copy = clone(one)
    assert copy is not one
    assert copy.get_params() == one.get_params() == {"label": "dish", "seed": 3}
    assert is_classifier(one)


def test_it_shows_what_is_not_the_default():
    assert repr(Fake(seed=3)) == "Fake(seed=3)"


def test_what_it_keeps_is_set_by_name_and_nothing_else_is():
    assert repr(Fake().set_params(seed=4, label="dish")) == "Fake(label='dish', seed=4)"
    with pytest.raises(ValueError, match="Fake has no 'sed', but label, seed"):
        Fake().set_params(sed=1)
