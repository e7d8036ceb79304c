"""A Space for the hub: an app of gradio, with a model in it that needs nothing else."""

import json
import logging
from importlib.metadata import version
from pathlib import Path

from fedprime.models.model_folder import ModelError
from fedprime.models.prompted_model import PromptedModel
from fedprime.reproducibility.atomic_files import replaced_folder
from fedprime.reproducibility.markdown import markdown_escaped

_logger = logging.getLogger(__name__)

_UNRELEASED = (
    "requirements.txt asks for fedprime {}, which is no release, so that no index of packages has it: before the Space "
    "is pushed, name a released version there, or where this one can be fetched, as fedprime @ git+https://..."
)
_APP = '''"""Try a model of fedprime: whatever is left empty is missing."""

import json
from pathlib import Path

import gradio

import fedprime
from fedprime.data.sets.table.options import stated_columns
from fedprime.models.explanation import explain

HERE = Path(__file__).parent
MODEL = fedprime.PromptedModel.from_pretrained(HERE / "model")
KINDS = dict(MODEL.backbone.kinds)


def component(name, kind):
    """Returns what a modality is given by."""
    if kind == "image":
        return gradio.Image(type="numpy", label=name)
    if kind == "audio":
        return gradio.Audio(type="numpy", label=name)
    hints = {"text": "", "numbers": "numbers with spaces between them", "table": example_row(name)}
    return gradio.Textbox(label=name, placeholder=hints[kind], lines=2)


def example_row(name):
    """Returns how a row is given: an object of JSON, with the columns of training where the model knows them."""
    forms = MODEL.about.get("forms", {"column": "number", "other": "category"})
    columns = dict(stated_columns(word, forms) for word in MODEL.about.get("columns", [])).get(name, [*forms])
    return json.dumps({column: 3.5 if forms.get(column) == "number" else "a word" for column in columns})


def raw_value(value, kind):
    """Returns what the model takes for what a component gives."""
    if kind == "audio":
        rate, samples = value
        scale = float(2 ** (8 * samples.dtype.itemsize - 1)) if samples.dtype.kind == "i" else 1.0
        return {"array": (samples / scale).astype("float32").T, "sampling_rate": rate}
    if kind == "numbers":
        return [float(word) for word in value.split()]
    return read_row(value) if kind == "table" else value


def read_row(value):
    """Returns the cells by column."""
    try:
        row = json.loads(value)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise ValueError(repr(value[:100]) + ' is no row; expected cells by column, as {"column": 3.5}')
    return row


def is_empty(value):
    """Says whether nothing was given; an array of a photo compares to nothing."""
    return value is None or (isinstance(value, str) and not value.strip())


def predict(*values):
    """Returns the probabilities with all that is there, and the answer of every subset."""
    given = {name: value for name, value in zip(KINDS, values, strict=True) if not is_empty(value)}
    try:
        sample = {name: raw_value(value, KINDS[name]) for name, value in given.items()}
        answers = explain(MODEL, sample)
    except ValueError as error:
        raise gradio.Error(str(error)) from error
    rows = [[" + ".join(own["present"]), own["label"], round(own["probabilities"][own["label"]], 3)] for own in answers]
    return answers[0]["probabilities"], rows


app = gradio.Interface(
    predict,
    [component(name, kind) for name, kind in KINDS.items()],
    [
        gradio.Label(num_top_classes=5, label="answer"),
        gradio.Dataframe(headers=["from", "answer", "probability"], label="of every subset"),
    ],
    title=TITLE,
    description="Leave out whatever is missing: the model answers from the rest.",
    flagging_mode="never",
)

if __name__ == "__main__":
    app.launch()
'''


def export_space(model: PromptedModel, folder: Path) -> None:
    """Writes app.py, requirements.txt, README.md with the metadata of a Space, and the model with its backbone.

    Args:
        folder: Must not be there yet.

    Raises:
        ModelError: If there is something at `folder`.
        BackboneError: If the backbone cannot be copied.
    """
    if folder.exists():
        raise ModelError(f"{folder} exists already and is not overwritten; name another folder with --export")
    names = ", ".join(" ".join(name.split()) for name in model.label_names[:3])
    title = f"{names}{' ...' if len(model.label_names) > 3 else ''}"
    head = {"title": title[:60], "sdk": "gradio", "app_file": "app.py", "tags": ["fedprime", "missing-modality"]}
    ours = version("fedprime")
    remark = _UNRELEASED.format(ours) if "dev" in ours or "+" in ours else ""
    with replaced_folder(folder, overwrites=False) as beside:
        model.save_pretrained(beside / "model", standalone=True)
        (beside / "app.py").write_text(_APP.replace("TITLE", json.dumps(title)), encoding="utf-8")
        (beside / "requirements.txt").write_text(f"fedprime=={ours}\ngradio>=5,<7\n")
        lines = "\n".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items())
        (beside / "README.md").write_text(
            f"---\n{lines}\n---\n\n# {markdown_escaped(title)}\n\n"
            "What the model is: [model/README.md](model/README.md).\n" + (f"\n{remark}\n" if remark else ""),
            encoding="utf-8",
        )
    if remark:
        _logger.warning("%s: %s", folder, remark)
