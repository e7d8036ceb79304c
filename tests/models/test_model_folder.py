"""The folder of a saved model: what may lie there, what is said of it, and what is read of it again."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fedprime.backbones.backbone import Backbone
from fedprime.models.model_folder import ModelError, describe_training, find_model, read_config, refuse_others
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import NoPrompts

OF_TABLE = {"columns": ["image:image=photo"], "labels": ["dish"], "forms": {"photo": "image"}}


@pytest.fixture
def saved(tiny: Backbone, tmp_path: Path) -> Path:
    model = PromptedModel(tiny, NoPrompts(tiny.dim), ("soup", "cake"))
    model.about = OF_TABLE
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_model_remembers_columns_and_kinds(saved: Path, tmp_path: Path):
    known = OF_TABLE | {"kinds": {"image": "image", "text": "text"}}
    assert json.loads((saved / "config.json").read_text())["about"] == known
    PromptedModel.from_pretrained(saved).save_pretrained(tmp_path / "again")
    assert PromptedModel.from_pretrained(tmp_path / "again").about == known


def test_what_is_added_later_changes_no_value(saved: Path):
    before = load_file(saved / "model.safetensors")
    describe_training(saved, {"method": "pfpt", "rounds": 2})
    model = PromptedModel.from_pretrained(saved)  # which checks the digest
    assert model.about["training"] == {"method": "pfpt", "rounds": 2}
    assert model.about["columns"] == OF_TABLE["columns"]
    assert all(torch.equal(value, before[name]) for name, value in model.weights().items())


def test_a_model_of_an_earlier_version_says_nothing_and_loads(saved: Path):
    config = json.loads((saved / "config.json").read_text())
    del config["about"], config["sha256"]
    (saved / "config.json").write_text(json.dumps(config))
    (saved / "README.md").unlink()
    assert PromptedModel.from_pretrained(saved).about == {}


@pytest.mark.parametrize("about", [[], {"columns": "image"}, {"labels": [3]}, {"forms": []}])
def test_what_cannot_be_read_is_refused(about: object, saved: Path):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, "about": about}))
    with pytest.raises(ModelError, match=r"is broken \(ValueError\('about"):
        read_config(saved)


def test_a_run_stands_for_its_shared_model(tmp_path: Path):
    (tmp_path / "model").mkdir()
    assert find_model(tmp_path) == tmp_path
    (tmp_path / "settings.toml").touch()
    assert find_model(tmp_path) == tmp_path / "model"
    (tmp_path / "model").rmdir()
    (tmp_path / "clients").mkdir()
    with pytest.raises(ModelError, match=r"clients share none; .*/clients/0 is that of a client"):
        find_model(tmp_path)


def test_anything_else_in_a_folder_is_not_deleted(saved: Path):
    refuse_others(saved)
    (saved / "thesis.tex").touch()
    with pytest.raises(ModelError, match=r"would delete thesis\.tex"):
        refuse_others(saved)
