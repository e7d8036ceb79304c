"""The model card of a saved model: what a person has to know before using it, and metadata for hubs.

A card ends with the digest of what stands above it, so that one that a person has edited is known and kept.

Source: Mitchell et al. Model Cards for Model Reporting. FAT* 2019, for what a card says; the documentation of the hub
of Hugging Face, for its metadata.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from fedprime.data.sets.table.options import stated_columns
from fedprime.reproducibility.errors import counted
from fedprime.reproducibility.markdown import markdown_rows

CARD = "README.md"

_SEAL = re.compile(r"\n<!-- sha256 of the card: ([0-9a-f]{64}); a card that was edited is kept -->\n\Z")
_MOST_LABELS = 40  # whose frequencies are listed
_SCORES = {
    "accuracy": "accuracy, %",
    "macro_f1": "macro-F1, %",
    "micro_f1": "micro-F1, %",
    "auroc": "AUROC, %",
    "loss": "loss",
    "num_samples": "samples",
}
_PIPELINES = {"image": "image-classification", "text": "text-classification", "audio": "audio-classification"}


def is_untouched(text: str) -> bool:
    """Returns whether a card is as `model_card` wrote it."""
    found = _SEAL.search(text)
    return found is not None and found[1] == _digest(text[: found.start()])


def model_card(config: Mapping[str, Any], weights: Mapping[str, Tensor], *, tells_statistics: bool) -> str:
    """Returns the card of a model.

    Args:
        config: What its ``config.json`` says. Under ``about``, ``training`` may have: method, rounds, num_clients,
            num_samples, missing (by modality, the share of samples), scores (by scenario, accuracy and so on),
            privacy, is_centralized, and what was sent: sent_up (by part of the model, bytes), sent_bytes per client and
            round.
        tells_statistics: Whether sums over the training samples lie beside the model.
    """
    about = config.get("about", {})
    training = about.get("training", {})
    several = config["task"] == "several_labels"
    sections = {
        "What it reads": _inputs(config, about),
        "Labels" if several else "Classes": _labels(config, weights),
        "Scores": _scores(training),
        "What was missing in training": _missing(training),
        "What left a site": _sent(training, tells_statistics),
        "Use": _use(about.get("kinds", {}), len(config["label_names"]), several=several),
    }
    body = "\n".join(f"## {title}\n\n{text}\n" for title, text in sections.items() if text)
    title = _plain((", " if several else " or ").join(_few(config["label_names"], 3)))
    text = f"{_metadata(config, about)}\n# {title}\n\n{_origin(config, training)}\n\n{body}"
    return f"{text}\n<!-- sha256 of the card: {_digest(text)}; a card that was edited is kept -->\n"


def _metadata(config: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Returns the head in YAML, whose values are written as JSON, which is YAML as well."""
    modalities, reference = config["backbone"]["modalities"], config["backbone"]["reference"]
    training = about.get("training", {})
    kinds = [about.get("kinds", {}).get(name, name) for name in modalities]
    lines: dict[str, Any] = {
        "library_name": "fedprime",
        "tags": ["federated-learning", "missing-modality", "multimodal", "prompt-tuning"],
    }
    if len(kinds) == 1 and kinds[0] in _PIPELINES:
        lines["pipeline_tag"] = _PIPELINES[kinds[0]]
    if re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", reference):
        lines["base_model"] = reference
    known = {
        "modalities": modalities,
        "columns": about.get("columns"),
        "classes": config["label_names"],
        "missing_rates": training.get("missing"),
        "scores": {name: own.get("accuracy", own.get("macro_f1")) for name, own in training.get("scores", {}).items()},
        "privacy": training.get("privacy"),
    }
    written = [f"{name}: {_yaml(value)}" for name, value in lines.items()]
    written += ["fedprime:", *(f"  {name}: {_yaml(value)}" for name, value in known.items() if value)]
    return "\n".join(["---", *written, "---", ""])


