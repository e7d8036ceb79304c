"""Models that travel with the frozen backbone that they were trained around."""

import copy
import json
import shutil
from pathlib import Path

import pytest
from transformers import ViTConfig, ViTModel

from command_line import exit_code
from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone, BackboneError
from fedprime.models.model_folder import ModelError
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import NoPrompts
from fedprime.models.saved_backbone import copy_backbone

LABELS = ("soup", "cake")
ROW = ("--values", 'facts={"price": 2.5}')


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder of a small composite, which is drawn from a seed."""
    parts = {"facts": {"encoder": "hashed_table"}}
    (tmp_path / "composite").mkdir()
    content = json.dumps({"modalities": parts, "dim": 24, "num_layers": 1, "num_heads": 3})
    (tmp_path / "composite" / "composite.json").write_text(content)
    return tmp_path / "composite"


@pytest.fixture
def composite(place: Path) -> Backbone:
    return load_backbone(str(place))


def model_around(backbone: Backbone) -> PromptedModel:
    return PromptedModel(backbone, NoPrompts(backbone.dim), LABELS)


def test_a_folder_with_the_backbone_in_it_goes_anywhere_and_is_saved_again(
    composite: Backbone, place: Path, tmp_path: Path
):
    model_around(composite).save_pretrained(tmp_path / "model", standalone=True)
    shutil.rmtree(place)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "model").rename(tmp_path / "elsewhere" / "m")
    for _ in range(2):  # the copy stays where a model is saved over itself
        model = PromptedModel.from_pretrained(tmp_path / "elsewhere" / "m")
        assert model.backbone.fingerprint == composite.fingerprint
        model.save_pretrained(tmp_path / "elsewhere" / "m")
    config = json.loads((tmp_path / "elsewhere" / "m" / "config.json").read_text())
    assert config["backbone"]["reference"] == "./backbone"
    assert str(tmp_path) not in (tmp_path / "elsewhere" / "m" / "config.json").read_text()


def test_a_folder_of_a_checkpoint_is_copied_with_its_licence(tiny: Backbone, tmp_path: Path):
    source = Path(__file__).parents[2] / "src" / "fedprime" / "backbones" / "tiny"
    shutil.copytree(source, tmp_path / "vilt")
    (tmp_path / "vilt" / "LICENSE").write_text("free")
    model_around(load_backbone(str(tmp_path / "vilt"))).save_pretrained(tmp_path / "model", standalone=True)
    shutil.rmtree(tmp_path / "vilt")
    assert PromptedModel.from_pretrained(tmp_path / "model").backbone.fingerprint == tiny.fingerprint
    assert (tmp_path / "model" / "backbone" / "LICENSE").read_text() == "free"


def test_a_composite_is_copied_with_the_licences_of_its_parts(tmp_path: Path):
    (tmp_path / "composite" / "eye").mkdir(parents=True)
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 24}
    ViTModel(ViTConfig(**sizes, image_size=32, patch_size=16)).save_pretrained(tmp_path / "composite" / "eye")
    images = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
    (tmp_path / "composite" / "eye" / "preprocessor_config.json").write_text(json.dumps(images))
    parts = {"image": {"encoder": "image_model", "reference": "eye"}}
    content = json.dumps({"modalities": parts, "dim": 24, "num_layers": 1, "num_heads": 3})
    (tmp_path / "composite" / "composite.json").write_text(content)
    (tmp_path / "composite" / "LICENSE").write_text("free")
    (tmp_path / "composite" / "eye" / "NOTICE.txt").write_text("somebody")
    model = model_around(load_backbone(str(tmp_path / "composite")))
    for _ in range(2):  # a copy is copied again
        model.save_pretrained(tmp_path / "model", standalone=True)
        assert (tmp_path / "model" / "backbone" / "LICENSE").read_text() == "free"
        assert (tmp_path / "model" / "backbone" / "image" / "NOTICE.txt").read_text() == "somebody"
        model = PromptedModel.from_pretrained(tmp_path / "model")


def test_one_that_comes_along_is_not_copied(tiny: Backbone, tmp_path: Path):
    model_around(tiny).save_pretrained(tmp_path / "model", standalone=True)
    assert not (tmp_path / "model" / "backbone").exists()


def test_one_that_is_not_here_cannot_be_copied(tiny: Backbone, tmp_path: Path):
    other = copy.copy(tiny)
    other.reference = "somebody/of-the-hub"
    with pytest.raises(BackboneError, match=r"'somebody/of-the-hub' is no folder .* save the model without it"):
        copy_backbone(other, tmp_path)


def test_whoever_may_read_the_folder_may_read_the_model(composite: Backbone, tmp_path: Path):
    model_around(composite).save_pretrained(tmp_path / "model", standalone=True)
    expected = (tmp_path / "model").stat().st_mode & 0o666
    files = [file for file in (tmp_path / "model").rglob("*") if file.is_file()]
    assert len(files) == 5
    assert {file.stat().st_mode & 0o777 for file in files} == {expected}


def test_a_backbone_that_was_moved_is_named(
    composite: Backbone, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model_around(composite).save_pretrained(tmp_path / "model")
    place.rename(tmp_path / "moved")
    assert PromptedModel.from_pretrained(tmp_path / "model", tmp_path / "moved").backbone.modalities == ("facts",)
    assert exit_code("predict", tmp_path / "model", *ROW) == 2
    assert exit_code("predict", tmp_path / "model", *ROW, "--backbone", tmp_path / "moved") == 0
    assert "facts" in capsys.readouterr().out


def test_a_model_and_its_backbone_are_moved_together_or_the_model_alone(
    composite: Backbone, place: Path, tmp_path: Path
):
    model_around(composite).save_pretrained(tmp_path / "models" / "m")
    saved = json.loads((tmp_path / "models" / "m" / "config.json").read_text())["backbone"]
    assert saved["reference"] == "../../composite"
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "models" / "m").rename(tmp_path / "far" / "away" / "m")
    assert PromptedModel.from_pretrained(tmp_path / "far" / "away" / "m").backbone.modalities == ("facts",)
    place.rename(tmp_path / "far" / "composite")
    assert PromptedModel.from_pretrained(tmp_path / "far" / "away" / "m").backbone.modalities == ("facts",)
    shutil.rmtree(tmp_path / "far" / "composite")
    with pytest.raises(BackboneError, match="composite"):
        PromptedModel.from_pretrained(tmp_path / "far" / "away" / "m")


def test_the_folder_of_a_run_stands_for_its_shared_model(finished_run: Path, tmp_path: Path):
    weights = PromptedModel.from_pretrained(finished_run / "model").weights()
    assert PromptedModel.from_pretrained(finished_run).weights().keys() == weights.keys()
    (tmp_path / "settings.toml").touch()
    with pytest.raises(ModelError, match="has no shared model: it is not finished, or clients share none"):
        PromptedModel.from_pretrained(tmp_path)


def test_a_model_that_was_loaded_from_a_folder_that_is_gone_still_knows_where_its_backbone_is(
    composite: Backbone, tmp_path: Path
):
    model_around(composite).save_pretrained(tmp_path / "temporary" / "model")
    model = PromptedModel.from_pretrained(tmp_path / "temporary" / "model")
    shutil.rmtree(tmp_path / "temporary")
    model.save_pretrained(tmp_path / "kept")
    assert PromptedModel.from_pretrained(tmp_path / "kept").backbone.fingerprint == composite.fingerprint
