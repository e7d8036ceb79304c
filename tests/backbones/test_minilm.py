"""MiniLM by its own weights: the tokens of `transformers`, whoever is beside a text, saved as on the hub."""

from pathlib import Path

import pytest
import torch

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.minilm import MAX_TOKENS, MiniLM
from fedprime.backbones.pretrained_encoders import TextModel
from fedprime.backbones.small_weights import lacking_weights, minilm_folder

pytestmark = pytest.mark.skipif(bool(lacking_weights(("text",))), reason="make encoders")

TEXTS = ("a cup of tea", "", "Ünïcode 漢字, don't!", "tea " * 60, "a", "one two three " * 150)


@pytest.fixture(scope="module")
def encoder() -> MiniLM:
    return MiniLM.load()


@torch.no_grad()
def test_its_tokens_and_fingerprint_are_those_of_transformers(encoder: MiniLM) -> None:
    with minilm_folder() as folder:
        plain = TextModel.from_pretrained(folder, MAX_TOKENS)
    assert encoder.fingerprint == plain.fingerprint
    for found, expected in zip(encoder.encode_with_layers(TEXTS), plain.encode_with_layers(TEXTS), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_text_has_the_same_tokens_alone_and_beside_others(encoder: MiniLM) -> None:
    for text, together in zip(TEXTS, encoder.encode(TEXTS), strict=True):
        [alone] = encoder.encode([text])
        torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)


def test_it_is_saved_as_on_the_hub(encoder: MiniLM, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    assert TextModel.from_pretrained(tmp_path, MAX_TOKENS).fingerprint == encoder.fingerprint
    assert "Apache License" in (tmp_path / "NOTICE").read_text()


def test_a_value_that_is_no_text_is_refused(encoder: MiniLM) -> None:
    with pytest.raises(BackboneError, match="where a text was expected"):
        encoder.encode([7])
