"""Checkpoints of ViLT's authors, and more text positions than ViLT was trained with."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import ViltModel

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.vilt import ViltBackbone
from fedprime.backbones.vilt_checkpoint import read_original_checkpoint, stretch_text_positions
from fedprime.reproducibility.seeding import stream, torch_stream

DIM, LAYERS, HEADS, PATCH = 128, 2, 2, 8


def write_original_checkpoint(folder: Path, **more: object) -> tuple[Path, dict[str, Tensor]]:
    """Writes a small random ViLT as its authors' code saves it, beside the word list."""
    shapes: dict[str, tuple[int, ...]] = {
        "text_embeddings.word_embeddings.weight": (36, DIM),
        "text_embeddings.position_embeddings.weight": (10, DIM),
        "text_embeddings.token_type_embeddings.weight": (2, DIM),
        "text_embeddings.LayerNorm.weight": (DIM,),
        "text_embeddings.LayerNorm.bias": (DIM,),
        "token_type_embeddings.weight": (2, DIM),
        "transformer.cls_token": (1, 1, DIM),
        "transformer.pos_embed": (1, 1 + 5 * 5, DIM),
        "transformer.patch_embed.proj.weight": (DIM, 3, PATCH, PATCH),
        "transformer.patch_embed.proj.bias": (DIM,),
        "transformer.norm.weight": (DIM,),
        "transformer.norm.bias": (DIM,),
        "pooler.dense.weight": (DIM, DIM),
        "pooler.dense.bias": (DIM,),
        "mlm_score.bias": (36,),
        "itm_score.fc.weight": (2, DIM),
    }
    for number in range(LAYERS):
        block = f"transformer.blocks.{number}."
        widths = {"attn.qkv": (3 * DIM, DIM), "attn.proj": (DIM, DIM), "mlp.fc1": (96, DIM), "mlp.fc2": (DIM, 96)}
        for name, shape in widths.items():
            shapes |= {f"{block}{name}.weight": shape, f"{block}{name}.bias": shape[:1]}
        for name in ("norm1", "norm2"):
            shapes |= {f"{block}{name}.weight": (DIM,), f"{block}{name}.bias": (DIM,)}
    rng = torch_stream(0, "original checkpoint")
    weights = {name: 0.1 * torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    # Words so small that the epsilon of their layer norm matters.
    for name in ("word", "position", "token_type"):
        weights[f"text_embeddings.{name}_embeddings.weight"] *= 1e-2
    buffers = {"text_embeddings.position_ids": torch.arange(10)[None]}
    path = folder / "vilt.ckpt"
    torch.save({"epoch": 3, "hyper_parameters": {"lr": 1e-4}, "state_dict": weights | buffers, **more}, path)
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", "soup", "with", "##s", "pea")
    (folder / "vocab.txt").write_text("\n".join((*words, ".")) + "\n")
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true, "tokenizer_class": "BertTokenizer"}')
    return path, weights


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Tensor]]:
    return write_original_checkpoint(tmp_path_factory.mktemp("original"))


