"""Checkpoints that several tests of backbones share."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedModel, ViltConfig, ViltForMaskedLM

from fedprime.reproducibility.seeding import torch_stream

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


@pytest.fixture(scope="session")
def checkpoints(hub_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Small random checkpoints in the layout of the hub, by the kind of their model; only for reading."""
    folder = tmp_path_factory.mktemp("checkpoints")
    written = {kind: write_dual_encoder(folder / kind, kind) for kind in ("clip", "metaclip_2", "siglip", "siglip2")}
    encoders = write_encoders(folder)
    sound = {"encoder": "log_mel", "sampling_rate": 8000, "num_bands": 8, "frames_per_token": 3, "max_seconds": 0.2}
    table = {"encoder": "table", "numbers": {"price": [10.0, 4.0], "age": [40.0, 20.0]}}
    table |= {"categories": {"brand": ["acme", "umbrella"]}}
    pretrained = {
        "image": {"encoder": "image_model", "reference": str(encoders["vit"])},
        "text": {"encoder": "text_model", "reference": str(encoders["bert"]), "max_tokens": 8},
        "audio": {"encoder": "audio_model", "reference": str(encoders["wav2vec2"])},
        "table": table,
    }
    shape = {"dim": 24, "num_layers": 2, "num_heads": 3}
    written["composite"] = write_composite(folder / "composite", modalities=pretrained, **shape)
    bare = {"table": table, "audio": sound, "image": {"encoder": "pixel_patches", "side": 32, "patch_size": 16}}
    written["bare composite"] = write_composite(folder / "bare", modalities=bare, **shape)
    return {"vilt": hub_checkpoint, **written, **encoders}


def write_composite(folder: Path, **content: object) -> Path:
    """Writes a composite without weights: its joint layers come from its seed."""
    folder.mkdir()
    (folder / "composite.json").write_text(json.dumps(content))
    return folder


def write_encoders(folder: Path) -> dict[str, Path]:
    """Writes small random encoders of images, texts and sounds."""
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 20, "intermediate_size": 28}
    settings: dict[str, dict[str, object]] = {
        "vit": {**layers, "image_size": 32, "patch_size": 8},
        "bert": {**layers, "vocab_size": len(WORDS), "max_position_embeddings": 16},
        "wav2vec2": {**layers, "conv_dim": [12, 12], "conv_kernel": [10, 4], "conv_stride": [40, 4]}
        | {"num_feat_extract_layers": 2, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2},
        "audio-spectrogram-transformer": {**layers, "patch_size": 4, "frequency_stride": 4, "time_stride": 4}
        | {"max_length": 16, "num_mel_bins": 8},
        "resnet": {"embedding_size": 8, "hidden_sizes": [8, 12], "depths": [1, 1], "layer_type": "basic"},
    }
    images = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}, "do_normalize": True}
    images |= {"do_resize": True, "do_rescale": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    hearing = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 8000, "do_normalize": True}
    looking = {"feature_extractor_type": "ASTFeatureExtractor", "sampling_rate": 16000, "num_mel_bins": 8}
    looking |= {"max_length": 16}
    processors_of = {"vit": images, "resnet": images, "wav2vec2": hearing, "audio-spectrogram-transformer": looking}
    for kind, values in settings.items():
        random_model(kind, **values).save_pretrained(folder / kind)
        if kind in processors_of:
            (folder / kind / "preprocessor_config.json").write_text(json.dumps(processors_of[kind]))
    (folder / "bert" / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    tokenizer = {"do_lower_case": True, "model_max_length": 512, "tokenizer_class": "BertTokenizer"}
    (folder / "bert" / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return {kind: folder / kind for kind in settings}


def random_model(kind: str, **settings: object) -> PreTrainedModel:
    """Returns a model whose weights are all random: biases and position tables too, so that none can be forgotten."""
    with torch.random.fork_rng():
        model = AutoModel.from_config(AutoConfig.for_model(kind, **settings))
    rng = torch_stream(0, "random model", kind)
    for name, parameter in model.named_parameters():
        # Around 1 where a layer norm multiplies, so that what is normed keeps its differences.
        scales = "norm" in name and name.endswith("weight")
        parameter.data = float(scales) + 0.3 * torch.randn(parameter.shape, generator=rng)
    return model


def write_dual_encoder(folder: Path, kind: str) -> Path:
    """Writes a small random dual encoder whose towers differ in width and depth."""
    like_clip = kind in ("clip", "metaclip_2")
    layers = {"num_attention_heads": 2, "hidden_act": "gelu"}
    text = {"hidden_size": 20, "intermediate_size": 28, "num_hidden_layers": 2, "max_position_embeddings": 12, **layers}
    vision = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 3, "patch_size": 8, **layers}
    text |= {"vocab_size": 60, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 1}
    text |= {} if like_clip else {"projection_size": 24}
    vision |= {"num_patches": 16} if kind == "siglip2" else {"image_size": 32}
    shared = {"projection_dim": 14} if like_clip else {}
    random_model(kind, text_config=text, vision_config=vision, **shared).save_pretrained(folder)
    write_byte_pairs(folder, with_start=like_clip)
    images = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.3, 0.4, 0.5], "do_normalize": True, "do_rescale": True}
    images |= {"do_resize": True, "resample": 3}
    if kind == "siglip2":
        images |= {"image_processor_type": "Siglip2ImageProcessor", "patch_size": 8, "max_num_patches": 20}
    elif kind == "siglip":
        images |= {"image_processor_type": "SiglipImageProcessor", "size": {"height": 32, "width": 32}}
    else:
        crop = {"do_center_crop": True, "crop_size": {"height": 32, "width": 32}}
        images |= {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, **crop}
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    return folder


def write_byte_pairs(folder: Path, *, with_start: bool) -> None:
    """Writes a tokenizer of letters and a few pairs, which ends a text and, if asked for, marks its start."""
    letters = [*"abcdefghijklmnopqrstuvwxyz .", "so", "ou", "pe", "the"]
    vocabulary = {"<start>": 0, "<end>": 1, "<unk>": 2, **{piece: 3 + row for row, piece in enumerate(letters)}}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("s", "o"), ("o", "u"), ("p", "e")], unk_token="<unk>"))  # noqa: S106
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>" if with_start else "$A <end>", special_tokens=[("<start>", 0), ("<end>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<end>", "eos_token": "<end>"}
    settings |= {"unk_token": "<unk>", "bos_token": "<start>", "padding_side": "right", "model_max_length": 12}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
