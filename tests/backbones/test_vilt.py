"""ViLT: the same numbers as the library's own forward, from any checkpoint in its layout."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from transformers import AutoTokenizer, ViltImageProcessorPil, ViltModel, logging

import fedprime.backbones
from example_values import features_of
from fedprime.backbones import SHIPPED, TINY, load_backbone
from fedprime.backbones.backbone import Backbone, BackboneError
from fedprime.backbones.vilt import MODALITIES, ViltBackbone
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.reproducibility.seeding import stream, torch_stream

TINY_FOLDER = Path(fedprime.backbones.__file__).parent / TINY

Image = UInt8[np.ndarray, "height width 3"]


@pytest.fixture(params=["tiny", "hub"])
def folder(request: pytest.FixtureRequest, hub_checkpoint: Path) -> Path:
    return TINY_FOLDER if request.param == "tiny" else hub_checkpoint


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may change."""
    return Path(shutil.copytree(folder, tmp_path / "copied"))


@pytest.fixture
def images() -> list[Image]:
    rng = stream(0, "images")
    sizes = ((64, 64), (64, 64), (50, 97), (130, 60), (33, 41))
    return [rng.integers(0, 256, size=(height, width, 3), dtype=np.uint8) for height, width in sizes]


@pytest.fixture
def texts() -> list[str]:
    return ["fresh tomato soup", "", "Pea soups with a cat.", "the best beet with my grandma " * 5, "e"]


