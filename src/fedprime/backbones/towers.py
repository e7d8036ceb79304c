"""The part of a pretrained model that reads one modality, and how much of a text it reads at once."""

from bisect import bisect
from collections.abc import Mapping
from typing import Any

import torch

from fedprime.backbones.backbone import BackboneError
from fedprime.data.sources import ValueKind

#: By kind, what models of several modalities call the part that reads it.
_TOWERS: Mapping[str, tuple[str, ...]] = {
    "image": ("vision_model", "image_model"),
    "text": ("text_model",),
    "audio": ("audio_model",),
}


def reading_part(model: Any, kind: ValueKind) -> Any:
    """Returns what reads: a tower for this modality, the encoder of a model that also writes, or the whole model.

    Raises:
        BackboneError: If which part reads it is not known.
    """
    towers = [tower for name in _TOWERS[kind] if (tower := getattr(model, name, None)) is not None]
    others = [name for other, names in _TOWERS.items() if other != kind for name in names if hasattr(model, name)]
    config = model.config
    if towers and (others or not _has_width(config)) and _has_width(towers[0].config):
        return towers[0]
    if not _has_width(config):
        raise BackboneError(
            f"a model of the kind {config.model_type!r} cannot be the encoder of a modality of the kind {kind}; take a "
            "model that reads that alone, or one with a tower for it, such as CLIP"
        )
    # Of a model that also writes, the part that reads.
    return model.get_encoder() if config.is_encoder_decoder else model


def _has_width(config: Any) -> bool:
    return bool(getattr(config, "hidden_size", None) or getattr(config, "hidden_sizes", None))


def longest_readable(model: Any, processor: Any, most: int) -> int:
    """Returns how many word pieces a model reads at once, at most so many: position tables do not always say it.

    Those like RoBERTa's have rows that no token may use.
    """
    special = set(processor.all_special_ids)
    word = next((number for number in sorted(processor.get_vocab().values()) if number not in special), 0)

    def is_readable(length: int) -> bool:
        try:
            with torch.no_grad():
                model(input_ids=torch.full((1, length), word, device=model.device))
        except (IndexError, RuntimeError, ValueError):  # whatever the model says to a text that is too long
            return False
        return True

    if is_readable(most):
        return most
    if not is_readable(1):
        raise BackboneError("the model cannot read a single word; are tokenizer and model of one checkpoint?")
    return bisect(range(1, most + 1), 0, key=lambda length: not is_readable(length))


def num_words(model: Any) -> int | float:
    """Returns how many words a model knows, as its table of words says; without one, any number."""
    try:
        table = model.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return float("inf")
    return getattr(table, "num_embeddings", float("inf"))
