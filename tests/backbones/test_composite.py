"""Composites: the joint layers are those of the library, and a saved composite is the same wherever it lies."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ViltConfig
from transformers.models.vilt.modeling_vilt import ViltEncoder

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.blocks import block_widths
from fedprime.backbones.composite import CompositeBackbone
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import AllPrompts
from fedprime.reproducibility.seeding import stream, torch_stream

_rng = stream(0, "values")
SAMPLE: dict[str, object] = {
    "image": _rng.integers(0, 256, size=(40, 32, 3), dtype=np.uint8),
    "text": "pea soup",
    "audio": {"array": 0.1 * _rng.standard_normal(1200), "sampling_rate": 8000},
    "table": {"price": 12.0, "brand": "acme"},
}


def feature(backbone: CompositeBackbone, *names: str) -> torch.Tensor:
    embedded = {
        name: backbone.embed(name, [SAMPLE[name]]) if name in (names or backbone.modalities) else [None]
        for name in backbone.modalities
    }
    return backbone.encode(backbone.assemble(embedded))[0]


def tokens_of(backbone: CompositeBackbone, name: str) -> torch.Tensor:
    """Returns the assembled tokens of one modality of the sample, behind the summary token."""
    embedded = {other: backbone.embed(name, [SAMPLE[name]]) if other == name else [None] for other in SAMPLE}
    return backbone.assemble(embedded).values[0, 1:]


@pytest.fixture
def composite(checkpoints: Mapping[str, Path]) -> CompositeBackbone:
    return CompositeBackbone.from_pretrained(checkpoints["composite"])


def test_tokens_are_projected_from_their_encoder_and_told_apart_by_modality(composite: CompositeBackbone) -> None:
    for name, value in SAMPLE.items():
        with torch.no_grad():
            [encoded] = composite.encoders[name].encode([value])
        weights = composite.joint.state_dict()
        expected = encoded @ weights[f"projections.{name}.weight"].T + weights[f"types.{name}"]
        if name in ("image", "text", "audio"):  # hidden states of pretrained models come in any length
            mean, variance = encoded.mean(dim=1, keepdim=True), encoded.var(dim=1, keepdim=True, correction=0)
            expected = (encoded - mean) / (variance + 1e-5).sqrt() @ weights[f"projections.{name}.weight"].T
            expected = expected + weights[f"types.{name}"]
        assert torch.allclose(tokens_of(composite, name), expected, atol=1e-5)


def test_tokens_drawn_from_a_seed_are_about_one(composite: CompositeBackbone) -> None:
    for name in SAMPLE:
        assert 0.5 < tokens_of(composite, name).square().mean() < 2.5, name


def test_the_joint_layers_are_those_of_the_library(composite: CompositeBackbone) -> None:
    config = ViltConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96, layer_norm_eps=1e-6
    )
    with torch.random.fork_rng():
        encoder = ViltEncoder(config).eval()
    weights = composite.joint.state_dict()
    encoder.layer.load_state_dict(
        {name.removeprefix("layers."): value for name, value in weights.items() if name.startswith("layers.")}
    )
    tokens = composite.assemble({name: composite.embed(name, [value]) for name, value in SAMPLE.items()})
    with torch.no_grad():
        summary = encoder(tokens.values).last_hidden_state[:, 0]
    expected = torch.nn.functional.layer_norm(
        summary, (24,), weights["layernorm.weight"], weights["layernorm.bias"], eps=1e-6
    )
    assert (composite.encode(tokens) - expected).abs().max() < 1e-5


def test_every_set_of_modalities_has_a_feature(composite: CompositeBackbone) -> None:
    features = [
        feature(composite, *names) for names in (("image",), ("table", "audio"), ("text", "image", "table"), ())
    ]
    assert len({tuple(row.tolist()) for row in features}) == 4


def test_a_value_is_encoded_once_where_it_is_embedded_and_never_in_a_step(
    composite: CompositeBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = composite.assemble({name: composite.embed(name, [value]) for name, value in SAMPLE.items()})
    for encoder in composite.encoders.values():
        monkeypatch.setattr(encoder, "encode", None)
    assert composite.encode(tokens.prepend(torch.zeros(1, 2, 24))).isfinite().all()


# Some of the modalities


def test_only_the_encoders_that_are_needed_are_loaded(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoints["composite"], tmp_path / "copied"))
    content = json.loads((folder / "composite.json").read_text())
    content["modalities"]["image"]["reference"] = "no-such-model"
    (folder / "composite.json").write_text(json.dumps(content))
    assert list(CompositeBackbone.from_pretrained(folder, ("table", "text")).encoders) == ["text", "table"]
    with pytest.raises(BackboneError, match="'no-such-model'"):
        CompositeBackbone.from_pretrained(folder)


def test_what_a_modality_is_projected_by_does_not_depend_on_the_others(
    composite: CompositeBackbone, checkpoints: Mapping[str, Path]
) -> None:
    some = CompositeBackbone.from_pretrained(checkpoints["composite"], ("table", "text"))
    for name in ("table", "text"):
        assert torch.equal(some.embed(name, [SAMPLE[name]])[0], composite.embed(name, [SAMPLE[name]])[0])
    assert some.fingerprint != composite.fingerprint
    assert torch.allclose(feature(some), feature(composite, "table", "text"), atol=1e-6)


def test_a_modality_that_it_does_not_have_is_refused(checkpoints: Mapping[str, Path]) -> None:
    with pytest.raises(BackboneError, match="this composite reads image, text, audio, table; it cannot read smell"):
        load_backbone(checkpoints["composite"], ("image", "smell"))


# On disk


def test_another_seed_is_another_backbone(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoints["bare composite"], tmp_path / "copied"))
    content = json.loads((folder / "composite.json").read_text())
    (folder / "composite.json").write_text(json.dumps(content | {"seed": 1}))
    one, other = load_backbone(checkpoints["bare composite"]), load_backbone(folder)
    assert one.fingerprint != other.fingerprint


def test_nothing_is_drawn_from_the_global_generator(checkpoints: Mapping[str, Path]) -> None:
    before = torch.get_rng_state()
    load_backbone(checkpoints["bare composite"])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_saved_composite_needs_nothing_else_and_is_the_same(
    composite: CompositeBackbone, tmp_path: Path, checkpoints: Mapping[str, Path]
) -> None:
    composite.save_pretrained(tmp_path / "saved")
    moved = Path(shutil.move(tmp_path / "saved", tmp_path / "moved"))
    assert str(checkpoints["vit"]) not in (moved / "composite.json").read_text()
    again = CompositeBackbone.from_pretrained(moved)
    assert again.fingerprint == composite.fingerprint
    assert torch.equal(feature(again), feature(composite))


def test_some_modalities_are_saved_as_a_composite_of_those(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    some = CompositeBackbone.from_pretrained(checkpoints["composite"], ("table", "text"))
    some.save_pretrained(tmp_path / "saved")
    again = CompositeBackbone.from_pretrained(tmp_path / "saved")
    assert again.modalities == ("table", "text")
    assert again.fingerprint == some.fingerprint


def test_weights_that_were_trained_elsewhere_are_read(composite: CompositeBackbone, tmp_path: Path) -> None:
    composite.save_pretrained(tmp_path / "saved")
    rng = torch_stream(0, "trained")
    weights = load_file(tmp_path / "saved" / "model.safetensors")
    trained = {name: value + 0.1 * torch.randn(value.shape, generator=rng) for name, value in weights.items()}
    save_file(trained, tmp_path / "saved" / "model.safetensors")
    again = CompositeBackbone.from_pretrained(tmp_path / "saved")
    assert again.fingerprint != composite.fingerprint
    assert all(torch.equal(value, trained[name]) for name, value in again.joint.state_dict().items())


def test_a_saved_model_finds_its_composite_again(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    backbone = load_backbone(checkpoints["composite"], ("audio", "table", "image"))
    PromptedModel(backbone, AllPrompts(24, 2), ("soup", "cake")).save_pretrained(tmp_path / "model")
    again = PromptedModel.from_pretrained(tmp_path / "model").backbone
    assert (again.modalities, again.fingerprint) == (backbone.modalities, backbone.fingerprint)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda weights: weights.pop("summary"), "the weight summary is missing"),
        (lambda weights: weights.update(summary=torch.zeros(7)), r"summary has shape \(7,\), expected \(24,\)"),
        (lambda weights: weights.clear(), "is missing"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    checkpoints: Mapping[str, Path], tmp_path: Path, damage: object, message: str
) -> None:
    backbone = load_backbone(checkpoints["bare composite"])
    assert isinstance(backbone, CompositeBackbone)
    backbone.save_pretrained(tmp_path / "saved")
    weights = load_file(tmp_path / "saved" / "model.safetensors")
    damage(weights)  # pyright: ignore[reportCallIssue]
    save_file(weights, tmp_path / "saved" / "model.safetensors")
    with pytest.raises(BackboneError, match=f"cannot load a backbone from .*{message}"):
        load_backbone(tmp_path / "saved")


def test_a_saved_composite_replaces_an_older_one_and_nothing_else(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    backbone = load_backbone(checkpoints["bare composite"])
    assert isinstance(backbone, CompositeBackbone)
    for _ in range(2):
        backbone.save_pretrained(tmp_path / "saved")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("precious")
    with pytest.raises(BackboneError, match="replacing it would delete"):
        backbone.save_pretrained(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "thesis.tex").read_text() == "precious"


def test_nothing_of_it_is_trained(composite: CompositeBackbone) -> None:
    assert not any(parameter.requires_grad for parameter in composite.joint.parameters())
    for name in ("image", "text", "audio"):
        model = composite.encoders[name].model  # pyright: ignore[reportAttributeAccessIssue]
        assert not any(parameter.requires_grad for parameter in model.parameters())


def test_shapes_are_blocks_of_their_own_that_the_joint_layers_do_not_read(tmp_path: Path) -> None:
    modalities = {name: {"encoder": kind} for name, kind in (("image", "pixel_patches"), ("audio", "log_mel"))}
    content = {"dim": 16, "num_layers": 1, "num_heads": 2, "pooled": True, "modalities": modalities}
    found: dict[bool, tuple[CompositeBackbone, torch.Tensor]] = {}
    for shapes in (False, True):
        (tmp_path / "composite.json").write_text(json.dumps(content | {"shapes": shapes}))
        backbone = CompositeBackbone.from_pretrained(tmp_path)
        found[shapes] = backbone, feature(backbone)
    (plain, without), (shaped, beside) = found[False], found[True]
    assert torch.equal(beside, without)
    assert shaped.fingerprint != plain.fingerprint
    assert block_widths(shaped) == {
        "image": 192,
        "image shapes": 640,
        "audio": 360,
        "audio shapes": 576,
        "audio frames": 256,
    }
    assert block_widths(plain) == {"image": 192, "audio": 360}
    shaped.save_pretrained(tmp_path / "copy")
    assert load_backbone(tmp_path / "copy").fingerprint == shaped.fingerprint
