"""Checkpoints of ViLT's authors, and text positions for longer texts than ViLT was trained on.

Source: https://github.com/dandelin/ViLT (Apache-2.0); Kim, Son, Kim. ICML 2021.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:  # slow to import
    from transformers import ViltConfig, ViltModel

#: How ViLT's authors prepare an image: the short side becomes 384, the long one at most 640, both multiples of 32.
PIXELS_AS_TRAINED: Mapping[str, Any] = {
    "size": {"shortest_edge": 384},
    "size_divisor": 32,
    "resample": 3,  # bicubic
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}

_HEAD_WIDTH = 64  # of every vision transformer; the weights do not tell it
_TEXT_EPSILON, _BLOCK_EPSILON = 1e-12, 1e-6  # BERT's layer norm, and that of vision transformers
# A key of the training loop's state, which is not read; its name alone must not stop the reader.
_HARMLESS = "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"

#: Names there and here, in order; what follows `transformer.` and `text_embeddings.` is the rest of the name.
_RENAMED = (
    (r"transformer\.cls_token", "embeddings.cls_token"),
    (r"transformer\.pos_embed", "embeddings.position_embeddings"),
    (r"transformer\.patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"transformer\.norm\.", "layernorm."),
    (r"text_embeddings\.", "embeddings.text_embeddings."),
    (r"token_type_embeddings\.", "embeddings.token_type_embeddings."),
    (r"pooler\.", "pooler."),
    (r"transformer\.blocks\.(\d+)\.norm1\.", r"encoder.layer.\1.layernorm_before."),
    (r"transformer\.blocks\.(\d+)\.norm2\.", r"encoder.layer.\1.layernorm_after."),
    (r"transformer\.blocks\.(\d+)\.attn\.proj\.", r"encoder.layer.\1.attention.output.dense."),
    (r"transformer\.blocks\.(\d+)\.mlp\.fc1\.", r"encoder.layer.\1.intermediate.dense."),
    (r"transformer\.blocks\.(\d+)\.mlp\.fc2\.", r"encoder.layer.\1.output.dense."),
)
_JOINT = re.compile(r"transformer\.blocks\.(\d+)\.attn\.qkv\.(weight|bias)")


class _Inert:
    """Stands for a class of the training loop that a checkpoint names; nothing of that class is imported or run."""


def read_original_checkpoint(path: Path) -> "ViltModel":
    """Reads the weights of a checkpoint file of ViLT's authors, and nothing else: no code of the file is run.

    Their two kinds of layer norm have different epsilons, which `transformers` does not tell apart; here each has its
    own.

    Raises:
        ValueError: If there are no weights of a ViLT in it.
        pickle.UnpicklingError: If it holds anything but weights and plain values.
    """
    from transformers import ViltModel

    with torch.serialization.safe_globals([(_Inert, _HARMLESS)]):
        content = torch.load(path, map_location="cpu", weights_only=True)
    given = content.get("state_dict", content) if isinstance(content, dict) else {}
    weights = _renamed({str(name): value for name, value in given.items() if isinstance(value, Tensor)})
    try:
        config = _config_of(weights)
    except KeyError as error:
        raise ValueError(f"it has no weights of a ViLT: {error.args[0]} is not there") from error
    with torch.device("meta"):
        model = ViltModel(config)
    with torch.random.fork_rng():
        model = model.to_empty(device="cpu")
    lacking = sorted(model.state_dict().keys() - weights.keys())
    if lacking:
        raise ValueError(f"{len(lacking)} weights are missing, the first is {lacking[0]}")
    model.load_state_dict({name: weights[name].float() for name in model.state_dict()})
    _set_positions(model, config.max_position_embeddings)
    model.embeddings.text_embeddings.LayerNorm.eps = _TEXT_EPSILON
    return model


def stretch_text_positions(model: Any, num_positions: int) -> None:
    """Gives a model another number of text positions: fewer are cut off, more are interpolated between those it has.

    The first position, that of the summary token, stays as it is.

    Source: as the research code of missing-aware prompts (Lee et al., CVPR 2023) stretches 40 positions to 128.

    Args:
        model: A ViLT, changed in place.
        num_positions: How many there shall be, at least 2: a text has a first and a last token.
    """
    embeddings = model.embeddings.text_embeddings
    table = embeddings.position_embeddings.weight.detach()
    if num_positions <= len(table):
        resized = table[:num_positions].clone()
    else:
        resized = nn.functional.interpolate(table.T[None], size=num_positions, mode="linear", align_corners=False)[0].T
    embeddings.position_embeddings = nn.Embedding.from_pretrained(resized.contiguous(), freeze=True)
    model.config.max_position_embeddings = num_positions
    _set_positions(model, num_positions)


def _set_positions(model: Any, num_positions: int) -> None:
    # They are not saved: the library makes them anew with the model.
    embeddings = model.embeddings.text_embeddings
    device = embeddings.position_embeddings.weight.device
    embeddings.position_ids = nn.Buffer(torch.arange(num_positions, device=device)[None], persistent=False)
    types = torch.zeros(1, num_positions, dtype=torch.int64, device=device)
    embeddings.token_type_ids = nn.Buffer(types, persistent=False)


def _renamed(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for name, value in given.items():
        joint = _JOINT.fullmatch(name)
        if joint:
            for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                weights[f"encoder.layer.{joint[1]}.attention.attention.{part}.{joint[2]}"] = third
        for pattern, replacement in _RENAMED:
            renamed, count = re.subn(f"^{pattern}", replacement, name)
            if count:
                weights[renamed] = value
    return weights


def _config_of(weights: Mapping[str, Tensor]) -> "ViltConfig":
    from transformers import ViltConfig

    words = weights["embeddings.text_embeddings.word_embeddings.weight"]
    patch_size = weights["embeddings.patch_embeddings.projection.weight"].shape[-1]
    num_patches = weights["embeddings.position_embeddings"].shape[1] - 1
    numbers = [int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer.")]
    return ViltConfig(
        vocab_size=len(words),
        hidden_size=words.shape[1],
        num_hidden_layers=1 + max(numbers, default=0),
        num_attention_heads=max(1, words.shape[1] // _HEAD_WIDTH),
        intermediate_size=len(weights["encoder.layer.0.intermediate.dense.bias"]),
        max_position_embeddings=len(weights["embeddings.text_embeddings.position_embeddings.weight"]),
        type_vocab_size=len(weights["embeddings.text_embeddings.token_type_embeddings.weight"]),
        modality_type_vocab_size=len(weights["embeddings.token_type_embeddings.weight"]),
        patch_size=patch_size,
        image_size=patch_size * round(num_patches**0.5),
        layer_norm_eps=_BLOCK_EPSILON,
    )
