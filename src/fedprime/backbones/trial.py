"""A backbone is tried once when it is loaded, so that what does not fit in it is told before anything is trained."""

from collections.abc import Mapping

import numpy as np
import torch

from fedprime.backbones.backbone import Backbone, BackboneError
from fedprime.backbones.composite import CompositeBackbone
from fedprime.backbones.composite_file import TablePart

_TITLES = {
    "image": "an image of 40 x 24 pixels",
    "text": "a long text",
    "audio": "a sound of 1 s",
    "table": "a row of its own columns",
}


def try_backbone(backbone: Backbone) -> None:
    """Lets a backbone read an image that is not square, a text longer than it can read, a sound, a row.

    Raises:
        BackboneError: If it cannot, in one line that says which modality and why.
    """
    for modality, value in _values(backbone).items():
        title = _TITLES[backbone.kinds[modality]]
        try:
            with torch.no_grad():
                embedded = backbone.embed(modality, [value])
                others = {name: [None] for name in backbone.modalities}
                features = backbone.encode(backbone.assemble({**others, modality: embedded}))
        except Exception as error:  # of whatever library processes it
            said = " ".join(str(error).split())[:300] or type(error).__name__
            raise BackboneError(
                f"the backbone {backbone.reference!r} cannot read {title} as {modality}: {said}; do its weights, "
                "tokenizer and preprocessor belong together?"
            ) from error
        if features.shape != (1, backbone.feature_dim) or not features.isfinite().all():
            raise BackboneError(
                f"the backbone {backbone.reference!r} makes a feature of shape {tuple(features.shape)} of {title} "
                f"({modality}); expected {backbone.feature_dim} finite numbers; are its weights whole?"
            )


def _values(backbone: Backbone) -> dict[str, object]:
    """Returns a value of each modality of which it is known what the backbone takes."""
    values: dict[str, object] = {}
    for modality, kind in backbone.kinds.items():
        if kind == "image":
            values[modality] = np.linspace(0, 255, 40 * 24 * 3).astype(np.uint8).reshape(40, 24, 3)
        elif kind == "text":
            values[modality] = "a long text of words, one after the other. " * 200
        elif kind == "audio":
            values[modality] = _sound(backbone, modality)
        elif kind == "table" and (row := _row(backbone, modality)):
            values[modality] = row
    return values


def _sound(backbone: Backbone, modality: str) -> dict[str, object]:
    encoder = backbone.encoders[modality] if isinstance(backbone, CompositeBackbone) else None
    encoder = getattr(encoder, "inside", encoder)
    rate: int = getattr(encoder, "sampling_rate", 16_000)  # its own: nothing has to be resampled
    return {"array": np.sin(np.arange(rate) / rate * 440 * 2 * np.pi).astype(np.float32), "sampling_rate": rate}


def _row(backbone: Backbone, modality: str) -> Mapping[str, object]:
    if not isinstance(backbone, CompositeBackbone):
        return {}
    part = backbone.composition.modalities[modality]
    if not isinstance(part, TablePart):
        return {"price": 1.5, "colour": "red"}
    numbers: dict[str, object] = {name: float(mean) for name, (mean, _) in part.numbers.items()}
    return {**numbers, **{name: names[0] for name, names in part.categories.items() if names}}
