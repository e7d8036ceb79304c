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
    return json.dumps({**known, "parameters": kept} if given else known, indent=2, default=_plain) + "\n"


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


def _plain(value: Any) -> object:
    return value.item() if isinstance(value, np.generic) else str(value) if isinstance(value, Path) else list(value)


def as_classes(labels: Sequence[object], *, is_sorted: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels as they stood in a frame, of one type or of several as they are, and which of `labels` each is.

    Args:
        is_sorted: Whether they are sorted as NumPy sorts them, if they are of one type: what scikit-learn measures
            takes their probabilities to be in that order.

    >>> as_classes(["9", "10"])
    (array(['10', '9'], dtype='<U2'), array([1, 0]))
    >>> as_classes(["0", 1])
    (array(['0', 1], dtype=object), array([0, 1]))
    """
    one_type = len({type(label) for label in labels}) == 1
    classes = np.array(labels, dtype=None if one_type else object)
    order = classes.argsort() if one_type and is_sorted else np.arange(len(labels))
    return classes[order], order


def as_json(labels: Sequence[object], names: Sequence[str]) -> list[object]:
    """Returns labels as JSON has them, by their names where it has no words for them, as for dates.

    >>> from datetime import date
    >>> as_json([True, date(2024, 1, 31)], ["True", "2024-01-31"])
    [True, '2024-01-31']
    """
    plain = bool | int | float | str
    return [own if isinstance(own, plain) else name for own, name in zip(labels, names, strict=True)]
