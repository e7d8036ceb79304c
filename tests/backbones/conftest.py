"""Checkpoints that several tests of backbones share."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import ViltConfig, ViltForMaskedLM

from fedprime.seeding import torch_stream

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", "soup", "with", "##s", "pea", ".")


@pytest.fixture(scope="session")
def hub_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random ViLT in the layout of ``dandelin/vilt-b32-mlm`` on the hub; only for reading.

    As there: weights below ``vilt.`` beside those of a head, a position table that the library no longer saves, a word
    list instead of a fast tokenizer, and the image size as one number.
    """
    folder = tmp_path_factory.mktemp("hub") / "vilt-b8-mlm"
    folder.mkdir()
    config = ViltConfig(
        architectures=["ViltForMaskedLM"],
        vocab_size=len(WORDS),
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=36,
        max_position_embeddings=10,
        image_size=32,
        patch_size=8,
    )
    rng = torch_stream(0, "hub checkpoint")
    with torch.random.fork_rng():
        weights = ViltForMaskedLM(config).state_dict()
    # All of them random, biases and position tables too: a forgotten one would not go unnoticed.
    weights = {name: 0.3 * torch.randn(value.shape, generator=rng) for name, value in weights.items()}
    weights["vilt.embeddings.text_embeddings.position_ids"] = torch.arange(10)[None]
    del weights["mlm_score.decoder.weight"]  # the word embeddings, not stored twice
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(config.to_json_string())
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    tokenizer = {"do_lower_case": True, "model_max_length": 40, "tokenizer_class": "BertTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    # Larger than the model's own image size, so that positions are stretched.
    images = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3, "size": 40, "size_divisor": 8}
    images |= {"do_normalize": True, "do_resize": True, "feature_extractor_type": "ViltFeatureExtractor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    return folder
