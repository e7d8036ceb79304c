"""The conventions of scikit-learn, asked for by scikit-learn."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier

from fedprime.data.sources import DataError
from fedprime.runs.estimator import (
    Estimator,
    arguments_named,
    flag_words,
    flags_of,
    in_arguments,
    label_cells,
    with_labels,
)
from fedprime.settings.problems import SettingsError


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
    assert repr(Fake(np.array(["red", "round"]))) == "Fake(label=array(['red', 'round'], dtype='<U5'))"  # type: ignore


def test_what_it_keeps_is_set_by_name_and_nothing_else_is():
    assert repr(Fake().set_params(seed=4, label="dish")) == "Fake(label='dish', seed=4)"
    with pytest.raises(ValueError, match="Fake has no 'sed', but label, seed"):
        Fake().set_params(sed=1)


def test_labels_beside_a_frame_are_a_column_of_it():
    frame = pd.DataFrame({"price": [1, 2], "label": ["a", "b"]})
    for y in (["b", "c"], pd.Series(["b", "c"]), pd.DataFrame({"any": ["b", "c"]})):
        assert with_labels(frame, y, "label") == {"price": [1, 2], "label": ["b", "c"]}
        assert with_labels(frame, y, "dish") == {"price": [1, 2], "label": ["a", "b"], "dish": ["b", "c"]}
    with pytest.raises(DataError, match="y is one column, and label names several"):
        with_labels(frame, ["b", "c"], ("red", "round"))
    with pytest.raises(DataError, match="y has 2 columns; expected one"):
        with_labels(frame, frame, "label")
    assert with_labels({"price": [1]}, ["b"], ["dish"]) == {"price": [1], "dish": ["b"]}


def test_flags_may_be_one_text():
    assert flag_words("--seed 3 --data.path 'my data'") == ["--seed", "3", "--data.path", "my data"]
    assert flag_words(("--privacy.on",)) == ["--privacy.on"]
    with pytest.raises(SettingsError, match="No closing quotation; close each quote"):
        flag_words("--data.path 'my data")
    with pytest.raises(SettingsError, match=r"settings begin with 'training.lr=3'; expected flags"):
        flag_words("training.lr=3")


@pytest.mark.parametrize(
    ("said", "in_python"),
    [
        ("data.columns states 'text=x'", "columns states 'text=x'"),
        ("a column (data.columns, text=x); did you mean y?", "a column (columns, text=x); did you mean y?"),
        ("training.rounds is '-1'", "rounds is '-1'"),
        ("name its path: --backbone PATH)", 'name its path: backbone="PATH")'),
        ("name another column, --data.label COLUMN", 'name another column, label="COLUMN"'),
        ("name another folder with --output", "name another folder with folder="),
        ("say so by --data.several-labels; or", "say so by --data.several-labels in settings; or"),
        ("name those in data.modalities", "name those in --data.modalities in settings"),
        ("method.prompts is 0", "--method.prompts in settings is 0"),
        ("no column 'data.label' in my/data.label", "no column 'data.label' in my/data.label"),
        ("the backbone tiny has no data", "the backbone tiny has no data"),
    ],
)
def test_errors_name_arguments_where_a_command_line_has_flags(said: str, in_python: str):
    assert in_arguments(said) == in_python
    with pytest.raises(SettingsError) as caught, arguments_named():
        raise SettingsError(said)
    assert str(caught.value) == in_python


def test_columns_may_be_called_by_numbers_and_none_is_not_said():
    given = {"seed": 0, "rounds": np.int64(3), "method": "pfpt", "backbone": object(), "settings": None}
    named = flags_of(given | {"label": 2, "client": 0, "columns": ("text=1",)}, num_sites=4)
    said = ["--data.label", "2", "--data.columns", "text=1", "--data.client=0", "--partition.kind=site"]
    assert named == ["--seed=0", "--training.rounds=3", *said, "--partition.num_clients=4", "--method.name=pfpt"]
    assert "--backbone=my/model" in flags_of(
        given | {"label": 2, "client": 0, "columns": (), "backbone": Path("my/model")}, 0
    )
    unnamed = flags_of(given | {"label": None, "client": None, "columns": None}, num_sites=0)
    assert unnamed == ["--seed=0", "--training.rounds=3", "--method.name=pfpt"]


def test_a_frame_that_cannot_be_measured_on_is_told():
    assert label_cells({"a": [1], "b": [2]}, ["b"]) == {"b": [2]}
    with pytest.raises(DataError, match=r"no column 'c' \(the labels\); it has a, b$"):
        label_cells({"a": [1], "b": [2]}, ["c"])
    with pytest.raises(DataError, match="has no rows"):
        label_cells({"a": []}, ["a"])
