"""Texts of one kind in many languages: what the default reads of those that its text encoder was not trained on.

    npm pack emojibase-data@17.0.0 && tar xzf emojibase-data-17.0.0.tgz
    python benchmarks/languages.py --package package --output docs/results/languages

Names of 900 emoji, drawn by the seed, of nine groups, of which one is to be told; five clients by labels. The closed
form like train, beside models that have the rows of all clients at one place: majority, and logistic regression on
TF-IDF of words, and of one to four letters (its strength chosen on validation samples).
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline

from fedprime.data.sets.table.options import TableOptions
from fedprime.data.sets.table.table import open_table
from fedprime.experiment.embedded_data import with_three_splits
from fedprime.reproducibility.seeding import stream
from fedprime.runs.run import start_run
from fedprime.settings.reading import read_settings
from fedprime.settings.settings import Settings
from machine import describe, show_page

_COMPONENTS = 2  # the number of a group of parts of emoji
_NUM_ROWS = 900
_STRENGTHS = (1.0, 10.0, 100.0)
_COLUMNS = ("majority", "TF-IDF of words", "TF-IDF of letters", "closed form", "loss")


def names_in(package: Path, language: str, seed: int) -> pd.DataFrame:
    """Returns names of emoji in a language, and the group of each."""
    groups = {own["hexcode"]: own.get("group") for own in json.loads((package / "en" / "data.json").read_text("utf-8"))}
    named = {
        own["label"]: int(group)
        for own in json.loads((package / language / "compact.json").read_text("utf-8"))
        if (group := groups.get(own["hexcode"])) is not None and group != _COMPONENTS
    }
    frame = pd.DataFrame({"text": list(named), "label": [f"group {group}" for group in named.values()]})
    return frame.iloc[stream(seed, "languages", language).permutation(len(frame))[:_NUM_ROWS]]


def at_one_place(folder: Path) -> dict[str, float]:
    """Returns the accuracies of majority and linear models on the test rows."""
    shares = Settings().data
    table = open_table(str(folder), TableOptions(columns=("text=text",)))
    source = with_three_splits(table, shares.validation_share, shares.test_share)
    labels = np.asarray(source.labels)
    texts = np.array([source.read(row, ("text",))["text"] for row in range(len(source))], dtype=object)
    train, validation, test = (np.asarray(source.splits[name]) for name in ("train", "validation", "test"))

    def best(vectorizer: TfidfVectorizer) -> float:
        models = [make_pipeline(vectorizer, LogisticRegression(C=own, max_iter=2000)) for own in _STRENGTHS]
        losses = [
            log_loss(labels[validation], model.fit(texts[train], labels[train]).predict_proba(texts[validation]))
            for model in models
        ]
        return float(models[int(np.argmin(losses))].fit(texts[train], labels[train]).score(texts[test], labels[test]))

    scores = (
        float((labels[test] == np.bincount(labels[train]).argmax()).mean()),
        best(TfidfVectorizer(sublinear_tf=True)),
        best(TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)),
    )
    return dict(zip(_COLUMNS, scores, strict=False))


def measured(package: Path, language: str, seed: int) -> dict[str, float]:
    """Returns the accuracies of all models on the names in a language, and the loss of the closed form."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "data"
        folder.mkdir()
        names_in(package, language, seed).to_csv(folder / "metadata.csv", index=False)
        flags = [f"--data.path={folder}", "--data.columns", "text=text", "--partition.num_clients=5", f"--seed={seed}"]
        settings = read_settings("table/folder", [*flags, "--method.name=closed-form", "--backbone=small"])
        scores = start_run(settings, Path(place) / "run")["scenarios"]["like train"]
        return at_one_place(folder) | {"closed form": scores["accuracy"], "loss": scores["loss"]}


def main() -> None:
    """Measures all languages."""
    parser = argparse.ArgumentParser(description="Names of emoji in many languages.")
    parser.add_argument("--package", type=Path, required=True, help="where emojibase-data was unpacked")
    parser.add_argument("--languages", nargs="+", help="all of the package, if not given")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    languages: Sequence[str] = arguments.languages or sorted(
        path.parent.name for path in arguments.package.glob("*/compact.json")
    )
    about = describe() | {"seeds": ", ".join(map(str, arguments.seeds))}
    lines = [f"{'; '.join(f'{name} {value}' for name, value in about.items())}.", ""]
    lines += [f"| language | {' | '.join(_COLUMNS)} |", f"|:--|{'--:|' * len(_COLUMNS)}"]
    for language in languages:
        found = [measured(arguments.package, language, seed) for seed in arguments.seeds]
        means = {name: float(np.mean([own[name] for own in found])) for name in _COLUMNS}
        told = [f"{100 * means[name]:.1f}" for name in _COLUMNS[:-1]]
        lines.append(f"| {language} | {' | '.join(told)} | {means['loss']:.3f} |")
        print(lines[-1], flush=True)
    show_page(lines, arguments.output and arguments.output / "languages.md")


if __name__ == "__main__":
    main()
