"""Dual encoders: the same numbers as the library's own forward, with either tower alone or both."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, logging

from example_values import features_of
from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.dual_encoder import MODEL_TYPES, DualEncoderBackbone
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import AllPrompts
from fedprime.reproducibility.seeding import stream, torch_stream
from fedprime.reproduction.reading import ReferenceBackbone

TEXTS = ["so the soup", "", "pea", "the best beet with a lemon from the market"]
IMAGES: list[object] = [
    stream(0, "images", number).integers(0, 256, size=(height, width, 3), dtype=np.uint8)
    for number, (height, width) in enumerate(((32, 32), (50, 97), (130, 60), (33, 41)))
]


@pytest.fixture(params=MODEL_TYPES)
def folder(request: pytest.FixtureRequest, checkpoints: Mapping[str, Path]) -> Path:
    return checkpoints[request.param]


def library_features(
    folder: Path,
) -> tuple[Float[Tensor, "sample image_feature"], Float[Tensor, "sample text_feature"]]:
    """Returns what `transformers` computes by itself, each feature scaled to a mean square of 1."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    images = AutoImageProcessor.from_pretrained(folder, backend="pil")(IMAGES, return_tensors="pt")
    logging.set_verbosity(verbosity)
    if folder.name in ("clip", "metaclip_2"):
        words = tokenizer(TEXTS, padding=True, truncation=True, max_length=12, return_tensors="pt")
    else:
        words = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=12, return_tensors="pt")
        del words["attention_mask"]
    inputs = {
        name: images[name] for name in ("pixel_values", "pixel_attention_mask", "spatial_shapes") if name in images
    }
    text = {name: words[name] for name in ("input_ids", "attention_mask") if name in words}
    with torch.no_grad():
        features = model.get_image_features(**inputs).pooler_output, model.get_text_features(**text).pooler_output
    return tuple(nn.functional.normalize(feature, dim=1) * feature.shape[1] ** 0.5 for feature in features)  # pyright: ignore[reportReturnType]


def test_without_prompts_features_are_those_of_the_library_side_by_side(folder: Path) -> None:
    expected = torch.cat(library_features(folder), dim=1)
    assert (features_of(load_backbone(folder), image=IMAGES, text=TEXTS) - expected).abs().max() < 1e-5
    assert (expected[0] - expected[1]).abs().max() > 0.01


def test_a_missing_tower_has_a_feature_of_zero_and_the_other_is_as_ever(folder: Path) -> None:
    images, texts = library_features(folder)
    found = features_of(load_backbone(folder), image=[*IMAGES[:2], None, None], text=[None, *TEXTS[1:]])
    width = images.shape[1]
    assert (found[:2, :width] - images[:2]).abs().max() < 1e-5
    assert (found[1:, width:] - texts[1:]).abs().max() < 1e-5
    assert found[2:, :width].count_nonzero() == found[0, width:].count_nonzero() == 0


@pytest.mark.parametrize(("present", "skipped"), [("text", "vision_model"), ("image", "text_model")])
def test_the_tower_of_a_modality_that_the_batch_lacks_is_not_run(folder: Path, present: str, skipped: str) -> None:
    backbone = load_backbone(folder)
    assert isinstance(backbone, DualEncoderBackbone)

    def refuse(*_: object) -> None:
        raise AssertionError(f"{skipped} ran")

    for module in getattr(backbone.model, skipped).modules():
        module.register_forward_pre_hook(refuse)
    images, texts = (IMAGES, [None] * 4) if present == "image" else ([None] * 4, TEXTS)
    assert features_of(backbone, image=images, text=texts).isfinite().all()


def test_each_tower_sees_its_own_part_of_a_prompt(folder: Path) -> None:
    backbone = load_backbone(folder)
    embedded = {"image": backbone.embed("image", IMAGES[:1]), "text": backbone.embed("text", TEXTS[:1])}
    tokens = backbone.assemble(embedded)
    prompts = torch.randn(1, 2, backbone.dim, generator=torch_stream(0, "prompts"))
    other = prompts.clone()
    start, stop = tokens.columns[1]
    other[:, :, start:stop] *= -1
    difference = (backbone.encode(tokens.prepend(prompts)) - backbone.encode(tokens.prepend(other))).abs()[0]
    images, _ = library_features(folder)
    assert difference[: images.shape[1]].max() == 0
    assert difference[images.shape[1] :].max() > 1e-3


