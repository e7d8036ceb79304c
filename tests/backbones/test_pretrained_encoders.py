"""Pretrained encoders: the last hidden states of the library's own forward."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoModel, AutoTokenizer

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.pretrained_encoders import AudioModel, ImageModel, TextModel
from fedprime.reproducibility.seeding import stream

_rng = stream(0, "values")
IMAGES: list[object] = [_rng.integers(0, 256, size=(32, width, 3), dtype=np.uint8) for width in (32, 50, 20)]
SOUND: Float[np.ndarray, " time"] = 0.1 * _rng.standard_normal(1500).astype(np.float32)


def test_images_are_the_states_of_the_library(checkpoints: Mapping[str, Path]) -> None:
    pixels = AutoImageProcessor.from_pretrained(checkpoints["vit"], backend="pil")(IMAGES, return_tensors="pt")
    with torch.no_grad():
        expected = AutoModel.from_pretrained(checkpoints["vit"]).eval()(**pixels).last_hidden_state
        found = ImageModel.from_pretrained(checkpoints["vit"]).encode(IMAGES)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).abs().max() < 1e-5


def test_a_convolutional_network_has_a_token_for_each_place(checkpoints: Mapping[str, Path]) -> None:
    pixels = AutoImageProcessor.from_pretrained(checkpoints["resnet"], backend="pil")(IMAGES[:1], return_tensors="pt")
    with torch.no_grad():
        [expected] = AutoModel.from_pretrained(checkpoints["resnet"]).eval()(**pixels).last_hidden_state
        [found] = ImageModel.from_pretrained(checkpoints["resnet"]).encode(IMAGES[:1])
    width, rows, columns = expected.shape
    assert found.shape == (rows * columns, width)
    assert (found[columns] - expected[:, 1, 0]).abs().max() < 1e-5


def test_texts_are_the_states_of_the_library_for_a_padded_batch(checkpoints: Mapping[str, Path]) -> None:
    texts = ["pea soup", "e", "soups with peas."]
    words = AutoTokenizer.from_pretrained(checkpoints["bert"])(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = AutoModel.from_pretrained(checkpoints["bert"]).eval()(**words).last_hidden_state
        found = TextModel.from_pretrained(checkpoints["bert"], 100).encode(texts)
    for ours, theirs, mask in zip(found, expected, words["attention_mask"].bool(), strict=True):
        assert len(ours) == mask.sum()
        assert (ours - theirs[mask]).abs().max() < 1e-5


def test_lower_layers_tell_the_mean_of_what_enters_the_first_and_the_middle_one(
    checkpoints: Mapping[str, Path],
) -> None:
    words = AutoTokenizer.from_pretrained(checkpoints["bert"])("pea soup", return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(checkpoints["bert"]).eval()(**words, output_hidden_states=True).hidden_states
        encoder = TextModel.from_pretrained(checkpoints["bert"], 100)
        [(tokens, layers)] = encoder.encode_with_layers(["pea soup"])
    num_layers = len(states) - 1
    assert num_layers > 1
    assert encoder.layers_width == layers.numel()
    torch.testing.assert_close(tokens, states[-1][0])
    torch.testing.assert_close(layers, torch.cat([states[0][0].mean(dim=0), states[num_layers // 2][0].mean(dim=0)]))


@pytest.mark.parametrize(("asked", "read"), [(5, 5), (16, 16), (1000, 16)])
def test_a_text_is_read_as_far_as_asked_for_and_as_the_model_can(
    checkpoints: Mapping[str, Path], asked: int, read: int
) -> None:
    assert len(TextModel.from_pretrained(checkpoints["bert"], asked).encode(["e " * 90])[0]) == read


@pytest.mark.parametrize("kind", ["wav2vec2", "audio-spectrogram-transformer"])
def test_sounds_are_the_states_of_the_library(checkpoints: Mapping[str, Path], kind: str) -> None:
    extractor = AutoFeatureExtractor.from_pretrained(checkpoints[kind])
    inputs = extractor(SOUND, sampling_rate=extractor.sampling_rate, return_tensors="pt")
    with torch.no_grad():
        [expected] = AutoModel.from_pretrained(checkpoints[kind]).eval()(**inputs).last_hidden_state
        value = {"array": SOUND, "sampling_rate": extractor.sampling_rate}
        [found] = AudioModel.from_pretrained(checkpoints[kind]).encode([value])
    assert (found - expected).abs().max() < 1e-5


def test_a_sound_too_short_for_the_model_is_refused(checkpoints: Mapping[str, Path]) -> None:
    with pytest.raises(BackboneError, match=r"cannot encode a sound of 0\.000 s .*count it as missing"):
        AudioModel.from_pretrained(checkpoints["wav2vec2"]).encode([{"array": SOUND[:3], "sampling_rate": 8000}])


def edit_weights(folder: Path, prefix: str) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith(prefix)}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def test_a_pooler_that_nothing_reads_may_be_missing(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(checkpoints["bert"], tmp_path / "bert"))
    edit_weights(copy, "pooler.")
    found, expected = (TextModel.from_pretrained(folder, 8) for folder in (copy, checkpoints["bert"]))
    assert found.fingerprint == expected.fingerprint


def test_a_layer_may_not_be_missing(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(checkpoints["bert"], tmp_path / "bert"))
    edit_weights(copy, "encoder.layer.1.")
    with pytest.raises(BackboneError, match="weights are missing or of another shape"):
        TextModel.from_pretrained(copy, 8)


def test_a_model_that_reads_differently_has_another_fingerprint(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(checkpoints["vit"], tmp_path / "vit"))
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").write_text(json.dumps(settings | {"image_std": [0.1] * 3}))
    found, expected = (ImageModel.from_pretrained(folder).fingerprint for folder in (copy, checkpoints["vit"]))
    assert found != expected
    lengths = {TextModel.from_pretrained(checkpoints["bert"], number).fingerprint for number in (5, 6)}
    assert len(lengths) == 2


def test_a_saved_encoder_loads_as_the_same(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    text, image = TextModel.from_pretrained(checkpoints["bert"], 8), ImageModel.from_pretrained(checkpoints["vit"])
    audio = AudioModel.from_pretrained(checkpoints["wav2vec2"])
    for name, encoder in (("text", text), ("image", image), ("audio", audio)):
        encoder.save(tmp_path / name)
    assert TextModel.from_pretrained(tmp_path / "text", 8).fingerprint == text.fingerprint
    assert ImageModel.from_pretrained(tmp_path / "image").fingerprint == image.fingerprint
    assert AudioModel.from_pretrained(tmp_path / "audio").fingerprint == audio.fingerprint


@pytest.mark.parametrize("load", [ImageModel.from_pretrained, AudioModel.from_pretrained])
def test_a_name_that_cannot_be_had_gives_one_clear_error(load: object) -> None:
    with pytest.raises(BackboneError, match=r"cannot load a backbone from 'no-such-name': .*--backbone PATH") as caught:
        load("no-such-name")  # pyright: ignore[reportCallIssue]
    assert "\n" not in str(caught.value)


def test_a_value_of_another_kind_is_refused(checkpoints: Mapping[str, Path]) -> None:
    with pytest.raises(BackboneError, match="where a text was expected"):
        TextModel.from_pretrained(checkpoints["bert"], 8).encode([7])
    with pytest.raises(BackboneError, match="uint8 image was expected"):
        ImageModel.from_pretrained(checkpoints["vit"]).encode(["soup.jpg"])
    with pytest.raises(BackboneError, match="a sound was expected"):
        AudioModel.from_pretrained(checkpoints["wav2vec2"]).encode([SOUND])
