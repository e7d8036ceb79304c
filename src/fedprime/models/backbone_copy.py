"""A frozen backbone beside the model that was trained around it, so that the folder can go anywhere."""

import shutil
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from fedprime.backbones import SHIPPED
from fedprime.backbones.backbone import Backbone, BackboneError
from fedprime.backbones.composite import CompositeBackbone

__all__ = ["COPY", "copied_reference", "copy_backbone", "is_copy"]

#: The folder beside a model.
COPY = "backbone"


def copy_backbone(backbone: Backbone, folder: Path) -> str:
    """Copies a backbone with all that lies beside it, such as its licence; one that comes with fedprime stays there.

    Args:
        folder: That of the model.

    Returns:
        What the model refers to it by, relative to the folder.

    Raises:
        BackboneError: If its files are not on this machine.
    """
    reference = backbone.reference
    if reference in SHIPPED:
        return reference
    if isinstance(backbone, CompositeBackbone):
        backbone.save_pretrained(folder / COPY)
        return f"./{COPY}"
    place = Path(reference)
    if place.is_file():
        (folder / COPY).mkdir()
        shutil.copyfile(place, folder / COPY / place.name)
        return f"./{COPY}/{place.name}"
    if not place.is_dir():
        try:
            place = Path(snapshot_download(reference, local_files_only=True))
        except (LocalEntryNotFoundError, HfHubHTTPError, ValueError, OSError) as error:
            raise BackboneError(
                f"the backbone {reference!r} is no folder and not in the hub's cache, so it cannot be copied; save the "
                "model without it"
            ) from error
    shutil.copytree(place, folder / COPY, copy_function=shutil.copyfile)
    return f"./{COPY}"


def copied_reference(reference: str, folder: Path) -> str:
    """Returns where a backbone is that a saved model refers to.

    Args:
        folder: That of the model.
    """
    return str(folder / reference) if reference.startswith(f"./{COPY}") else reference


def is_copy(backbone: Backbone, folder: Path) -> bool:
    """Returns whether a backbone was loaded from beside the model of a folder, and would be lost with it."""
    return (folder / COPY).resolve() in (
        Path(backbone.reference).resolve(),
        *Path(backbone.reference).resolve().parents,
    )
