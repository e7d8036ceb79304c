"""The frozen backbone of a saved model: how the model refers to it, takes it along, and has it again."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedprime.backbones import NAMES, SHIPPED, load_backbone
from fedprime.backbones.backbone import Backbone, BackboneError
from fedprime.backbones.composite import CompositeBackbone
from fedprime.models.model_folder import ModelError, broken
from fedprime.reproducibility.plugins import load_plugin, plugin_names

#: How names of files begin that say who made something and under which licence it is.
_NOTICES = ("licen", "notice", "copying", "readme")
#: The folder beside a model.
_COPY = "backbone"
#: What wraps a backbone to read it in another way, by the name that a saved model carries.
_READING_PLUGINS = "fedprime.readings"


def copy_backbone(backbone: Backbone, folder: Path) -> str:
    """Copies a backbone with all that lies beside it, such as its licence; one that comes with fedprime stays there.

    Returns:
        What the model refers to it by, relative to the folder.

    Raises:
        BackboneError: If its files are not on this machine.
    """
    reference = backbone.reference
    if reference in SHIPPED:
        return reference
    if isinstance(backbone, CompositeBackbone):
        backbone.save_pretrained(folder / _COPY)
        if reference not in NAMES:
            for part, place in backbone.places().items():
                _copy_notices(place, folder / _COPY / part)
        return f"./{_COPY}"
    place = Path(reference)
    if place.is_file():
        (folder / _COPY).mkdir()
        shutil.copyfile(place, folder / _COPY / place.name)
        return f"./{_COPY}/{place.name}"
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
    shutil.copytree(place, folder / _COPY, copy_function=shutil.copyfile)
    return f"./{_COPY}"


def _copy_notices(place: Path, folder: Path) -> None:
    """Copies what says who made the files of a place and under which licence they are, if that is told there."""
    for file in place.iterdir():
        if file.is_file() and file.name.lower().startswith(_NOTICES) and not (folder / file.name).exists():
            shutil.copyfile(file, folder / file.name)


def saved_reference(reference: str, folder: Path) -> dict[str, str]:
    """Returns how a saved model refers to a backbone that stays where it is.

    Files are named relative to the model, so that both can be moved together; where they lay is said as well, so that
    the model can be moved alone.
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


def is_copy(backbone: Backbone, folder: Path) -> bool:
    """Returns whether a backbone was loaded from beside the model of a folder, and would be lost with it."""
    return (folder / _COPY).resolve() in (
        Path(backbone.reference).resolve(),
        *Path(backbone.reference).resolve().parents,
    )


def describe_backbone(backbone: Backbone) -> dict[str, Any]:
    """Returns what a saved model says of its backbone, wherever that lies."""
    described = {
        "reference": backbone.reference,
        "modalities": list(backbone.modalities),
        "fingerprint": backbone.fingerprint,
    }
    if backbone.options:
        described["options"] = dict(backbone.options)
    return described | getattr(backbone, "reading", {})


def read_backbone(saved: Mapping[str, Any], given: Backbone | str | Path | None, device: str, folder: Path) -> Backbone:
    """Returns the backbone of a saved model.

    Args:
        saved: What `describe_backbone` returned, with its place as `saved_reference` or `copy_backbone` says it.
        given: The backbone, if it is loaded already, or where it lies now.
        folder: That of the model.

    Raises:
        ModelError: If it is another than the model was trained around.
    """
    try:
        modalities, fingerprint, reference = tuple(saved["modalities"]), saved["fingerprint"], saved["reference"]
    except (KeyError, TypeError) as error:
        raise broken(folder, error) from error
    if given is None or isinstance(given, str | Path):
        source = _found_reference(saved, folder) if given is None else given
        try:
            given = load_backbone(source, modalities, device=device, **saved.get("options", {}))
        except TypeError as error:
            raise broken(folder, error) from error
    backbone = _read_as_saved(given, saved, folder)
    if backbone.fingerprint != fingerprint:
        remedy = (
            f"versions of fedprime differ in {reference!r}: use the one that saved the model, or train it again"
            if reference in NAMES
            else "load the backbone it was trained with"
        )
        raise ModelError(
            f"the model in {folder} was trained around the backbone {reference!r} with fingerprint {fingerprint}, "
            f"found one with {backbone.fingerprint}; {remedy}"
        )
    if backbone.modalities != modalities:
        raise ModelError(
            f"the model in {folder} was trained around a backbone that reads {', '.join(modalities)}, found one "
            f"that reads {', '.join(backbone.modalities)}; load the backbone with the same modalities in that order"
        )
    return backbone


def _read_as_saved(backbone: Backbone, saved: Mapping[str, Any], folder: Path) -> Backbone:
    """Returns the backbone, wrapped as the model that was saved read it."""
    for name in plugin_names(_READING_PLUGINS):
        if name in saved and not hasattr(backbone, "reading"):
            try:
                backbone = load_plugin(_READING_PLUGINS, name)(backbone, saved[name])
            except (TypeError, ValueError) as error:
                raise broken(folder, error) from error
    return backbone


def _found_reference(saved: Mapping[str, Any], folder: Path) -> str:
    """Returns where a backbone is that a saved model refers to."""
    reference = str(saved["reference"])
    if not reference.startswith(("./", "../")):
        return reference  # a name, or a place that earlier versions saved
    # Without the way through the folder, which need not last as long as the backbone does.
    near = os.path.normpath(folder.resolve() / reference)
    return near if Path(near).exists() or "found_at" not in saved else str(saved["found_at"])
