"""The backbone for real files: small pretrained encoders of texts and images, beside what reads sounds and tables."""

from collections.abc import Mapping, Sequence

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.composite import CompositeBackbone, JointLayers
from fedprime.backbones.composite_file import Composition, HashedTablePart, LogMelPart, Part, PretrainedPart
from fedprime.backbones.computation import PLAIN, Computation
from fedprime.backbones.efficientnet_lite import EfficientNetLite
from fedprime.backbones.encoder import Encoder, PooledEncoder
from fedprime.backbones.hashed_table import HashedTable
from fedprime.backbones.log_mel import LogMel
from fedprime.backbones.minilm import MAX_TOKENS, MiniLM
from fedprime.backbones.small_weights import MINILM, efficientnet_file

__all__ = ["SMALL", "load_small"]

#: Its name.
SMALL = "small"

_SOUND = LogMelPart("log_mel")
#: By kind of modality, how it is read.
_PARTS: Mapping[str, Part] = {
    "image": PretrainedPart("efficientnet_lite0", "efficientnet-lite0"),
    "text": PretrainedPart("text_model", MINILM, MAX_TOKENS),
    "audio": _SOUND,
    "table": HashedTablePart("hashed_table"),
}
_ALSO = {"numbers": "table"}


def load_small(
    modalities: Sequence[str], kinds: Sequence[str] = (), computation: Computation = PLAIN
) -> CompositeBackbone:
    """Puts the backbone together for the modalities of some data.

    It is a composite in which each modality is one token, under joint layers drawn from a seed, and images and sounds
    have their shapes beside. Nothing of it is fitted to data: everybody who reads the same modalities has the same
    backbone.

    Args:
        kinds: What each is: image, text, audio, table or numbers; none means that each is what its name says.

    Raises:
        BackboneError: If nothing is to be read or a kind is unknown, or weights are not on this machine.
    """
    found = dict(zip(modalities, kinds or modalities, strict=True))
    named = {modality: _ALSO.get(kind, kind) for modality, kind in found.items()}
    unknown = [modality for modality, kind in named.items() if kind not in _PARTS]
    if unknown or not named:
        raise BackboneError(
            f"the backbone {SMALL!r} reads {', '.join(_PARTS)}; it does not know what "
            f"{', '.join(unknown) or 'to read'} is; name modalities and their kinds"
        )
    parts = {modality: _PARTS[kind] for modality, kind in named.items()}
    composition = Composition(parts, dim=384, num_layers=1, num_heads=6, pooled=True, shapes=True)
    by_kind = {
        kind: PooledEncoder(_load(kind, computation), shapes=composition.shapes)
        for kind in dict.fromkeys(named.values())
    }
    encoders = {modality: by_kind[kind] for modality, kind in named.items()}
    joint = JointLayers(composition, encoders)
    backbone = CompositeBackbone(composition, encoders, joint, SMALL, tuple(named), computation)
    backbone.options = {"kinds": ",".join(found.values())}
    return backbone


def _load(kind: str, computation: Computation) -> Encoder:
    if kind == "table":
        return HashedTable()
    if kind == "audio":
        parts = _SOUND
        return LogMel(parts.sampling_rate, parts.num_bands, parts.frames_per_token, parts.max_seconds)
    encoder = EfficientNetLite.from_pretrained(efficientnet_file()) if kind == "image" else MiniLM.load()
    encoder.to(computation.device)
    return encoder
