"""Frozen pretrained models that prompts are put into."""

from collections.abc import Sequence
from pathlib import Path

from fedprime.backbones import composite_file
from fedprime.backbones.backbone import Backbone, BackboneError
from fedprime.backbones.checkpoint_reading import read_model_type, reading_checkpoint
from fedprime.backbones.composite import CompositeBackbone
from fedprime.backbones.computation import Computation, choose_device
from fedprime.backbones.precision import Precision, check_precision
from fedprime.backbones.small import SMALL, load_small
from fedprime.backbones.trial import try_backbone
from fedprime.backbones.vilt import ViltBackbone
from fedprime.reproducibility.errors import nearest_name
from fedprime.reproducibility.plugins import PluginError, load_plugin, plugin_names, plugin_package

__all__ = ["NAMES", "SHIPPED", "SMALL", "TINY", "backbone_plugin", "load_backbone"]

#: The group of entry points by which other packages register backbones.
_GROUP = "fedprime.backbones"

#: The name of the tiny ViLT that comes with fedprime; it is loaded like any other checkpoint.
TINY = "tiny"
#: The checkpoints that come with fedprime, by name. The second was pretrained as those of the hub are: by masked words
#: and matching alone, on scenes that have both picture and title.
SHIPPED = {TINY: Path(__file__).parent / "tiny", "tiny-paired": Path(__file__).parent / "tiny_paired"}
#: All names that mean a backbone by themselves, wherever they are used.
NAMES = (*SHIPPED, SMALL)

# Kinds of references, beside those of dual encoders.
_VILT, _COMPOSITE = "vilt", "composite"


def load_backbone(
    reference: str | Path = TINY,
    modalities: Sequence[str] = (),
    max_text_tokens: int = 0,
    precision: Precision = "float32",
    device: str = "cpu",
    *,
    kinds: str = "",
    activation_checkpointing: bool = False,
) -> Backbone:
    """Loads a frozen backbone, and tries it once; which class it needs is decided by the checkpoint's configuration.

    One in `NAMES` has weights that are known, which tests try: that is not done again for every answer.

    Args:
        reference: A name in `NAMES`, the folder of a checkpoint or of a composite, the name of a checkpoint on the
            hub, the ``.ckpt`` file of an original ViLT, or a name that an installed package registers, alone or with
            whatever it expects after a colon, as ``"name:large"``.
        modalities: What it shall read, in order; nothing named means what it was trained for.
        max_text_tokens: As many word pieces of a text are read; 0 for as many as the model was trained for.
        precision: What the frozen transformer computes with; "auto" is bfloat16 where the device multiplies it faster,
            for a ViLT at least 256 wide. All others compute with float32.
        device: Where it runs, as `choose_device` takes it.
        kinds: Of "small", what each modality is (see `load_small`), with commas between them; others know it.
        activation_checkpointing: Whether its layers are computed again for gradients instead of being kept: less
            memory, more time, the same result.

    Raises:
        BackboneError: If there is no such checkpoint, it is broken, of a kind that no backbone is for, cannot compute
            with that precision, or there is no such device.
    """
    check_precision(precision)
    computation = Computation(precision, choose_device(device), activation_checkpointing)
    backbone = _load(reference, modalities, max_text_tokens, computation, kinds)
    if str(reference) not in NAMES:
        try_backbone(backbone)
    return backbone


def _load(
    reference: str | Path, modalities: Sequence[str], max_text_tokens: int, computation: Computation, kinds: str
) -> Backbone:
    plugin = backbone_plugin(str(reference))
    if plugin:
        return _of_package(plugin, str(reference), modalities, max_text_tokens, computation)
    if max_text_tokens < 0 or max_text_tokens == 1:
        raise BackboneError(f"max_text_tokens is {max_text_tokens}; expected at least 2, or 0 for as many as trained")
    name, place = str(reference), SHIPPED.get(str(reference), reference)
    kind = SMALL if name == SMALL else _VILT if name in SHIPPED else _kind_of(place)
    if kind != _VILT and max_text_tokens:
        raise BackboneError(f"max_text_tokens is {max_text_tokens}; {name!r} reads as much as it was trained for")
    if kind != _VILT and computation.precision == "bfloat16":
        raise BackboneError(f"precision is bfloat16, in which only a ViLT can compute; {name!r} needs auto or float32")
    if kind == _VILT:
        chosen = tuple(modalities) or ("image", "text")
        if name in SHIPPED:
            backbone = ViltBackbone.shipped(SHIPPED[name], chosen, max_text_tokens, computation)
        else:
            backbone = ViltBackbone.from_pretrained(place, chosen, max_text_tokens, computation)
        backbone.reference = name  # a saved model names it so, not by the place where fedprime is installed
        return backbone
    if kind == SMALL:
        return load_small(modalities, kinds.split(",") if kinds else (), computation)
    if kind == _COMPOSITE:
        return CompositeBackbone.from_pretrained(place, modalities, computation)
    from fedprime.backbones.dual_encoder import DualEncoderBackbone

    return DualEncoderBackbone.from_pretrained(reference, tuple(modalities) or ("image", "text"), computation)


def backbone_plugin(reference: str) -> str:
    """Returns the name by which an installed package registers the backbone of a reference; empty if none does."""
    name = reference.partition(":")[0]
    return name if name in plugin_names(_GROUP) and reference not in NAMES and not Path(reference).exists() else ""


def _of_package(
    name: str, reference: str, modalities: Sequence[str], max_text_tokens: int, computation: Computation
) -> Backbone:
    """Loads a backbone of an installed package, which is called with reference, modalities and computation."""
    package = plugin_package(_GROUP, name)
    if max_text_tokens:
        raise BackboneError(f"max_text_tokens is {max_text_tokens}; {name!r} of {package} reads as much as it wants to")
    try:
        backbone = load_plugin(_GROUP, name)(reference, tuple(modalities), computation)
    except PluginError as error:
        raise BackboneError(f"{error}") from error
    if not isinstance(backbone, Backbone) or backbone.reference != reference:
        raise BackboneError(
            f"{name!r} of {package} gave {backbone!r}; expected a backbone whose reference is {reference!r}, by which "
            "a saved model finds it again"
        )
    return backbone


def _kind_of(place: str | Path) -> str:
    if (Path(place) / composite_file.FILE).is_file():
        return _COMPOSITE
    if Path(place).is_file():
        return _VILT
    names = (*NAMES, *plugin_names(_GROUP))
    if "/" not in str(place) and not Path(place).exists() and (meant := nearest_name(str(place), names)):
        raise BackboneError(f"there is no backbone {str(place)!r}{meant}")  # the hub, asked for it, takes half a minute
    expected = "a folder with config.json, model.safetensors and what else belongs to them"
    with reading_checkpoint(
        place, f"{', '.join(names)}, a name of a package that may have to be installed, {expected}"
    ):
        kind = read_model_type(place)
    if kind == _VILT:
        return kind
    from fedprime.backbones.dual_encoder import MODEL_TYPES

    possible = (_VILT, *MODEL_TYPES)
    if kind not in possible:
        raise BackboneError(
            f"{str(place)!r} is a checkpoint of the kind {kind!r}; prompts can enter those of {', '.join(possible)}; "
            f"any other can be named in the {composite_file.FILE} of a composite, as an encoder"
        )
    return kind
