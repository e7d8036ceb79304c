"""Real files, end to end: tables, several methods, and linear models beside them.

    make encoders
    python benchmarks/real_data.py --seeds 0 1 2
    python benchmarks/real_data.py --seeds 0 1 2 --data digits nuclei    # from scikit-learn: nothing to download

Trains, measures and writes docs/results/real_data; goes on where it was stopped. The backbone is `small`. Linear models
see raw features of the same samples with the same holes, all at one place: words, shapes and colours of photos, bands
of sounds, numbers.
"""

import argparse
import datetime
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from bundled_data import BUNDLED, write_bundled
from fedprime.backbones.log_mel import NUM_PLACES, LogMel
from fedprime.data.batches import Shard
from fedprime.data.sets.table.table import Table
from fedprime.experiment.build import build_experiment
from fedprime.reproducibility.environment import processor_name
from fedprime.runs.run import complete_run
from fedprime.settings.reading import read_settings

ROOT = Path(__file__).parents[1]
DATA = (ROOT.parent / "shared" / "data").resolve()
VARIANTS = ("as_it_is", "missing", "absent")
#: By the name of a row, the settings of its method.
METHODS = {
    "closed-form": ("--method.name=closed-form",),
    "head-only": ("--method.name=head-only",),
    "fedavg-p": ("--method.name=fedavg-p",),
    "fedprime": ("--method.name=fedprime",),
    "fedprime as in its paper": (
        *("--method.name=fedprime", "--method.paper"),
        *("--training.lr=0.003", "--training.head_lr=same"),  # from random values, steps have to be larger
    ),
}

_WORDS = 20_000  # TF-IDF features at most
_SIDE = 64  # pixels of an image's side, before its features are taken
_CELL = 8  # pixels of a cell's side, each cell with a histogram of gradients
_ANGLES = 9  # of gradients, without their sign
_LEVELS = 4  # of each colour in the histogram of colours
_PIECES = 8  # of a sound, each with the mean of its log-mel bands


def shapes_and_colours(image: np.ndarray) -> Float[np.ndarray, " feature"]:
    """Returns histograms of oriented gradients, normalised over blocks of 2 x 2 cells, and one histogram of colours.

    Source: Dalal and Triggs. Histograms of Oriented Gradients for Human Detection. CVPR 2005.
    """
    small = np.asarray(Image.fromarray(image).convert("RGB").resize((_SIDE, _SIDE)), dtype=float) / 255
    down, across = np.gradient(small.mean(axis=2))
    angle = (np.arctan2(down, across) % np.pi) / np.pi * _ANGLES
    cells = _SIDE // _CELL
    row, column = np.indices((_SIDE, _SIDE)) // _CELL
    place = (row * cells + column) * _ANGLES + angle.astype(int) % _ANGLES
    histograms = np.bincount(place.ravel(), np.hypot(down, across).ravel(), cells * cells * _ANGLES)
    histograms = histograms.reshape(cells, cells, _ANGLES)
    blocks = np.concatenate(
        [histograms[i : cells - 1 + i, j : cells - 1 + j] for i in range(2) for j in range(2)], axis=2
    )
    blocks /= np.sqrt((blocks**2).sum(axis=2, keepdims=True)) + 1e-3
    levels = np.minimum((small * _LEVELS).astype(int), _LEVELS - 1) @ [_LEVELS**2, _LEVELS, 1]
    colours = np.sqrt(np.bincount(levels.ravel(), minlength=_LEVELS**3) / levels.size)
    return np.concatenate([blocks.ravel(), colours])


