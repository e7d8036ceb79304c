"""A frozen backbone beside the model that was trained around it, so that the folder can go anywhere."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedprime.backbones import NAMES, SHIPPED
from fedprime.backbones.backbone import Backbone, BackboneError
from fedprime.backbones.composite import CompositeBackbone

__all__ = ["COPY", "copy_backbone", "found_reference", "is_copy", "saved_reference"]

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
        from huggingface_hub import snapshot_download  # slow to import
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        try:
            place = Path(snapshot_download(reference, local_files_only=True))
        except (LocalEntryNotFoundError, HfHubHTTPError, ValueError, OSError) as error:
            raise BackboneError(
                f"the backbone {reference!r} is no folder and not in the hub's cache, so it cannot be copied; save the "
                "model without it"
            ) from error
    shutil.copytree(place, folder / COPY, copy_function=shutil.copyfile)
    return f"./{COPY}"


def saved_reference(reference: str, folder: Path) -> dict[str, str]:
    """Returns how a saved model refers to a backbone that stays where it is.

    Files are named relative to the model, so that both can be moved together; where they lay is said as well, so that
    the model can be moved alone.

    Args:
        folder: That of the model.
    """
    place = Path(reference)
    if reference in NAMES or not place.exists():
        return {"reference": reference}
    absolute = place.resolve() if place.is_dir() else place.parent.resolve() / place.name
    try:
        relative = os.path.relpath(absolute, folder.resolve())
    except ValueError:  # on another drive
        return {"reference": str(absolute)}
    return {"reference": Path(relative).as_posix(), "found_at": str(absolute)}


def found_reference(saved: Mapping[str, Any], folder: Path) -> str:
    """Returns where a backbone is that a saved model refers to.

    Args:
        saved: What `saved_reference` returned, or `copy_backbone` under ``reference``.
        folder: That of the model.
    """
    reference = str(saved["reference"])
    if not reference.startswith(("./", "../")):
        return reference  # a name, or a place that earlier versions saved
    # Without the way through the folder, which need not last as long as the backbone does.
    near = os.path.normpath(folder.resolve() / reference)
    return near if Path(near).exists() or "found_at" not in saved else str(saved["found_at"])


def is_copy(backbone: Backbone, folder: Path) -> bool:
    """Returns whether a backbone was loaded from beside the model of a folder, and would be lost with it."""
    return (folder / COPY).resolve() in (
        Path(backbone.reference).resolve(),
        *Path(backbone.reference).resolve().parents,
    )