def library_features(folder: Path, texts: Sequence[str], images: Sequence[Image]) -> Float[np.ndarray, "sample dim"]:
    """Returns what `transformers` computes by itself for a padded batch, at the summary token."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    model = ViltModel.from_pretrained(folder).eval()
    logging.set_verbosity(verbosity)
    tokenizer, processor = AutoTokenizer.from_pretrained(folder), ViltImageProcessorPil.from_pretrained(folder)
    length = model.config.max_position_embeddings
    words = tokenizer(list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt")
    pixels = processor(list(images), return_tensors="pt")
    # The library shuffles patches by the global generator when images differ in size; the summary token does not care.
    with torch.no_grad(), torch.random.fork_rng():
        return model(**words, **pixels).last_hidden_state[:, 0].numpy()


def our_features(backbone: Backbone, texts: Sequence[object], images: Sequence[object]) -> np.ndarray:
    return features_of(backbone, text=texts, image=images).numpy()


def edit_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def edit_weights(folder: Path, edit: Callable[[dict[str, Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


# The library's own forward


def test_without_prompts_features_are_those_of_the_library(folder: Path, texts: list[str], images: list[Image]) -> None:
    found, expected = our_features(load_backbone(folder), texts, images), library_features(folder, texts, images)
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(expected[0] - expected[1]).max() > 0.01


@pytest.mark.parametrize("number", range(5))
def test_a_single_sample_has_the_features_of_the_library(
    folder: Path, texts: list[str], images: list[Image], number: int
) -> None:
    one = slice(number, number + 1)
    found = our_features(load_backbone(folder), texts[one], images[one])
    assert np.abs(found - library_features(folder, texts[one], images[one])).max() < 1e-5


def test_the_built_in_world_has_the_features_of_the_library() -> None:
    samples = [BuiltinWorld(num_samples=8).read(index, ("image", "text")) for index in range(8)]
    texts, images = [str(sample["text"]) for sample in samples], [np.asarray(sample["image"]) for sample in samples]
    assert (
        np.abs(our_features(load_backbone(), texts, images) - library_features(TINY_FOLDER, texts, images)).max() < 1e-5
    )


def test_without_text_features_are_those_of_the_library_for_the_summary_word_alone(
    folder: Path, images: list[Image]
) -> None:
    backbone = ViltBackbone.from_pretrained(folder)
    pixels = ViltImageProcessorPil.from_pretrained(folder)(images[2], return_tensors="pt")
    with torch.no_grad():
        expected = backbone.model(input_ids=torch.tensor([[2]]), **pixels).last_hidden_state[:, 0]
    assert np.abs(our_features(backbone, [None], images[2:3]) - expected.numpy()).max() < 1e-5


def test_without_image_features_are_those_of_the_library_for_a_masked_image(folder: Path, texts: list[str]) -> None:
    backbone = ViltBackbone.from_pretrained(folder)
    words = AutoTokenizer.from_pretrained(folder)(texts[0], return_tensors="pt")
    masked = {"image_embeds": torch.zeros(1, 1, backbone.dim), "pixel_mask": torch.zeros(1, 1, dtype=torch.long)}
    with torch.no_grad():
        expected = backbone.model(**words, **masked).last_hidden_state[:, 0]
    assert np.abs(our_features(backbone, texts[:1], [None]) - expected.numpy()).max() < 1e-5


# Texts


def test_text_longer_than_the_position_table_is_cut(folder: Path) -> None:
    backbone = ViltBackbone.from_pretrained(folder)
    table = backbone.model.config.max_position_embeddings
    long, longer = "e " * table, "e " * 50 * table
    [of_long], [of_longer] = backbone.embed("text", [long]), backbone.embed("text", [longer])
    # The first position is that of the summary token.
    assert len(of_long) == len(of_longer) == table - 1
    assert torch.equal(of_long, of_longer)


def test_a_cut_text_still_ends_with_the_separator(folder: Path) -> None:
    [pieces] = ViltBackbone.from_pretrained(folder).tokenize(["e " * 100])
    # Rows of the word list: 2 is [CLS], 3 is [SEP].
    assert pieces[0] == 2
    assert pieces[-1] == 3


def test_an_empty_text_is_a_text() -> None:
    [embedded] = load_backbone().embed("text", [""])
    assert embedded.shape == (1, 64)


def test_capitals_do_not_matter_to_a_tokenizer_that_lowers_them() -> None:
    one, other = load_backbone().embed("text", ["Fresh TOMATO", "fresh tomato"])
    assert torch.equal(one, other)


# Images


@pytest.mark.parametrize(
    ("height", "width", "num_patches"),
    [
        # The tiny ViLT has patches of 16; the short side becomes 64, the long one at most 106.
        (64, 64, 16),
        (32, 32, 16),
        (100, 125, 4 * 5),
        (64, 128, 3 * 6),
        (300, 100, 6 * 2),
    ],
)
def test_an_image_has_a_token_for_each_patch_and_one_of_its_class(height: int, width: int, num_patches: int) -> None:
    [embedded] = load_backbone().embed("image", [np.zeros((height, width, 3), dtype=np.uint8)])
    assert len(embedded) == num_patches + 1


def test_an_image_of_three_rows_is_not_mistaken_for_three_channels(hub_checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(hub_checkpoint, tmp_path / "copied"))
    edit_json(folder / "preprocessor_config.json", size=8)
    image = np.zeros((3, 4, 3), dtype=np.uint8)
    image[:, :, 0] = 255
    [small], [large] = (
        load_backbone(folder).embed("image", [value]) for value in (image, image.repeat(2, axis=0).repeat(2, axis=1))
    )
    # Red all over, so the size makes no difference.
    assert torch.allclose(small, large, atol=1e-6)


@pytest.mark.parametrize("shape", [(64, 1000, 3), (1000, 64, 3), (1, 64, 3)])
def test_an_image_too_narrow_for_a_patch_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(BackboneError, match=rf"image of {shape[0]} x {shape[1]} pixels"):
        load_backbone().embed("image", [np.zeros(shape, dtype=np.uint8)])


# Readings


def test_each_number_is_a_token_that_moves_along_a_line() -> None:
    backbone = load_backbone(modalities=("readings",))
    rows = [np.array(row, dtype=np.float32) for row in ([0, 5], [1, 5], [3, 5])]
    zero, one, three = backbone.embed("readings", rows)
    assert zero.shape == (2, 64)
    assert torch.allclose(three[0] - zero[0], 3 * (one[0] - zero[0]), atol=1e-5)
    assert torch.equal(three[1], zero[1])


def test_readings_at_different_places_are_told_apart() -> None:
    [embedded] = load_backbone(modalities=("readings",)).embed("readings", [np.array([2, 2, 2], dtype=np.float32)])
    assert (embedded[0] - embedded[1]).norm() > 1
    assert (embedded[1] - embedded[2]).norm() > 1


# Values of another kind


@pytest.mark.parametrize(
    ("modality", "value", "message"),
    [
        ("image", np.full((64, 64, 3), np.nan), r"\(64, 64, 3\).*\(height, width, 3\) uint8 image was expected"),
        ("image", np.zeros((64, 64), dtype=np.uint8), "uint8 image was expected"),
        ("image", np.zeros((3, 64, 64), dtype=np.uint8), "uint8 image was expected"),
        ("image", "soup.jpg", "found str"),
        ("image", None, "found NoneType"),
        ("text", 7, "found int where a text was expected"),
        ("text", None, "found NoneType where a text was expected"),
        ("text", ["soup"], "found list where a text was expected"),
        ("readings", np.array([1, np.nan], dtype=np.float32), "one-dimensional array of finite numbers was expected"),
        ("readings", np.array([[1.0]], dtype=np.float32), "one-dimensional array"),
        ("readings", "1 2 3", "found str"),
    ],
)
def test_a_value_of_another_kind_is_refused(modality: str, value: object, message: str) -> None:
    backbone = load_backbone(modalities=MODALITIES)
    good = BuiltinWorld(num_samples=1).read(0, (modality,))[modality]
    with pytest.raises(BackboneError, match=message):
        backbone.embed(modality, [good, value])


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        (("image", "sound"), "ViLT reads image, text, readings; it cannot read sound"),
        (("image", "text", "image"), "image twice"),
    ],
)
def test_modalities_that_it_cannot_read_are_refused(modalities: tuple[str, ...], message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        load_backbone(modalities=modalities)


# Frozen


def test_nothing_of_the_model_is_trained(folder: Path) -> None:
    model = ViltBackbone.from_pretrained(folder).model
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.modules())


# Checkpoints


def test_the_shipped_checkpoint_is_what_the_library_writes(tmp_path: Path) -> None:
    ViltModel.from_pretrained(TINY_FOLDER).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(TINY_FOLDER).save_pretrained(tmp_path)
    ViltImageProcessorPil.from_pretrained(TINY_FOLDER).save_pretrained(tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {path.name for path in TINY_FOLDER.iterdir()} - {"quality.json"}
    assert (tmp_path / "model.safetensors").read_bytes() == (TINY_FOLDER / "model.safetensors").read_bytes()
    config, shipped = (json.loads((folder / "config.json").read_text()) for folder in (tmp_path, TINY_FOLDER))
    assert config | {"transformers_version": ""} == shipped | {"transformers_version": ""}


def test_the_shipped_checkpoint_is_smaller_than_five_megabytes() -> None:
    assert sum(path.stat().st_size for path in TINY_FOLDER.iterdir()) < 5_000_000


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_checkpoint_goes_by_its_name_wherever_fedprime_is_installed(name: str):
    assert load_backbone(name).reference == name


def test_the_shipped_checkpoints_differ_in_weights_alone():
    one, other = (json.loads((folder / "config.json").read_text()) for folder in SHIPPED.values())
    assert one == other
    assert len({load_backbone(name).fingerprint for name in SHIPPED}) == len(SHIPPED)


@pytest.mark.parametrize("pattern", [("image", "text"), ("image",), ("text",)])
def test_the_shipped_checkpoint_tells_the_classes_of_the_world_apart(pattern: tuple[str, ...]) -> None:
    world, backbone = BuiltinWorld(num_samples=300), load_backbone()
    embedded = {
        modality: backbone.embed(modality, [world.read(index, (modality,))[modality] for index in range(300)])
        if modality in pattern
        else [None] * 300
        for modality in ("image", "text")
    }
    features = backbone.encode(backbone.assemble(embedded)).numpy()
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01)).fit(features[:200], world.labels[:200])
    # A guess is right in one of eight cases.
    assert classifier.score(features[200:], world.labels[200:]) > 0.4


def test_a_copy_of_the_tiny_checkpoint_is_loaded_like_any_other(tmp_path: Path, images: list[Image]) -> None:
    copy = load_backbone(shutil.copytree(TINY_FOLDER, tmp_path / "copy"))
    assert (copy.reference, load_backbone().reference) == (str(tmp_path / "copy"), "tiny")
    assert copy.fingerprint == load_backbone().fingerprint
    assert all(
        torch.equal(one, other)
        for one, other in zip(copy.embed("image", images), load_backbone().embed("image", images), strict=True)
    )


@pytest.mark.parametrize(
    "reference", ["dandelin/vilt-b32-mlm", "no-such-name", "a name with spaces", "/no/such/folder"]
)
def test_a_name_that_cannot_be_had_gives_one_clear_error(
    reference: str, recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BackboneError) as caught:
        load_backbone(reference)
    message = str(caught.value)
    assert message.startswith(f"cannot load a backbone from {reference!r}: ")
    assert "offline, copy the folder here and name its path: --backbone PATH" in message
    assert "\n" not in message
    assert len(recwarn) == 0
    assert capfd.readouterr() == ("", "")


def cut_weights(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def drop_a_layer(folder: Path) -> None:
    def drop(weights: dict[str, Tensor]) -> None:
        for name in [name for name in weights if "layer.1." in name]:
            del weights[name]

    edit_weights(folder, drop)


def narrow_a_weight(folder: Path) -> None:
    def narrow(weights: dict[str, Tensor]) -> None:
        name = next(name for name in weights if name.endswith("cls_token"))
        weights[name] = weights[name][..., :8].clone()

    edit_weights(folder, narrow)


def drop_the_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)


BREAKAGES: dict[str, Callable[[Path], object]] = {
    "half of the weights": cut_weights,
    "empty weights": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "a layer is missing": drop_a_layer,
    "a weight of another shape": narrow_a_weight,
    "half of the configuration": lambda folder: (folder / "config.json").write_text('{"model_type": "vi'),
    "a configuration that is no table": lambda folder: (folder / "config.json").write_text("[]"),
    "an unknown activation": lambda folder: edit_json(folder / "config.json", hidden_act="smile"),
    "a width that is no number": lambda folder: edit_json(folder / "config.json", hidden_size="wide"),
    "an empty tokenizer": lambda folder: (folder / "tokenizer.json").write_text("{}"),
    "no configuration": lambda folder: (folder / "config.json").unlink(),
    "no tokenizer": drop_the_tokenizer,
    "no image processor": lambda folder: (folder / "preprocessor_config.json").unlink(),
    "half of the image processor": lambda folder: (folder / "preprocessor_config.json").write_text('{"size"'),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_checkpoint_is_refused(copied: Path, breakage: str) -> None:
    BREAKAGES[breakage](copied)
    with pytest.raises(BackboneError, match="cannot load a backbone from") as caught:
        load_backbone(copied)
    assert "\n" not in str(caught.value)


def test_weights_of_a_head_are_not_needed_and_do_no_harm(hub_checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(hub_checkpoint, tmp_path / "copied"))
    edit_weights(folder, lambda weights: [weights.pop(name) for name in list(weights) if name.startswith("mlm")])
    assert load_backbone(folder).fingerprint == load_backbone(hub_checkpoint).fingerprint


def test_loading_leaves_the_librarys_messages_as_they_were(copied: Path) -> None:
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_backbone(copied)
    (copied / "model.safetensors").unlink()
    with pytest.raises(BackboneError):
        load_backbone(copied)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


# Fingerprints


def nudge_a_weight(folder: Path) -> None:
    def nudge(weights: dict[str, Tensor]) -> None:
        name = next(name for name in weights if name.endswith("encoder.layer.1.output.dense.weight"))
        weights[name][0, 0] += 1e-6

    edit_weights(folder, nudge)


def swap_two_words(folder: Path) -> None:
    name = "vocab.txt" if (folder / "vocab.txt").exists() else "tokenizer.json"
    text = (folder / name).read_text()
    one, other = ("soup", "pea") if name == "vocab.txt" else ('"tomato"', '"lemon"')
    (folder / name).write_text(text.replace(one, "@").replace(other, one).replace("@", other))


def keep_capitals(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", do_lower_case=False)
    if (folder / "tokenizer.json").exists():
        text = (folder / "tokenizer.json").read_text()
        (folder / "tokenizer.json").write_text(text.replace('"lowercase": true', '"lowercase": false'))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a weight": nudge_a_weight,
    "the number of heads": lambda folder: edit_json(folder / "config.json", num_attention_heads=2),
    "the activation": lambda folder: edit_json(folder / "config.json", hidden_act="relu"),
    "the mean colour": lambda folder: edit_json(folder / "preprocessor_config.json", image_mean=[0, 0, 0]),
    "the image size": lambda folder: edit_json(folder / "preprocessor_config.json", size={"shortest_edge": 96}),
    "two words": swap_two_words,
    "the meaning of capitals": keep_capitals,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_that_computes_other_features_has_another_fingerprint(
    folder: Path, copied: Path, texts: list[str], images: list[Image], change: str
) -> None:
    CHANGES[change](copied)
    one, other = load_backbone(folder), load_backbone(copied)
    assert other.fingerprint != one.fingerprint
    assert not np.array_equal(our_features(other, texts, images), our_features(one, texts, images))


def test_a_fingerprint_is_not_changed_by_use(images: list[Image], texts: list[str]) -> None:
    backbone = load_backbone()
    our_features(backbone, texts, images)
    again = ViltBackbone(backbone.model, backbone._tokenizer, backbone._image_processor, "used")
    assert again.fingerprint == backbone.fingerprint


def test_in_bfloat16_features_are_those_of_float32_to_two_digits_and_embeddings_are_the_same(
    hub_checkpoint: Path,
) -> None:
    exact, fast = (load_backbone(hub_checkpoint, precision=precision) for precision in ("float32", "bfloat16"))
    texts = ["pea soup", "abc", "soup with peas and a very long name"]
    embedded = {"text": exact.embed("text", texts), "image": [None] * 3}
    for one, other in zip(embedded["text"], fast.embed("text", texts), strict=True):
        assert torch.equal(one, other)
    tokens = exact.assemble(embedded)
    prompts = torch.zeros(3, 2, exact.dim, requires_grad=True)
    expected, found = (backbone.encode(tokens.prepend(prompts)) for backbone in (exact, fast))
    assert found.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(found, expected).min() > 0.999
    readout = torch.randn(expected.shape, generator=torch_stream(0, "readout"))
    one, other = (torch.autograd.grad((features * readout).sum(), prompts)[0] for features in (expected, found))
    assert torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.99


def test_a_precision_that_was_asked_for_is_an_option_of_the_backbone_and_not_of_its_fingerprint(
    hub_checkpoint: Path,
) -> None:
    exact, fast = (load_backbone(hub_checkpoint, precision=precision) for precision in ("float32", "bfloat16"))
    assert exact.options == {}
    assert fast.options == {"precision": "bfloat16"}
    assert exact.fingerprint == fast.fingerprint
