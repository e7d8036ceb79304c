"""A saved model: what is written of one, and the parts that it is put together from again.

What the folder itself may hold, and how its files are checked, is in `fedprime.models.model_folder`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from safetensors.torch import save_file
from torch import Tensor

from fedprime.backbones import NAMES, load_backbone
from fedprime.backbones.backbone import Backbone
from fedprime.data.sources import Task
from fedprime.models.backbone_copy import copy_backbone, found_reference, is_copy, saved_reference
from fedprime.models.model_card import CARD
from fedprime.models.model_folder import (
    STATISTICS,
    WEIGHTS,
    ModelError,
    broken,
    find_model,
    keep_card,
    load_saved,
    read_about,
    refuse_others,
    write_config_and_card,
)
from fedprime.models.prompts import PROMPTERS, Prompter
from fedprime.models.readout import Readout
from fedprime.reproducibility.atomic_files import replaced_folder
from fedprime.reproducibility.plugins import load_plugin, plugin_names

__all__ = ["HeadKind", "ModelParts", "read_model", "write_model"]

#: What reads the feature: one linear layer; a pooler and one linear layer; a pooler and the paper's classifier; or, of
#: blocks, one linear layer for each (`fedprime.models.readout.EvidenceHead`).
HeadKind = Literal["linear", "pooled", "paper", "evidence"]

#: Kinds of prompters of other packages, by the name that a saved model carries.
_PROMPTER_PLUGINS = "fedprime.prompters"
#: What wraps a backbone to read it in another way, by the name that a saved model carries.
_READING_PLUGINS = "fedprime.readings"


@dataclass(frozen=True)
class ModelParts:
    """What a `fedprime.models.prompted_model.PromptedModel` is put together from, but for its values.

    Attributes:
        backbone: The frozen model.
        prompter: Chooses and holds the prompts.
        label_names: Name of every output, in order.
        task: Whether one class or several labels apply to a sample.
        head: What reads the feature.
        readout: Which blocks the head reads.
        prompt_layer: The layer of the backbone that prompts enter before, from 0.
        about: What is known of the table behind it and its training, as plain values.
    """

    backbone: Backbone
    prompter: Prompter
    label_names: Sequence[str]
    task: Task
    head: HeadKind
    readout: Readout
    prompt_layer: int
    about: Mapping[str, Any]


def write_model(
    folder: Path,
    parts: ModelParts,
    weights: Mapping[str, Tensor],
    statistics: Mapping[str, Tensor] | None,
    texts: Mapping[str, str],
    *,
    standalone: bool,
) -> None:
    """Writes a model whole or not at all; an older one there is replaced.

    Args:
        folder: Where to; its parent is made if needed.
        statistics: What is told of the samples behind it, in a file of its own; nothing if None.
        texts: By name of a file beside, what it says.
        standalone: Whether the backbone is copied in; a copy that is there already stays.

    Raises:
        ModelError: If there is anything else, which would be lost.
        BackboneError: If the backbone cannot be copied.
    """
    refuse_others(folder)
    config = _config(parts)
    with replaced_folder(folder) as beside:
        save_file(dict(weights), beside / WEIGHTS)
        if statistics is not None:
            save_file(dict(statistics), beside / STATISTICS)
        for name, text in texts.items():
            (beside / name).write_text(text, encoding="utf-8")
        if standalone or is_copy(parts.backbone, folder):
            config["backbone"]["reference"] = copy_backbone(parts.backbone, beside)
        else:
            config["backbone"] |= saved_reference(parts.backbone.reference, folder)
        if CARD not in texts:
            keep_card(folder, beside)
        write_config_and_card(beside, config, weights)
        for file in beside.rglob("*"):  # safetensors lets nobody else read what it writes
            if file.is_file():
                file.chmod(beside.stat().st_mode & 0o666)


def _config(parts: ModelParts) -> dict[str, Any]:
    names = {kind: name for name, kind in _prompter_kinds().items()}
    backbone = parts.backbone
    config: dict[str, Any] = {
        "format": 1,
        "task": parts.task,
        "label_names": list(parts.label_names),
        "backbone": {
            "reference": backbone.reference,
            "modalities": list(backbone.modalities),
            "fingerprint": backbone.fingerprint,
        },
        "prompter": {"kind": names[type(parts.prompter)], "options": parts.prompter.options()},
        "head": parts.head,
    }
    if parts.readout != "summary":
        config["readout"] = parts.readout
    if parts.prompt_layer:
        config["prompt_layer"] = parts.prompt_layer
    if backbone.options:
        config["backbone"]["options"] = dict(backbone.options)
    config["backbone"] |= getattr(backbone, "reading", {})
    config["about"] = {**parts.about, "kinds": dict(backbone.kinds)}
    return config


def read_model(
    place: str | Path, backbone: Backbone | str | Path | None, device: str
) -> tuple[ModelParts, dict[str, Tensor]]:
    """Returns a saved model's parts and values.

    Args:
        place: As `fedprime.models.model_folder.find_model` takes it.
        backbone: The frozen backbone, if it is loaded already, or where it lies now; otherwise it is loaded from where
            the model says.

    Raises:
        ModelError: If there is no model, a broken one, or one of another backbone.
    """
    folder = find_model(place)
    config, weights = load_saved(folder)
    try:
        saved, label_names, task = config["backbone"], config["label_names"], config["task"]
        modalities, fingerprint = tuple(saved["modalities"]), saved["fingerprint"]
        reference = saved["reference"]
        kind, options = _prompter_kinds()[config["prompter"]["kind"]], config["prompter"]["options"]
    except (KeyError, TypeError) as error:
        raise broken(folder, error) from error
    if task not in get_args(Task):
        raise broken(folder, ValueError(f"unknown task {task!r}"))
    reading = _reading(config, folder)
    if backbone is None or isinstance(backbone, str | Path):
        source = found_reference(saved, folder) if backbone is None else backbone
        backbone = _load_backbone(saved, source, device, folder)
    backbone = _read_as_saved(backbone, saved, folder)
    if backbone.fingerprint != fingerprint:
        raise ModelError(
            f"the model in {folder} was trained around the backbone {reference!r} with fingerprint {fingerprint}, "
            f"found one with {backbone.fingerprint}; {_way_to_backbone(reference)}"
        )
    if backbone.modalities != modalities:
        raise ModelError(
            f"the model in {folder} was trained around a backbone that reads {', '.join(modalities)}, found one "
            f"that reads {', '.join(backbone.modalities)}; load the backbone with the same modalities in that order"
        )
    try:
        prompter = kind(backbone.dim, **options)
    except TypeError as error:
        raise broken(folder, error) from error
    about = read_about(config, folder)
    return ModelParts(backbone, prompter, label_names, task, **reading, about=about), weights


def _way_to_backbone(reference: str) -> str:
    if reference in NAMES:
        return f"versions of fedprime differ in {reference!r}: use the one that saved the model, or train it again"
    return "load the backbone it was trained with"


def _reading(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Returns what a saved model's head is and reads; models saved before there was a choice do not say."""
    head, readout, layer = config.get("head", "pooled"), config.get("readout", "summary"), config.get("prompt_layer", 0)
    if head not in get_args(HeadKind):
        raise broken(folder, ValueError(f"unknown head {head!r}"))
    if readout not in get_args(Readout) or (readout != "summary" and head != "evidence"):
        raise broken(folder, ValueError(f"a head {head!r} cannot read {readout!r}"))
    if not isinstance(layer, int):
        raise broken(folder, ValueError(f"prompt_layer is {layer!r}"))
    return {"head": head, "readout": readout, "prompt_layer": layer}


def _load_backbone(saved: Mapping[str, Any], source: str | Path, device: str, folder: Path) -> Backbone:
    try:
        return load_backbone(source, tuple(saved["modalities"]), device=device, **saved.get("options", {}))
    except TypeError as error:
        raise broken(folder, error) from error


def _read_as_saved(backbone: Backbone, saved: Mapping[str, Any], folder: Path) -> Backbone:
    """Returns the backbone, wrapped as the model that was saved read it."""
    for name in plugin_names(_READING_PLUGINS):
        if name in saved and not hasattr(backbone, "reading"):
            try:
                backbone = load_plugin(_READING_PLUGINS, name)(backbone, saved[name])
            except (TypeError, ValueError) as error:
                raise broken(folder, error) from error
    return backbone


def _prompter_kinds() -> dict[str, type[Prompter]]:
    return PROMPTERS | {name: load_plugin(_PROMPTER_PLUGINS, name) for name in plugin_names(_PROMPTER_PLUGINS)}