def authors_features(
    weights: dict[str, Tensor], word_ids: Int[Tensor, "1 word"], pixels: Float[Tensor, "1 3 height width"]
) -> Float[Tensor, " dim"]:
    """Returns what the code of ViLT's authors computes at the summary token, for an image of the trained size."""
    norm = nn.functional.layer_norm

    def linear(values: Tensor, name: str) -> Tensor:
        return nn.functional.linear(values, weights[f"{name}.weight"], weights[f"{name}.bias"])

    words = (
        weights["text_embeddings.word_embeddings.weight"][word_ids]
        + weights["text_embeddings.position_embeddings.weight"][None, : word_ids.shape[1]]
        + weights["text_embeddings.token_type_embeddings.weight"][0]
    )
    scale, shift = weights["text_embeddings.LayerNorm.weight"], weights["text_embeddings.LayerNorm.bias"]
    words = norm(words, (DIM,), scale, shift, 1e-12) + weights["token_type_embeddings.weight"][0]
    projection = (weights["transformer.patch_embed.proj.weight"], weights["transformer.patch_embed.proj.bias"])
    patches = nn.functional.conv2d(pixels, *projection, stride=PATCH).flatten(2).transpose(1, 2)
    patches = torch.cat([weights["transformer.cls_token"], patches], dim=1) + weights["transformer.pos_embed"]
    rows = torch.cat([words, patches + weights["token_type_embeddings.weight"][1]], dim=1)
    for number in range(LAYERS):
        block = f"transformer.blocks.{number}."
        normed = norm(rows, (DIM,), weights[f"{block}norm1.weight"], weights[f"{block}norm1.bias"], 1e-6)
        heads = linear(normed, f"{block}attn.qkv").reshape(1, -1, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        attention = (heads[0] @ heads[1].transpose(-2, -1) * (DIM // HEADS) ** -0.5).softmax(dim=-1)
        rows = rows + linear((attention @ heads[2]).transpose(1, 2).reshape(1, -1, DIM), f"{block}attn.proj")
        normed = norm(rows, (DIM,), weights[f"{block}norm2.weight"], weights[f"{block}norm2.bias"], 1e-6)
        rows = rows + linear(nn.functional.gelu(linear(normed, f"{block}mlp.fc1")), f"{block}mlp.fc2")
    return norm(rows, (DIM,), weights["transformer.norm.weight"], weights["transformer.norm.bias"], 1e-6)[0, 0]


def test_features_are_those_of_the_authors_code(original: tuple[Path, dict[str, Tensor]]) -> None:
    path, weights = original
    backbone = load_backbone(path)
    assert isinstance(backbone, ViltBackbone)
    word_ids = torch.tensor(backbone.tokenize(["pea soup with a e"]))
    pixels = torch.randn(1, 3, 40, 40, generator=torch_stream(0, "pixels"))
    with torch.no_grad():
        words, patches = backbone.embed_words(word_ids)[0, 1:], backbone.embed_patches(pixels)[0]
        found = backbone.encode(backbone.assemble({"image": [patches], "text": [words]}))[0]
    assert (found - authors_features(weights, word_ids, pixels)).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [
        # The short side becomes 384, the long one at most 1333/800 as much; then both are cut to multiples of 32.
        (384, 384, 384, 384),
        (480, 640, 384, 512),
        (640, 480, 512, 384),
        (100, 160, 384, 608),
        (500, 1500, 192, 608),
        (90, 90, 384, 384),
    ],
)
def test_images_are_prepared_as_the_authors_did(
    original: tuple[Path, dict[str, Tensor]], height: int, width: int, rows: int, columns: int
) -> None:
    backbone = load_backbone(original[0])
    [embedded] = backbone.embed("image", [np.zeros((height, width, 3), dtype=np.uint8)])
    assert len(embedded) == 1 + (rows // PATCH) * (columns // PATCH)


def test_black_is_minus_one_and_white_is_one(original: tuple[Path, dict[str, Tensor]]) -> None:
    processor = load_backbone(original[0])._image_processor  # pyright: ignore[reportAttributeAccessIssue]
    image = np.zeros((384, 384, 3), dtype=np.uint8)
    image[:, 192:] = 255
    pixels = np.asarray(processor([image], do_pad=False, input_data_format="channels_last")["pixel_values"][0])
    assert pixels.shape == (3, 384, 384)
    assert (pixels[:, :, :192] == -1).all()
    assert (pixels[:, :, 192:] == 1).all()


def test_the_state_of_the_training_loop_does_no_harm(
    original: tuple[Path, dict[str, Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "pytorch_lightning.callbacks.model_checkpoint"
    callback = type("ModelCheckpoint", (), {"__module__": name, "__qualname__": "ModelCheckpoint"})
    module = types.ModuleType(name)
    module.ModelCheckpoint = callback  # pyright: ignore[reportAttributeAccessIssue]
    for parent in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
    monkeypatch.setitem(sys.modules, name, module)
    path, _ = write_original_checkpoint(tmp_path, callbacks={callback: {"best_model_score": torch.tensor(1.0)}})
    monkeypatch.undo()
    assert load_backbone(path).fingerprint == load_backbone(original[0]).fingerprint


class Touch:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_nothing_of_a_checkpoint_is_run(tmp_path: Path) -> None:
    path, _ = write_original_checkpoint(tmp_path, callbacks=[Touch(tmp_path / "ran")])
    with pytest.raises(BackboneError, match="cannot load a backbone from") as caught:
        load_backbone(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {}}, "no weights of a ViLT: embeddings.text_embeddings.word_embeddings.weight is not there"),
        ({"state_dict": {"layer.weight": torch.zeros(2, 2)}}, "no weights of a ViLT"),
        ([1, 2], "no weights of a ViLT"),
    ],
)
def test_a_file_with_other_weights_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(BackboneError, match=message):
        load_backbone(tmp_path / "other.ckpt")


def test_a_checkpoint_that_lacks_a_weight_is_refused(tmp_path: Path) -> None:
    path, weights = write_original_checkpoint(tmp_path)
    del weights["transformer.blocks.1.attn.proj.bias"]
    torch.save({"state_dict": weights}, path)
    with pytest.raises(BackboneError, match=r"1 weights are missing, .* encoder.layer.1.attention.output.dense.bias"):
        load_backbone(path)


@pytest.mark.parametrize("content", [b"", b"soup" * 100])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "soup.ckpt").write_bytes(content)
    with pytest.raises(BackboneError, match=r"cannot load a backbone from .*soup\.ckpt"):
        load_backbone(tmp_path / "soup.ckpt")


def test_reading_a_checkpoint_draws_nothing_from_the_global_generator(
    original: tuple[Path, dict[str, Tensor]],
) -> None:
    before = torch.get_rng_state()
    read_original_checkpoint(original[0])
    assert torch.equal(torch.get_rng_state(), before)


# More text positions


@pytest.fixture
def model(hub_checkpoint: Path) -> ViltModel:
    backbone = load_backbone(hub_checkpoint)
    assert isinstance(backbone, ViltBackbone)
    return backbone.model


def test_positions_between_those_that_are_there_are_interpolated(model: ViltModel) -> None:
    table = model.embeddings.text_embeddings.position_embeddings.weight.detach().clone()
    stretch_text_positions(model, 32)
    found = model.embeddings.text_embeddings.position_embeddings.weight
    # The centre of row i of n lies at (i + 1/2) / n; beyond the outer centres, the outer rows go on.
    centres = (np.arange(32) + 0.5) / 32 * 10 - 0.5
    expected = np.stack([np.interp(centres, np.arange(10), column) for column in table.numpy().T], axis=1)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    assert torch.equal(found[0], table[0])


def test_fewer_positions_are_the_first_ones(model: ViltModel) -> None:
    table = model.embeddings.text_embeddings.position_embeddings.weight.detach().clone()
    stretch_text_positions(model, 6)
    assert torch.equal(model.embeddings.text_embeddings.position_embeddings.weight, table[:6])


@pytest.mark.parametrize("num_tokens", [2, 7, 10, 32])
def test_a_text_is_read_as_far_as_asked_for(hub_checkpoint: Path, num_tokens: int) -> None:
    backbone = load_backbone(hub_checkpoint, max_text_tokens=num_tokens)
    # The first token is the summary token.
    assert len(backbone.embed("text", ["e " * 50])[0]) == num_tokens - 1


def test_a_stretched_model_computes_what_the_library_computes_with_it(hub_checkpoint: Path) -> None:
    backbone = load_backbone(hub_checkpoint, ("text",), max_text_tokens=32)
    assert isinstance(backbone, ViltBackbone)
    text = "pea soup with e e e e e e e e e e e e e soups."
    word_ids = torch.tensor(backbone.tokenize([text]))
    assert word_ids.shape[1] > 10
    masked = {"image_embeds": torch.zeros(1, 1, backbone.dim), "pixel_mask": torch.zeros(1, 1, dtype=torch.long)}
    with torch.no_grad():
        expected = backbone.model(input_ids=word_ids, **masked).last_hidden_state[:, 0]
    found = backbone.encode(backbone.assemble({"text": backbone.embed("text", [text])}))
    assert (found - expected).abs().max() < 1e-5


def test_a_model_with_other_positions_has_another_fingerprint(hub_checkpoint: Path) -> None:
    fingerprints = {load_backbone(hub_checkpoint, max_text_tokens=number).fingerprint for number in (0, 6, 9, 11, 32)}
    assert len(fingerprints) == 5


def test_as_many_positions_as_there_are_change_nothing(hub_checkpoint: Path) -> None:
    plain, asked = load_backbone(hub_checkpoint), load_backbone(hub_checkpoint, max_text_tokens=10)
    assert asked.fingerprint == plain.fingerprint
    assert (plain.options, asked.options) == ({}, {"max_text_tokens": 10})


def test_a_short_text_of_an_image_and_a_stretched_model_have_a_feature(hub_checkpoint: Path) -> None:
    backbone = load_backbone(hub_checkpoint, max_text_tokens=32)
    image = stream(0, "image").integers(0, 256, size=(30, 40, 3), dtype=np.uint8)
    embedded = {"image": backbone.embed("image", [image]), "text": backbone.embed("text", ["pea"])}
    assert backbone.encode(backbone.assemble(embedded)).isfinite().all()


@pytest.mark.parametrize("number", [-1, 1])
def test_a_text_of_no_tokens_is_refused(number: int) -> None:
    with pytest.raises(BackboneError, match=f"max_text_tokens is {number}; expected at least 2, or 0"):
        load_backbone(max_text_tokens=number)
