"""Frozen pretrained models that prompts are put into."""

from collections.abc import Sequence
from pathlib import Path

from fedprime.backbones.backbone import Backbone
from fedprime.backbones.vilt import ViltBackbone

__all__ = ["SHIPPED", "TINY", "load_backbone"]

#: The name of the tiny ViLT that comes with fedprime; it is loaded like any other checkpoint.
TINY = "tiny"
#: The checkpoints that come with fedprime, by name. The second was pretrained as those of the hub are: by masked words
#: and matching alone, on scenes that have both picture and title.
SHIPPED = {TINY: Path(__file__).parent / "tiny", "tiny-paired": Path(__file__).parent / "tiny_paired"}


def load_backbone(reference: str | Path = TINY, modalities: Sequence[str] = ()) -> Backbone:
    """Loads a frozen backbone.

    Args:
        reference: A name in `SHIPPED`, a folder, or the name of a checkpoint on the hub.
        modalities: What it shall read, in order; nothing named means what it was trained for.

    Raises:
        BackboneError: If there is no such checkpoint or it is broken.
    """
    chosen = tuple(modalities) or ("image", "text")
    name = str(reference)
    if name not in SHIPPED:
        return ViltBackbone.from_pretrained(reference, chosen)
    backbone = ViltBackbone.from_pretrained(SHIPPED[name], chosen)
    backbone.reference = name  # a saved model names it so, not by the place where fedprime is installed
    return backbone
