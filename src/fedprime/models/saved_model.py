"""A model that is saved: what goes out of one, to a folder or the hub, and how it is put together from that again.

What the folder itself may hold, and how its files are checked, is in `fedprime.models.model_folder`.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

from safetensors.torch import save_file
from torch import Tensor, nn

from fedprime.backbones.backbone import Backbone
from fedprime.data.sources import Task
from fedprime.models.hub import upload_folder
from fedprime.models.model_card import CARD
from fedprime.models.model_config import checked_options
from fedprime.models.model_folder import (
    STATISTICS,
    WEIGHTS,
    ModelError,
    broken,
    find_model,
    keep_card,
    load_saved,
    refuse_others,
    write_config_and_card,
)
from fedprime.models.prompts import PROMPTERS, Prompter
from fedprime.models.readout import EvidenceHead, Readout
from fedprime.models.saved_backbone import copy_backbone, describe_backbone, is_copy, read_backbone, saved_reference
from fedprime.reproducibility.atomic_files import replaced_folder
from fedprime.reproducibility.plugins import load_plugin, plugin_names

#: Begins the names of values that a method sends or keeps beside those of the model, which does not load them.
BESIDE_MODEL = "method."

#: What reads the feature: one linear layer; a pooler and one linear layer; a pooler and the paper's classifier; or, of
#: blocks, one linear layer for each (`fedprime.models.readout.EvidenceHead`).
HeadKind = Literal["linear", "pooled", "paper", "evidence"]

#: Kinds of prompters of other packages, by the name that a saved model carries.
_PROMPTER_PLUGINS = "fedprime.prompters"


class SavedModel(nn.Module):
    """A model whose values go out and come in: as tensors, to a folder, to the hub.

    Attributes:
        head: What reads the feature, or blocks; a subclass makes it.
    """

    head: nn.Module

    def __init__(
        self,
        backbone: Backbone,
        prompter: Prompter,
        label_names: Sequence[str],
        task: Task,
        head: HeadKind,
        readout: Readout,
        prompt_layer: int,
    ) -> None:
        super().__init__()
        # A tuple hides the backbone from torch: not a child module, so never listed, moved, trained, saved or sent.
        self._frozen = (backbone,)
        self.prompter = prompter
        self.label_names = tuple(label_names)
        self.task: Task = task
        self.head_kind: HeadKind = head
        self.readout: Readout = readout
        self.prompt_layer = prompt_layer
        #: What is known of the table behind it and its training, as plain values: columns, labels, forms, training.
        self.about: dict[str, Any] = {}

    @property
    def backbone(self) -> Backbone:
        """The frozen backbone."""
        return self._frozen[0]

    def weights(self) -> dict[str, Tensor]:
        """Returns a copy of everything that is trained, in main memory."""
        return {name: value.detach().to("cpu", copy=True) for name, value in self.named_parameters()}

    def lacking(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns values for what heads of earlier versions did not have, as `EvidenceHead.lacking` does."""
        if not isinstance(self.head, EvidenceHead) or all(name in weights for name, _ in self.named_parameters()):
            return {}
        of_head = {name.removeprefix("head."): value for name, value in weights.items()}
        return {f"head.{name}": value for name, value in self.head.lacking(of_head).items()}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Sets everything that is trained; a pool takes the number of prompts that comes.

        Args:
            weights: A value for every parameter, but for those that heads of earlier versions did not have; names that
                begin with `BESIDE_MODEL` are passed over.

        Raises:
            ModelError: If a parameter is missing, unknown, or of another shape.
        """
        own = dict(self.named_parameters())
        weights = {name: value for name, value in weights.items() if not name.startswith(BESIDE_MODEL)}
        weights |= self.lacking(weights)
        problems = [f"{name} is missing" for name in own if name not in weights]
        problems += [f"{name} is unknown" for name in weights if name not in own]
        resizable = {f"prompter.{name}" for name in self.prompter.resizable}
        for name in own.keys() & weights.keys():
            expected, found = tuple(own[name].shape), tuple(weights[name].shape)
            fits = (
                expected[1:] == found[1:] and len(found) > 0 and found[0] > 0
                if name in resizable
                else expected == found
            )
            if not fits:
                shape = ("any", *expected[1:]) if name in resizable else expected
                problems.append(f"{name} has shape {found}, expected {shape}")
        if problems:
            raise ModelError("these weights are not of this model: " + "; ".join(sorted(problems)))
        for name, value in weights.items():
            parameter = own[name]
            # A new tensor, never a view: whoever sent the weights keeps theirs unchanged.
            parameter.data = value.detach().to(parameter.device, parameter.dtype, copy=True)
            parameter.grad = None

    def save_pretrained(
        self,
        folder: str | Path,
        statistics: Mapping[str, Tensor] | None = None,
        texts: Mapping[str, str] = {},
        *,
        standalone: bool = False,
    ) -> None:
        """Writes ``config.json`` and ``model.safetensors``, whole or not at all; an older model there is replaced.

        Args:
            folder: Where to; its parent is made if needed.
            statistics: What is told of the samples behind the model, in a file of its own; nothing if None.
            texts: By name of a file beside, what it says.
            standalone: Whether the backbone is copied in, so that the folder is all that is needed; a copy that is
                there already stays.

        Raises:
            ModelError: If there is anything else, which would be lost.
            BackboneError: If the backbone cannot be copied.
        """
        folder, config, weights = Path(folder), _config(self), self.weights()
        refuse_others(folder)
        with replaced_folder(folder) as beside:
            save_file(weights, beside / WEIGHTS)
            if statistics is not None:
                save_file(dict(statistics), beside / STATISTICS)
            for name, text in texts.items():
                (beside / name).write_text(text, encoding="utf-8")
            if standalone or is_copy(self.backbone, folder):
                config["backbone"]["reference"] = copy_backbone(self.backbone, beside)
            else:
                config["backbone"] |= saved_reference(self.backbone.reference, folder)
            if CARD not in texts:
                keep_card(folder, beside)
            write_config_and_card(beside, config, weights)

    def push_to_hub(
        self,
        name: str,
        *,
        private: bool = False,
        message: str = "Save a model of fedprime",
        texts: Mapping[str, str] = {},
    ) -> str:
        """Saves to the hub, and returns the address; a backbone that lies in files is copied in.

        Which hub and who asks is what its library reads: HF_ENDPOINT, HF_TOKEN or ``hf auth login``, HTTPS_PROXY.
        Statistics of training samples are not sent.

        Args:
            name: ``owner/name``; made if it is not there.
            private: Whether a repository that is made is private.
            texts: By name of a file beside, what it says, such as a model card of one's own.

        Raises:
            HubError: If the hub cannot be reached, or does not let this person.
        """
        with tempfile.TemporaryDirectory(prefix="fedprime-") as temporary:
            folder = Path(temporary) / "model"
            has_files = Path(self.backbone.reference).exists()
            self.save_pretrained(folder, texts=texts, standalone=has_files)
            return upload_folder(folder, name, private=private, message=message)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, backbone: Backbone | str | Path | None = None, device: str = "cpu"
    ) -> Self:
        """Loads a saved model, to predict or to train on.

        Args:
            folder: What `save_pretrained` wrote, or the folder of a finished run, whose shared model is meant, or the
                name of a model on the hub (``owner/name``), which is downloaded once.
            backbone: The frozen backbone, if it is loaded already, or where it lies now; otherwise it is loaded from
                where the model says.
            device: Where to run then, as `load_backbone` takes it.

        Raises:
            ModelError: If the folder holds no model, a broken one, or one of another backbone.
        """
        folder = find_model(folder)
        config, weights = load_saved(folder)
        try:
            saved, label_names, task = config["backbone"], config["label_names"], config["task"]
            kind, options = _prompter_kinds()[config["prompter"]["kind"]], config["prompter"]["options"]
        except (KeyError, TypeError) as error:
            raise broken(folder, error) from error
        if task not in get_args(Task):
            raise broken(folder, ValueError(f"unknown task {task!r}"))
        reading = _reading(config, folder)
        backbone = read_backbone(saved, backbone, device, folder)
        try:
            prompter = kind(backbone.dim, **checked_options(kind, options))
        except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: more memory than there is
            raise broken(folder, error) from error
        model = cls(backbone, prompter, label_names, task, **reading)
        model.load_weights(weights)
        model.about = config.get("about", {})
        return model


def _config(model: SavedModel) -> dict[str, Any]:
    names = {kind: name for name, kind in _prompter_kinds().items()}
    config: dict[str, Any] = {
        "format": 1,
        "task": model.task,
        "label_names": list(model.label_names),
        "backbone": describe_backbone(model.backbone),
        "prompter": {"kind": names[type(model.prompter)], "options": model.prompter.options()},
        "head": model.head_kind,
    }
    if model.readout != "summary":
        config["readout"] = model.readout
    if model.prompt_layer:
        config["prompt_layer"] = model.prompt_layer
    config["about"] = {**model.about, "kinds": dict(model.backbone.kinds)}
    return config


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


def _prompter_kinds() -> dict[str, type[Prompter]]:
    return PROMPTERS | {name: load_plugin(_PROMPTER_PLUGINS, name) for name in plugin_names(_PROMPTER_PLUGINS)}