def raw_features(table: Table, fitted_on: Sequence[int]) -> dict[str, Float[np.ndarray, "sample feature"]]:
    """Returns features of every sample by modality, with zeros for what is missing.

    Shapes and colours of an image, mean log-mel bands of pieces of a sound, TF-IDF of words, numbers; all but words
    are standardised.

    Args:
        fitted_on: The samples that words and means are taken from.
    """
    mel = LogMel(8000, 40, 1, 2.0)
    of_kind: dict[str, Callable[[Any], np.ndarray]] = {
        "image": shapes_and_colours,
        "audio": lambda sound: np.concatenate(
            [piece.mean(axis=0) for piece in np.array_split(mel.encode([sound])[0][:, :-NUM_PLACES].numpy(), _PIECES)]
        ),
    }
    features: dict[str, np.ndarray] = {}
    for column, own in enumerate(table.columns):
        there = table.there[:, column]
        values = {int(index): table.read(int(index), (own.modality,)) for index in np.flatnonzero(there)}
        known: dict[int, Any] = {index: value[own.modality] for index, value in values.items() if value}
        train = [index for index in fitted_on if index in known]
        if own.kind == "text":
            words = TfidfVectorizer(max_features=_WORDS, sublinear_tf=True).fit([str(known[index]) for index in train])
            features[own.modality] = words.transform([str(known.get(i, "")) for i in range(len(table))]).toarray()
            continue
        if own.kind == "table":
            raw = {i: np.array([np.log1p(row.get(name, 0.0)) for name in own.columns]) for i, row in known.items()}
        else:
            raw = {index: of_kind[own.kind](value) for index, value in known.items()}
        scaler = StandardScaler().fit(np.stack([raw[index] for index in train]))
        block = np.zeros((len(table), len(next(iter(raw.values())))))
        block[list(raw)] = scaler.transform(np.stack(list(raw.values())))
        features[own.modality] = block / np.sqrt(block.shape[1])  # every modality has as much weight
    return features


def linear_accuracies(
    table: Table,
    features: Mapping[str, np.ndarray],
    shards: Sequence[Shard],
    validation: Shard,
    scenarios: Mapping[str, Shard],
) -> dict[str, dict[str, float]]:
    """Returns by linear model (jointly, of each modality, and of what these say together) its accuracy by scenario.

    Args:
        features: As from `raw_features`.
        shards: What the clients hold, and what is present of it.
        validation: The samples that the weights of the modalities are chosen on.
        scenarios: The test samples, likewise.
    """
    train = Shard.joined(shards)

    def block(own: Shard, names: Sequence[str]) -> np.ndarray:
        parts = [features[name][own.indices] * own.present[:, [table.modalities.index(name)]] for name in names]
        return np.concatenate(parts, axis=1)

    def fitted(names: Sequence[str], rows: Any = slice(None)) -> LogisticRegression:
        model = LogisticRegression(C=10.0, max_iter=2000)
        return model.fit(block(train, names)[rows], table.labels[train.indices][rows])

    accuracies: dict[str, dict[str, float]] = {}
    for title, names in {
        "linear, jointly": table.modalities,
        **{f"linear, {n}": (n,) for n in table.modalities},
    }.items():
        model = fitted(names)
        accuracies[title] = {
            scenario: float(model.score(block(own, names), table.labels[own.indices]))
            for scenario, own in scenarios.items()
        }
    single = [fitted((name,), train.present[:, column]) for column, name in enumerate(table.modalities)]
    classes = sorted({int(label) for label in table.labels[train.indices]})
    prior = np.log([np.mean(table.labels[train.indices] == label) for label in classes])

    def evidence(own: Shard) -> Float[np.ndarray, "modality sample class"]:
        found = np.zeros((len(single), len(own.indices), len(classes)))
        for column, (name, model) in enumerate(zip(table.modalities, single, strict=True)):
            known = [classes.index(int(label)) for label in model.classes_]
            found[column][:, known] = model.predict_log_proba(block(own, (name,))) - prior[known]
            found[column][~own.present[:, column]] = 0.0
        return found

    def cross_entropy(weights: np.ndarray) -> float:
        scores = np.tensordot(weights, of_validation, 1) + prior
        chosen = scores[np.arange(len(scores)), [classes.index(int(i)) for i in table.labels[validation.indices]]]
        return float((logsumexp(scores, axis=1) - chosen).mean())

    of_validation = evidence(validation)
    weights = minimize(cross_entropy, np.full(len(single), 0.5), bounds=[(0.0, None)] * len(single)).x
    accuracies["linear, calibrated sum"] = {
        scenario: float(
            np.mean(
                np.array(classes)[(np.tensordot(weights, evidence(own), 1) + prior).argmax(axis=1)]
                == table.labels[own.indices]
            )
        )
        for scenario, own in scenarios.items()
    }
    return accuracies


def recipe_of(name: str, variant: str) -> tuple[Path, list[str]]:
    """Returns the recipe of a variant of a data set, and flags; a data set of scikit-learn's is written first."""
    if name not in BUNDLED:
        return ROOT / "recipes" / name / f"{variant}.toml", ["--data.path", str(DATA / name)]
    folder = ROOT / "runs" / "bundled_data" / name
    write_bundled(name, folder)
    rate = "0.7" if variant == "missing" else "0"
    flags = ["--data.path", str(folder), *BUNDLED[name], "--missing.rate", rate, "--backbone", "small"]
    return ROOT / "recipes" / "table" / "folder.toml", [*flags, "--training.rounds", "10"]


