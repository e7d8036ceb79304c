"""How a model is saved, comes back, and is refused where it is not what was saved."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone, BackboneError
from fedprime.data.batches import Batch
from fedprime.data.sources import Task
from fedprime.models import saved_model
from fedprime.models.model_folder import ModelError
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import NoPrompts, PromptPools
from three_modalities import LABELS, PROMPTED, THREE, Averaging, model_of


@pytest.fixture
def saved(pooled: PromptedModel, tmp_path: Path) -> Path:
    pooled.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def write_half(*_: object) -> None:
    raise OSError("no space left on device")


@pytest.mark.parametrize("task", ["one_class", "several_labels"])
@pytest.mark.parametrize("kind", PROMPTED)
def test_a_model_comes_back_from_its_folder_as_it_was(
    three: Backbone, batch: Batch, tmp_path: Path, kind: str, task: Task
) -> None:
    model = model_of(three, kind, task)
    model.save_pretrained(tmp_path / "new" / "model")
    again = PromptedModel.from_pretrained(tmp_path / "new" / "model")
    assert again.label_names == LABELS
    assert again.task == task
    assert again.backbone.modalities == THREE
    assert again.backbone.reference == "tiny"
    assert {name: value.tolist() for name, value in again.weights().items()} == {
        name: value.tolist() for name, value in model.weights().items()
    }
    with torch.no_grad():
        assert torch.equal(again(batch).logits, model(batch).logits)


def test_a_pool_that_has_grown_comes_back_in_its_new_size(pooled: PromptedModel, tmp_path: Path) -> None:
    pool = torch.randn(11, 64)
    pooled.load_weights(pooled.weights() | {"prompter.pools.inter": pool})
    pooled.save_pretrained(tmp_path / "model")
    assert torch.equal(PromptedModel.from_pretrained(tmp_path / "model").weights()["prompter.pools.inter"], pool)


def test_a_backbone_that_is_loaded_already_is_used(saved: Path, three: Backbone) -> None:
    assert PromptedModel.from_pretrained(saved, three).backbone is three


def test_a_saved_model_says_what_it_is_and_holds_no_backbone(saved: Path, pooled: PromptedModel) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    config = json.loads((saved / "config.json").read_text())
    assert re.fullmatch(r"[0-9a-f]{64}", config.pop("sha256"))
    assert config == {
        "format": 1,
        "task": "one_class",
        "label_names": ["soup", "cake", "salad"],
        "backbone": {
            "reference": "tiny",
            "modalities": ["image", "text", "readings"],
            "fingerprint": pooled.backbone.fingerprint,
        },
        "prompter": {
            "kind": "pools",
            "options": {
                "pools": {"inter": 6, "intra": 4},
                "num_chosen": 2,
                "learns_maps": True,
                "standardised": False,
                "context_weight": 0.0,
            },
        },
        "head": "pooled",
        "about": {"kinds": {"image": "image", "text": "text", "readings": "numbers"}},
    }
    assert load_file(saved / "model.safetensors").keys() == pooled.weights().keys()


def test_a_model_remembers_how_its_backbone_was_loaded(tmp_path: Path) -> None:
    long = load_backbone(modalities=("text",), max_text_tokens=30)
    PromptedModel(long, NoPrompts(64), LABELS).save_pretrained(tmp_path / "model")
    again = PromptedModel.from_pretrained(tmp_path / "model").backbone
    assert again.options == {"max_text_tokens": 30}
    assert again.fingerprint == long.fingerprint != load_backbone().fingerprint
    assert len(again.embed("text", ["e " * 100])[0]) == 29


def test_a_model_whose_backbone_was_loaded_in_an_unknown_way_is_refused(saved: Path) -> None:
    edited(lambda config: config.update(backbone={**config["backbone"], "options": {"depth": 3}}))(saved)
    with pytest.raises(ModelError, match=r"is broken.*depth"):
        PromptedModel.from_pretrained(saved)


def test_label_names_of_any_script_come_back(three: Backbone, tmp_path: Path) -> None:
    names = ("jalapeño", "味噌汁", 'a "quoted" \\ name')
    PromptedModel(three, NoPrompts(64), names).save_pretrained(tmp_path / "model")
    assert PromptedModel.from_pretrained(tmp_path / "model").label_names == names


def test_a_saved_model_replaces_an_older_one(saved: Path, three: Backbone) -> None:
    model_of(three, "none").save_pretrained(saved)
    assert isinstance(PromptedModel.from_pretrained(saved).prompter, NoPrompts)
    assert list(saved.parent.iterdir()) == [saved]


def test_a_model_that_could_not_be_saved_leaves_the_older_one(
    saved: Path, three: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_model, "save_file", write_half)
    with pytest.raises(OSError, match="no space left"):
        model_of(three, "none").save_pretrained(saved)
    assert isinstance(PromptedModel.from_pretrained(saved).prompter, PromptPools)


@pytest.mark.parametrize("place", ["", "thesis.tex"], ids=["folder", "file"])
def test_a_file_and_a_folder_that_holds_anything_else_are_not_replaced(
    place: str, pooled: PromptedModel, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ModelError, match=r"thesis\.tex"):
        pooled.save_pretrained(tmp_path / place)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_an_empty_folder_can_be_saved_to(pooled: PromptedModel, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    pooled.save_pretrained(str(tmp_path / "model"))
    assert PromptedModel.from_pretrained(str(tmp_path / "model")).label_names == LABELS


def test_a_model_around_a_backbone_with_other_weights_is_refused(tmp_path: Path) -> None:
    PromptedModel(Averaging("one"), NoPrompts(2), LABELS).save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match="'averaging' with fingerprint one, found one with other; load the backbone"):
        PromptedModel.from_pretrained(tmp_path / "model", Averaging("other"))


def test_a_model_around_another_version_of_what_comes_along_says_what_to_do(saved: Path) -> None:
    edited(lambda config: config["backbone"].update(fingerprint="of before"))(saved)
    with pytest.raises(ModelError, match="versions of fedprime differ in 'tiny': use the one"):
        PromptedModel.from_pretrained(saved)


@pytest.mark.parametrize("modalities", [("image", "text"), ("text", "image", "readings")])
def test_a_model_around_a_backbone_of_other_modalities_is_refused(saved: Path, modalities: tuple[str, ...]) -> None:
    # All of them have the same fingerprint.
    with pytest.raises(ModelError, match=r"image, text, readings.*found one that reads " + ", ".join(modalities)):
        PromptedModel.from_pretrained(saved, load_backbone(modalities=modalities))


def edited(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        del config["sha256"]  # as an earlier version wrote it, so that the change itself is looked at
        change(config)
        (folder / "config.json").write_text(json.dumps(config))

    return edit


def cut(name: str) -> Callable[[Path], None]:
    def halve(folder: Path) -> None:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])

    return halve


BREAKAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "is not a saved model: there is no such folder"),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "config.json is not there"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is not there"),
    "half of the configuration": (cut("config.json"), "is broken"),
    "half of the weights": (cut("model.safetensors"), "is broken"),
    "empty configuration": (lambda folder: (folder / "config.json").write_bytes(b""), "is broken"),
    "empty weights": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "is broken"),
    "a configuration that is no text": (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe"), "is broken"),
    "a configuration that is no table": (
        lambda folder: (folder / "config.json").write_text("[1]"),
        "has format None; this fedprime reads format 1",
    ),
    "another format": (edited(lambda config: config.update(format=2)), "has format 2; this fedprime reads format 1"),
    "no format": (edited(lambda config: config.pop("format")), "has format None"),
    "no backbone": (edited(lambda config: config.pop("backbone")), "is broken.*backbone"),
    "no prompter": (edited(lambda config: config.pop("prompter")), "is broken.*prompter"),
    "no label names": (edited(lambda config: config.pop("label_names")), "is broken.*label_names"),
    "unknown prompts": (
        edited(lambda config: config.update(prompter={"kind": "wishes", "options": {}})),
        "is broken.*wishes",
    ),
    "prompts with unknown options": (
        edited(lambda config: config.update(prompter={"kind": "none", "options": {"depth": 3}})),
        "is broken.*depth",
    ),
    "unknown task": (edited(lambda config: config.update(task="haiku")), "is broken.*haiku"),
    "fewer labels than outputs": (
        edited(lambda config: config.update(label_names=["soup"])),
        r"head.bias has shape \(3,\), expected \(1,\)",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_model_is_refused(saved: Path, three: Backbone, breakage: str) -> None:
    damage, message = BREAKAGES[breakage]
    damage(saved)
    with pytest.raises(ModelError, match=message):
        PromptedModel.from_pretrained(saved, three)


def test_a_file_is_not_a_saved_model(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("not a folder")
    with pytest.raises(ModelError, match="is not a saved model"):
        PromptedModel.from_pretrained(tmp_path / "model")


def test_a_saved_model_whose_backbone_is_gone_says_so(saved: Path) -> None:
    edited(lambda config: config.update(backbone={**config["backbone"], "reference": "/no/such/folder"}))(saved)
    with pytest.raises(BackboneError, match="/no/such/folder"):
        PromptedModel.from_pretrained(saved)


def test_a_model_whose_prompts_enter_in_front_is_saved_as_ever(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    assert "prompt_layer" not in config
    assert "depth" not in config["prompter"]["options"]


def test_a_saved_layer_that_is_no_number_is_a_broken_model(saved: Path, three: Backbone) -> None:
    config = json.loads((saved / "config.json").read_text())
    del config["sha256"]
    (saved / "config.json").write_text(json.dumps(config | {"prompt_layer": "first"}))
    with pytest.raises(ModelError, match=r"is broken \(ValueError\(\"prompt_layer is 'first'\"\)\)"):
        PromptedModel.from_pretrained(saved, three)
