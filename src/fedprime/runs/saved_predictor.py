"""What a predictor says beside its model, in ``predictor.json``, or else what the model says of its own columns."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedprime.backbones.backbone import Backbone
from fedprime.methods.method import Method
from fedprime.models.model_folder import ModelError
from fedprime.models.prompted_model import PromptedModel
from fedprime.reproducibility.errors import counted
from fedprime.reproducibility.strict_json import read_json

#: The file's name.
PREDICTOR = "predictor.json"


def predictor_text(known: Mapping[str, Any]) -> str:
    """Returns the content of the file.

    Args:
        known: As `read_known` returns it; what is left out is read from the model again. Methods and backbones of
            one's own are not written.
    """
    given = known.get("parameters", {})
    kept = {name: value for name, value in given.items() if not isinstance(value, Backbone | Method)}
    return json.dumps({**known, "parameters": kept} if given else known, indent=2, default=list) + "\n"


def read_known(folder: Path, model: PromptedModel) -> dict[str, Any]:
    """Returns what a saved predictor knows of its frame.

    Raises:
        ModelError: If the file is broken, or there is none and the model was not trained on a table.
    """
    about, said = model.about, {}
    if (folder / PREDICTOR).is_file():
        try:
            said = read_json(folder / PREDICTOR)
            said |= {"parameters": dict(said["parameters"])} if "parameters" in said else {}
        except (ValueError, TypeError) as error:
            raise ModelError(f"{folder / PREDICTOR} is broken ({error!r}); save the predictor again") from error
    elif not about.get("columns") or not about.get("labels"):
        raise ModelError(f"the model in {folder} names no columns of a table; predict by predict_samples")
    labels, columns = list(about.get("labels", [])), list(about.get("columns", []))
    known: dict[str, Any] = {
        "parameters": {"label": labels[0] if len(labels) == 1 else labels, "columns": columns},
        "columns": columns,
        "label": labels,
        "several_labels": model.task == "several_labels" and len(labels) == 1,
        "forms": about.get("forms", {}),
        "classes": list(model.label_names),
        "results": {"scenarios": about.get("training", {}).get("scores", {})},
        **said,
    }
    if not isinstance(known["classes"], list) or len(known["classes"]) != len(model.label_names):
        expected = f"expected names for {counted(len(model.label_names), 'label')}"
        raise ModelError(f"{folder / PREDICTOR} is broken (classes: {expected}); save the predictor again")
    given = known["parameters"].items()
    known["parameters"] = {name: tuple(own) if isinstance(own, list) else own for name, own in given}
    return known


def as_classes(labels: Sequence[object]) -> np.ndarray:
    """Returns labels as they stood in a frame: of one type, or of several as they are.

    >>> as_classes([0, 1]).dtype.kind, as_classes(["0", 1]).dtype.kind
    ('i', 'O')
    """
    return np.array(labels, dtype=None if len({type(label) for label in labels}) == 1 else object)