def _origin(config: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    reference = config["backbone"]["reference"]
    name = Path(reference).name if "found_at" in config["backbone"] or Path(reference).is_absolute() else reference
    where = f"around the frozen backbone `{_plain(name)}`"
    if "method" not in training:
        return f"A model of fedprime {where}."
    rounds = counted(training["rounds"], "round") if "rounds" in training else "some rounds"
    people = counted(training["num_clients"], "client") if "num_clients" in training else "clients"
    samples = f", who had {training['num_samples']:,} samples" if "num_samples" in training else ""
    together = "whose samples were brought together" if training.get("is_centralized") else "without sharing samples"
    return (
        f"Trained by `{_plain(training['method'])}` over {rounds} at "
        f"{people}{samples}, {together}, {where}. It predicts from whatever is there of a sample."
    )


def _inputs(config: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    columns = dict(map(stated_columns, about.get("columns", [])))
    kinds = about.get("kinds", {})
    rows = [
        [name, kinds.get(name, "not told"), ", ".join(columns.get(name, ["any"]))]
        for name in config["backbone"]["modalities"]
    ]
    text = _table(["modality", "kind", "columns of the table"], rows)
    if about.get("labels"):
        text += f"\n\nLabels stood in: {_plain(', '.join(about['labels']))}."
    return text


def _labels(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    names = config["label_names"]
    log_prior = weights.get("head.log_prior")
    if log_prior is None:
        known = "How frequent they were in training is part of the scores, and cannot be told or changed."
        return f"{len(names)}: {_plain(', '.join(_few(names, _MOST_LABELS)))}\n\n{known}"
    several = config["task"] == "several_labels"
    shares = (log_prior.double().sigmoid() if several else log_prior.double().softmax(dim=0)).tolist()
    pairs = list(zip(names, shares, strict=True))
    more = f"\n\nand {len(names) - _MOST_LABELS} more" if len(names) > _MOST_LABELS else ""
    rows = [[name, f"{share:.1%}"] for name, share in pairs[:_MOST_LABELS]]
    return (
        f"{_table(['name', 'share in training'], rows)}{more}\n\nThese shares are what is expected unless another "
        "prior is named: `uniform`, `estimate`, or one's own."
    )


def _scores(training: Mapping[str, Any]) -> str:
    scores = training.get("scores", {})
    if not scores:
        return ""
    names = [name for name in _SCORES if any(name in own for own in scores.values())]
    rows = [[scenario, *(_score(name, own.get(name)) for name in names)] for scenario, own in scores.items()]
    heads = ["scenario", *(_SCORES[name] for name in names)]
    return f"On test samples, by what is missing of them:\n\n{_table(heads, rows)}"


def _missing(training: Mapping[str, Any]) -> str:
    missing = training.get("missing", {})
    return _table(["modality", "missing of"], [[name, f"{share:.1%} of samples"] for name, share in missing.items()])


def _sent(training: Mapping[str, Any], tells_statistics: bool) -> str:
    lines: list[str] = []
    if training.get("is_centralized"):
        lines.append("Everything: samples were brought to one place.")
    elif "sent_up" in training:
        parts = ", ".join(f"`{_plain(name)}`" for name in training["sent_up"])
        lines.append(f"Trained values and sums, no samples: {parts or 'nothing'}.")
        if training.get("sent_bytes"):
            lines.append(f"A client and round: {training['sent_bytes']:,} bytes in both directions.")
    privacy = training.get("privacy")
    if privacy:
        epsilon = privacy.get("epsilon")
        spent = "no bound" if epsilon is None else f"epsilon {epsilon:.3g}"
        lines.append(
            f"Differential privacy of clients: {spent} at delta {privacy.get('delta')}; this card tells no number that "
            "was not under noise."
        )
    elif training:
        lines.append("No differential privacy: what is sent and saved may tell of single samples.")
    if tells_statistics:
        lines.append(
            "`statistics.safetensors` holds sums over the training samples by class, from which models are merged; the "
            "model predicts without it."
        )
    return "\n\n".join(lines)


def _use(kinds: Mapping[str, str], num_labels: int, *, several: bool) -> str:
    answers = f"It knows {counted(num_labels, 'label')}, and says of each whether it applies"
    if not several:
        answers = f"It knows {counted(num_labels, 'answer')}, and gives one of them"
    examples = {"image": '"photo.jpg"', "text": '"a text"', "audio": '"sound.wav"', "numbers": "[0.5, 1.5]"}
    sample = ", ".join(f'"{name}": {examples.get(kind, "{...}")}' for name, kind in kinds.items())
    return f"""```python
import fedprime

model = fedprime.PromptedModel.from_pretrained("FOLDER or OWNER/NAME")
fedprime.predict_samples(model, {{{sample}}})  # leave out what is missing
```

    fedprime predict FOLDER --table rows.csv    # the same for the rows of a table
    fedprime play FOLDER                        # a page to try it

{answers} whatever it is shown."""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    written = [[_plain(cell) for cell in row] for row in rows]
    return markdown_rows(heads, written, len(heads)).strip() if written else ""


def _plain(text: object) -> str:
    """Returns words that people chose as one line without marks of Markdown or HTML."""
    return re.sub(r"([|`<>\[\]\\])", r"\\\1", " ".join(str(text).split()))


def _few(names: Sequence[str], most: int) -> list[str]:
    kept = [" ".join(name.split()) for name in names[:most]]
    return kept if len(names) <= most else [*kept[:-1], f"{len(names) - most + 1} more"]


def _score(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f}" if "%" in _SCORES[name] else f"{value:.3f}" if name == "loss" else f"{value:,}"


def _yaml(value: object) -> str:
    return "".join(
        sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in json.dumps(value, ensure_ascii=False)
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