def test_the_order_of_modalities_is_that_of_columns_and_features(folder: Path) -> None:
    images, texts = library_features(folder)
    backbone = load_backbone(folder, ("text", "image"))
    assert (features_of(backbone, image=IMAGES, text=TEXTS) - torch.cat([texts, images], dim=1)).abs().max() < 1e-5


def test_pooler_and_head_are_as_wide_as_features_and_prompts_as_wide_as_tokens(folder: Path, tmp_path: Path) -> None:
    backbone = load_backbone(folder)
    images, texts = library_features(folder)
    model = PromptedModel(backbone, AllPrompts(backbone.dim, 3), ("soup", "cake"))
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    width = images.shape[1] + texts.shape[1]
    assert shapes["pooler.weight"] == (width, width)
    assert shapes["head.weight"] == (2, width)
    assert shapes["prompter.prompts"] == (3, 24 + 20)
    model.save_pretrained(tmp_path / "model")
    assert PromptedModel.from_pretrained(tmp_path / "model").backbone.fingerprint == backbone.fingerprint


def test_nothing_of_the_model_is_trained(folder: Path) -> None:
    backbone = load_backbone(folder)
    assert isinstance(backbone, DualEncoderBackbone)
    assert not any(parameter.requires_grad for parameter in backbone.model.parameters())
    assert not any(module.training for module in backbone.model.modules())


@pytest.mark.parametrize("modalities", [("image", "sound"), ("readings",)])
def test_modalities_that_it_cannot_read_are_refused(folder: Path, modalities: tuple[str, ...]) -> None:
    with pytest.raises(BackboneError, match=f"a dual encoder reads image, text; it cannot read {modalities[-1]}"):
        load_backbone(folder, modalities)


@pytest.mark.parametrize(
    ("modality", "value", "message"),
    [
        ("image", np.zeros((32, 32)), r"\(height, width, 3\) uint8 image was expected"),
        ("text", 7, "found int where a text was expected"),
    ],
)
def test_a_value_of_another_kind_is_refused(folder: Path, modality: str, value: object, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        load_backbone(folder).embed(modality, [value])


def test_longer_texts_than_it_was_trained_for_are_refused(folder: Path) -> None:
    with pytest.raises(BackboneError, match=r"max_text_tokens is 128; .* reads as much as it was trained for"):
        load_backbone(folder, max_text_tokens=128)


def test_the_output_at_a_prompt_is_refused_where_there_are_two(checkpoints: Mapping[str, Path]) -> None:
    backbone = ReferenceBackbone(load_backbone(checkpoints["clip"]), ["prompt_readout"])
    tokens = backbone.assemble({"image": backbone.embed("image", IMAGES[:1]), "text": [None]})
    with pytest.raises(BackboneError, match="prompt_readout needs a backbone with one transformer"):
        backbone.encode(tokens)


@pytest.mark.parametrize("lost", ["model.safetensors", "tokenizer.json", "preprocessor_config.json", "config.json"])
def test_a_checkpoint_of_which_a_file_is_lost_is_refused(folder: Path, tmp_path: Path, lost: str) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copied"))
    (copy / lost).unlink()
    with pytest.raises(BackboneError, match="cannot load a backbone from") as caught:
        load_backbone(copy)
    assert "\n" not in str(caught.value)


def test_a_siglip_without_a_pooling_head_is_refused(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(checkpoints["siglip"], tmp_path / "copied"))
    config = json.loads((copy / "config.json").read_text())
    config["vision_config"]["vision_use_head"] = False
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(BackboneError, match="no pooling head"):
        load_backbone(copy)


def test_two_checkpoints_that_differ_in_how_pixels_are_made_have_other_fingerprints(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(checkpoints["clip"], tmp_path / "copied"))
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").write_text(json.dumps(settings | {"image_mean": [0, 0, 0]}))
    assert load_backbone(copy).fingerprint != load_backbone(checkpoints["clip"]).fingerprint
