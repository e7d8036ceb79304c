"""What a predictor says beside its model, and what is read of a model that says nothing."""

import json
from pathlib import Path

import numpy as np
import pytest

from fedprime.backbones.backbone import Backbone
from fedprime.models.model_folder import STATISTICS, ModelError
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import NoPrompts
from fedprime.models.statistics import read_statistics
from fedprime.runs.saved_predictor import PREDICTOR, predictor_text, read_known


@pytest.fixture
def model(tiny: Backbone) -> PromptedModel:
    """One that was trained on a table."""
    found = PromptedModel(tiny, NoPrompts(tiny.dim), ("red", "round"), "several_labels")
    forms = {"note": "text"}
    found.about = {"columns": ["text:text=note"], "labels": ["kinds"], "forms": forms, "training": {"scores": {}}}
    return found


def test_without_a_file_all_is_read_from_what_the_model_says_of_its_columns(model: PromptedModel, tmp_path: Path):
    assert read_known(tmp_path, model) == {
        "parameters": {"label": "kinds", "columns": ("text:text=note",)},
        "columns": ["text:text=note"],
        "label": ["kinds"],
        "several_labels": True,
        "forms": {"note": "text"},
        "classes": ["red", "round"],
        "results": {"scenarios": {}},
    }
    assert read_statistics(tmp_path) is None
    model.about["labels"] = ["red", "round"]  # a column of yes and no for each
    known = read_known(tmp_path, model)
    assert (known["parameters"]["label"], known["several_labels"]) == (("red", "round"), False)


def test_numbers_of_numpy_and_paths_are_written_as_json_has_them():
    given = {"rounds": np.int64(3), "backbone": Path("my/model"), "columns": ("text=a",), "method": "pfpt"}
    said = json.loads(predictor_text({"parameters": given}))["parameters"]
    assert said == {"rounds": 3, "backbone": "my/model", "columns": ["text=a"], "method": "pfpt"}


def test_what_the_file_says_goes_over_it(model: PromptedModel, tmp_path: Path):
    given = {"label": "kinds", "settings": ("--training.lr", "0.1"), "backbone": model.backbone}
    (tmp_path / PREDICTOR).write_text(predictor_text({"classes": [3, 7], "parameters": given}))
    assert "backbone" not in json.loads((tmp_path / PREDICTOR).read_text())["parameters"]  # an object is not written
    known = read_known(tmp_path, model)
    assert known["classes"] == [3, 7]
    assert known["parameters"] == {"label": "kinds", "settings": ("--training.lr", "0.1")}
    assert known["columns"] == ["text:text=note"]


@pytest.mark.parametrize("classes", [["red"], ["red", "round", "new"], "ab", None, {"red": 0, "round": 1}])
def test_classes_that_are_not_those_of_the_model_are_one_line(classes: object, model: PromptedModel, tmp_path: Path):
    (tmp_path / PREDICTOR).write_text(json.dumps({"classes": classes}))
    with pytest.raises(ModelError, match=r"predictor\.json is broken \(classes: expected names for 2 labels\)"):
        read_known(tmp_path, model)


@pytest.mark.parametrize("content", ["[]", "{", '{"parameters": 5}', '{"parameters": ["label"]}'])
def test_a_broken_file_is_one_line(content: str, model: PromptedModel, tmp_path: Path):
    (tmp_path / PREDICTOR).write_text(content)
    with pytest.raises(ModelError, match=r"predictor\.json is broken .*; save the predictor again"):
        read_known(tmp_path, model)


def test_broken_statistics_are_one_line(tmp_path: Path):
    (tmp_path / STATISTICS).write_bytes(b"broken")
    with pytest.raises(ModelError, match=r"statistics\.safetensors is broken .*; take another copy, or leave it out"):
        read_statistics(tmp_path)


def test_a_model_of_no_table_is_none(model: PromptedModel, tmp_path: Path):
    model.about = {}
    with pytest.raises(ModelError, match="names no columns of a table; predict by predict_samples"):
        read_known(tmp_path, model)
