"""The backbone for real files: small pretrained encoders of texts and images, beside what reads sounds and tables."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.composite import CompositeBackbone, JointLayers
from fedprime.backbones.composite_file import (
    Composition,
    HashedTablePart,
    LogMelPart,
    Part,
    PretrainedPart,
    VectorsPart,
    load_encoder,
)
from fedprime.backbones.computation import PLAIN, Computation
from fedprime.backbones.efficientnet_lite import EfficientNetLite
from fedprime.backbones.encoder import Encoder, PooledEncoder
from fedprime.backbones.minilm import MAX_TOKENS, MiniLM
from fedprime.backbones.small_weights import MINILM, efficientnet_file

#: Its name.
SMALL = "small"

#: By kind of modality, how it is read.
_PARTS: Mapping[str, Part] = {
    "image": PretrainedPart("efficientnet_lite0", "efficientnet-lite0"),
    "text": PretrainedPart("text_model", MINILM, MAX_TOKENS),
    "audio": LogMelPart("log_mel"),
    "table": HashedTablePart("hashed_table"),
    "wide table": HashedTablePart("hashed_table", is_wide=True),
    "numbers": HashedTablePart("hashed_table", reads="numbers"),
    "wide numbers": HashedTablePart("hashed_table", is_wide=True, reads="numbers"),
}
_VECTORS = re.compile(r"([1-9]\d{0,3}) numbers")


def load_small(
    modalities: Sequence[str], kinds: Sequence[str] = (), computation: Computation = PLAIN
) -> CompositeBackbone:
    """Puts the backbone together for the modalities of some data.

    It is a composite in which each modality is one token, under joint layers drawn from a seed, and images and sounds
    have their shapes beside. Nothing of it is fitted to data: everybody who reads the same modalities has the same
    backbone.

    Args:
        kinds: What each is: image, text, audio, table or numbers; of more than about a hundred columns "wide table" or
            "wide numbers"; arrays that all have 768 numbers are "768 numbers". None means that each is what its name
            says.

    Raises:
        BackboneError: If nothing is to be read or a kind is unknown, or weights are not on this machine.
    """
    found = dict(zip(modalities, kinds or modalities, strict=True))
    parts = {modality: _part(kind) for modality, kind in found.items()}
    unknown = [modality for modality, part in parts.items() if part is None]
    if unknown or not parts:
        raise BackboneError(
            f"the backbone {SMALL!r} reads {', '.join(_PARTS)}; it does not know what "
            f"{', '.join(unknown) or 'to read'} is; name modalities and their kinds"
        )
    read = {modality: part for modality, part in parts.items() if part is not None}
    composition = Composition(read, dim=384, num_layers=1, num_heads=6, pooled=True, shapes=True)
    by_part = {part: PooledEncoder(_load(part, computation), shapes=True) for part in dict.fromkeys(read.values())}
    encoders = {modality: by_part[part] for modality, part in read.items()}
    joint = JointLayers(composition, encoders)
    backbone = CompositeBackbone(composition, encoders, joint, SMALL, tuple(read), computation)
    backbone.options = {"kinds": ",".join(found.values())}
    return backbone


def _part(kind: str) -> Part | None:
    """Returns how a kind is read; None if it is unknown."""
    size = _VECTORS.fullmatch(kind)
    return VectorsPart("vectors", int(size[1])) if size else _PARTS.get(kind)


def _load(part: Part, computation: Computation) -> Encoder:
    if not isinstance(part, PretrainedPart):
        return load_encoder(part, Path())
    is_image = part == _PARTS["image"]
    encoder = EfficientNetLite.from_pretrained(efficientnet_file()) if is_image else MiniLM.load()
    encoder.to(computation.device)
    return encoder