def run_all(names: Sequence[str], asked: Sequence[str], methods: Sequence[str], seeds: Sequence[int]) -> None:
    """Trains and measures everything that is not finished yet, and writes the tables."""
    output = ROOT / "docs" / "results" / "real_data"
    output.mkdir(parents=True, exist_ok=True)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in names:
        variants = [variant for variant in asked if name not in BUNDLED or variant != "absent"]
        found: dict[str, dict[str, list[dict[str, float]]]] = {variant: {} for variant in variants}
        features: dict[str, np.ndarray] = {}
        for seed in seeds:
            for variant in variants:
                recipe, flags = recipe_of(name, variant)
                flags = [*flags, f"--seed={seed}"]
                for method in methods:
                    settings = read_settings(recipe, [*flags, *METHODS[method]])
                    folder = ROOT / "runs" / "real_data" / name / f"{variant}-{method.replace(' ', '-')}-{seed}"
                    results = complete_run(settings, folder)
                    for title, key in ((method, "accuracy"), (f"{method}, at its client", "own_accuracy")):
                        scores = {scenario: own[key] for scenario, own in results["scenarios"].items() if key in own}
                        found[variant].setdefault(title, []).append(scores)
                    print(name, variant, method, seed, scores, f"{results['seconds']:.0f} s", flush=True)
                experiment = build_experiment(read_settings(recipe, flags))
                table = experiment.source
                if not isinstance(table, Table):
                    raise TypeError("the recipes of this benchmark are about tables")
                linear = ROOT / "runs" / "real_data" / name / f"{variant}-linear-{seed}.json"
                if not linear.exists():
                    features = features or raw_features(table, table.splits["train"].tolist())
                    parts = (experiment.shards, experiment.validation, experiment.scenarios)
                    linear.write_text(json.dumps(linear_accuracies(table, features, *parts)))
                of_linear = json.loads(linear.read_text())
                for title, own in of_linear.items():
                    found[variant].setdefault(title, []).append(own)
                # After each variant: what is finished is there to be read while the rest goes on.
                content = {
                    "accuracies": {variant: own for variant, own in found.items() if own},
                    "seeds": list(seeds),
                    "commit": commit.stdout.strip(),
                    "date": f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}",
                    "machine": f"{processor_name()}, 2 shared cores",
                }
                (output / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
                (output / f"{name}.md").write_text(in_markdown(name, content))


def in_markdown(name: str, content: Mapping[str, Any]) -> str:
    """Returns the tables of a data set: a row per method, a column per test scenario, mean and deviation over seeds."""
    lines = [f"# {name}: accuracy in %", ""]
    for variant, of_method in content["accuracies"].items():
        scenarios = list(next(iter(of_method.values()))[0])
        lines += [
            f"`{name}/{variant}`",
            "",
            f"| method | {' | '.join(scenarios)} |",
            "| :-- |" + " --: |" * len(scenarios),
        ]
        for method, rows in of_method.items():
            values = np.array([[100 * row[scenario] for scenario in scenarios] for row in rows])
            deviations = values.std(axis=0, ddof=1) if len(rows) > 1 else np.zeros(len(scenarios))
            cells = [f"{mean:.1f} ± {own:.1f}" for mean, own in zip(values.mean(axis=0), deviations, strict=True)]
            cells = cells if len(rows) > 1 else [f"{value:.1f}" for value in values[0]]
            lines.append(f"| {method} | {' | '.join(cells)} |")
        lines.append("")
    seeds = ", ".join(map(str, content["seeds"]))
    how = "`python benchmarks/real_data.py`"
    return "\n".join(
        [*lines, f"{how}; seeds {seeds}; {content['date']}, commit {content['commit']}, {content['machine']}.", ""]
    )


def main() -> None:
    """Reads the command line and does what it says."""
    parser = argparse.ArgumentParser(description="Train and measure on real files.")
    parser.add_argument(
        "--data", nargs="+", choices=["flipkart7", "fsdd_digits", *BUNDLED], default=["flipkart7", "fsdd_digits"]
    )
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=tuple(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as runs compute: embeddings of another number of threads would be made anew
    run_all(arguments.data, arguments.variants, arguments.methods, arguments.seeds)


if __name__ == "__main__":
    main()
