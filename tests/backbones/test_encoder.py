"""What every encoder of a composite keeps. To hold another one to it, add a line to `ENCODERS`."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from fedprime.backbones.curves import NUM_CURVES, curves_of
from fedprime.backbones.encoder import Encoder, PooledEncoder
from fedprime.backbones.hashed_table import HashedTable
from fedprime.backbones.log_mel import NUM_FRAMES, NUM_PLACES, LogMel
from fedprime.backbones.pixel_patches import PixelPatches
from fedprime.backbones.pretrained_encoders import AudioModel, ImageModel, TextModel
from fedprime.backbones.shapes import NUM_COLOURS, NUM_SHAPES, look_of, shapes_of
from fedprime.backbones.table_tokens import TableTokens
from fedprime.backbones.words import NUM_WORDS, words_of
from fedprime.reproducibility.seeding import stream

_rng = stream(0, "values")
IMAGES: list[object] = [_rng.integers(0, 256, size=(32, width, 3), dtype=np.uint8) for width in (32, 50, 20)]
TEXTS: list[object] = ["pea soup", "e", "soups with peas."]
SOUNDS: list[object] = [
    {"array": 0.1 * _rng.standard_normal(length), "sampling_rate": 8000} for length in (1600, 300, 1500)
]
ROWS: list[object] = [{"price": 3.0, "brand": "acme"}, {"price": 4.0}, {"brand": "other"}]

#: By name, how it is loaded, given checkpoints, and values for it.
ENCODERS: dict[str, tuple[Callable[[Mapping[str, Path]], Encoder], list[object]]] = {
    "ViT": (lambda folders: ImageModel.from_pretrained(folders["vit"]), IMAGES),
    "ResNet": (lambda folders: ImageModel.from_pretrained(folders["resnet"]), IMAGES),
    "BERT": (lambda folders: TextModel.from_pretrained(folders["bert"], 8), TEXTS),
    "wav2vec 2.0": (lambda folders: AudioModel.from_pretrained(folders["wav2vec2"]), SOUNDS),
    "AST": (lambda folders: AudioModel.from_pretrained(folders["audio-spectrogram-transformer"]), SOUNDS),
    "log-mel": (lambda _: LogMel(8000, 8, 3, 0.5), SOUNDS),
    "patches": (lambda _: PixelPatches(32, 8), IMAGES),
    "table": (lambda _: TableTokens({"price": (1.0, 2.0)}, {"brand": ["acme"]}), ROWS),
    "hashed table": (lambda _: HashedTable(), ROWS),
    "pooled log-mel": (lambda _: PooledEncoder(LogMel(8000, 8, 3, 0.5)), SOUNDS),
    "log-mel with shapes": (lambda _: PooledEncoder(LogMel(8000, 8, 3, 0.5), shapes=True), SOUNDS),
    "patches with shapes": (lambda _: PooledEncoder(PixelPatches(32, 8), shapes=True), IMAGES),
    "pooled BERT": (lambda folders: PooledEncoder(TextModel.from_pretrained(folders["bert"], 8), shapes=True), TEXTS),
    "pooled table": (lambda _: PooledEncoder(HashedTable(), shapes=True), ROWS),
}


def width_behind(encoder: Encoder) -> int:
    return sum(encoder.beside.values()) if isinstance(encoder, PooledEncoder) else 0


@pytest.fixture(scope="module", params=ENCODERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def encoder(name: str, checkpoints: Mapping[str, Path]) -> Encoder:
    return ENCODERS[name][0](checkpoints)


def test_an_encoder_is_one(encoder: Encoder) -> None:
    assert isinstance(encoder, Encoder)


def test_every_value_becomes_finite_tokens(encoder: Encoder, name: str) -> None:
    with torch.no_grad():
        encoded = encoder.encode(ENCODERS[name][1])
    assert len(encoded) == 3
    for tokens in encoded:
        assert len(tokens) > 0
        assert tokens.shape[1] == encoder.width + width_behind(encoder)
        assert tokens.isfinite().all()


def test_a_value_is_encoded_the_same_to_the_bit_whatever_stands_beside_it(encoder: Encoder, name: str) -> None:
    # To the bit, because what is cached must not depend on which run came first.
    values = ENCODERS[name][1] * 3
    with torch.no_grad():
        together = encoder.encode(values[::-1])[::-1]
        for value, tokens in zip(values, together, strict=True):
            assert torch.equal(encoder.encode([value])[0], tokens)


def test_the_length_of_tokens_is_about_what_it_says(encoder: Encoder, name: str) -> None:
    with torch.no_grad():
        tokens = torch.cat(encoder.encode(ENCODERS[name][1]))[:, : encoder.width]
    if encoder.is_normalised:
        tokens = torch.nn.functional.layer_norm(tokens, tokens.shape[-1:])
    assert 1 / 3 < tokens.square().sum(dim=1).mean() / encoder.squared_length < 3


def test_the_tokens_of_a_value_are_pooled_to_one_row_of_finite_numbers(encoder: Encoder, name: str) -> None:
    with torch.no_grad():
        pooled = [encoder.pool(tokens) for tokens in encoder.encode(ENCODERS[name][1])]
    width = encoder.block_width + width_behind(encoder)
    assert all(row.shape == (width,) and row.isfinite().all() for row in pooled)
    assert not torch.allclose(pooled[0], pooled[1], atol=1e-3)


def test_loaded_again_it_is_the_same(encoder: Encoder, name: str, checkpoints: Mapping[str, Path]) -> None:
    load, values = ENCODERS[name]
    again = load(checkpoints)
    assert again.fingerprint == encoder.fingerprint
    with torch.no_grad():
        for one, other in zip(again.encode(values), encoder.encode(values), strict=True):
            assert torch.equal(one, other)


def test_each_encoder_has_a_fingerprint_of_its_own(checkpoints: Mapping[str, Path]) -> None:
    fingerprints = {load(checkpoints).fingerprint for load, _ in ENCODERS.values()}
    assert len(fingerprints) == len(ENCODERS)


def test_shapes_stand_behind_what_is_pooled_and_are_told_by_the_fingerprint() -> None:
    for inside, values in ((PixelPatches(32, 8), IMAGES), (LogMel(8000, 8, 3, 0.5), SOUNDS)):
        plain, shaped = PooledEncoder(inside), PooledEncoder(inside, shapes=True)
        assert "shapes" not in plain.beside
        assert shaped.fingerprint != plain.fingerprint
        for without, token in zip(plain.encode(values), shaped.encode(values), strict=True):
            assert torch.equal(token[:, : plain.width], without)
    [token] = PooledEncoder(PixelPatches(32, 8), shapes=True).encode(IMAGES[:1])
    image = IMAGES[0]
    assert isinstance(image, np.ndarray)
    np.testing.assert_allclose(token[0, -NUM_SHAPES - NUM_COLOURS :], look_of(image), rtol=1e-6)


def test_the_words_of_a_text_stand_between_what_is_pooled_and_lower_layers(checkpoints: Mapping[str, Path]) -> None:
    inside = TextModel.from_pretrained(checkpoints["bert"], 8)
    plain, counting = PooledEncoder(inside), PooledEncoder(inside, shapes=True)
    with torch.no_grad():
        [without], [token] = plain.encode(TEXTS[:1]), counting.encode(TEXTS[:1])
    pooled, words, layers = token[0].split([inside.width, NUM_WORDS, 2 * inside.width])
    assert torch.equal(without[0], torch.cat([pooled, layers]))
    np.testing.assert_allclose(words, words_of("pea soup"), rtol=1e-6)
    assert counting.fingerprint != plain.fingerprint


def test_the_curves_of_a_hashed_row_stand_behind_it() -> None:
    plain, counting = PooledEncoder(HashedTable()), PooledEncoder(HashedTable(), shapes=True)
    cells = {"age": 40, "brand": "acme", "size": None}
    [without], [token] = plain.encode([cells]), counting.encode([cells])
    row, curves = token[0].split([plain.width, NUM_CURVES])
    assert torch.equal(without[0], row)
    np.testing.assert_allclose(curves, curves_of({"age": 40, "brand": "acme"}), rtol=1e-6)
    assert counting.fingerprint == plain.fingerprint
    assert counting.version != plain.version


def test_what_lower_layers_make_of_a_text_stands_behind_what_is_pooled(checkpoints: Mapping[str, Path]) -> None:
    inside = TextModel.from_pretrained(checkpoints["bert"], 8)
    pooled = PooledEncoder(inside)
    with torch.no_grad():
        [[tokens, layers]], [token] = inside.encode_with_layers(TEXTS[:1]), pooled.encode(TEXTS[:1])
    assert pooled.beside == {"layers": len(layers)} == {"layers": 2 * inside.width}
    assert torch.equal(token[0], torch.cat([inside.pool(tokens), layers]))
    assert pooled.version != inside.version  # what was kept of earlier ones is made anew


def test_the_shapes_of_a_sound_are_those_of_its_spectrogram_and_its_frames_stand_behind() -> None:
    log_mel = LogMel(8000, 8, 3, 0.5)
    [tokens], [token] = log_mel.encode(SOUNDS[:1]), PooledEncoder(log_mel, shapes=True).encode(SOUNDS[:1])
    spectrogram = tokens[:, :-NUM_PLACES].reshape(-1, 8).numpy().T  # (band, frame)
    _, shapes, frames = token[0].split([log_mel.block_width, NUM_SHAPES, NUM_FRAMES])
    np.testing.assert_allclose(shapes, shapes_of(spectrogram), rtol=1e-6)
    assert torch.equal(frames, log_mel.which_frames(tokens))
