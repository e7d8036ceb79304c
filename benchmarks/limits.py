"""What bounds accuracy in the built-in world: too few samples, the frozen features, or what reads them.

    python benchmarks/limits.py --output FOLDER

For each seed, training, validation and test samples of `builtin/study`, with what is missing there, whoever holds them.
Each row answers the same test samples:

- *Bayes limit*: what nobody can beat.
- *read perfectly*: sees every glyph and word, and counts in the same training samples how often each class has which;
  what is left to the Bayes limit is for want of samples.
- *kernel*, *linear*: discriminant analysis of the frozen vectors of each modality by scikit-learn, with and without
  Gaussian kernels (Nystroem), all samples at one place, shrinkage and width chosen by the likelihood of validation
  labels; modalities add up. What is left to *read perfectly* is in the frozen features.
- *closed form*: the start of a federation of 20 clients, which reads the joint summary as well.
"""

import argparse
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fedprime import BuiltinWorld, Experiment, Shard, build_experiment, read_settings, start_run
from fedprime.backbones.blocks import block_of
from machine import describe, show_page

RECIPE = "builtin/study"
SMOOTHINGS = (0.1, 0.3, 1.0, 3.0)
SHRINKAGES = (0.01, 0.03, 0.1, 0.3, 0.6)
WIDTHS = (0.1, 0.3, 1.0)  # of kernels: gamma times the number of coordinates
NUM_CENTRES = 400

#: Class scores of each sample that has a modality, from training samples that have it.
Scores = Float[np.ndarray, "sample label"]


def read_perfectly(counts: Float[np.ndarray, "sample ingredient"], labels: Int[np.ndarray, " _"]) -> Iterator[Scores]:
    """Yields scores by how often each class has each ingredient in training samples, which come first."""
    own = counts[: len(labels)]
    for smoothing in SMOOTHINGS:
        frequencies = np.stack([own[labels == label].sum(axis=0) + smoothing for label in np.unique(labels)])
        yield counts @ np.log(frequencies / frequencies.sum(axis=1, keepdims=True)).T


def linear(rows: Float[np.ndarray, "sample width"], labels: Int[np.ndarray, " _"]) -> Iterator[Scores]:
    """Yields scores by a linear discriminant for each shrinkage."""
    for shrinkage in SHRINKAGES:
        fitted = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage))
        yield fitted.fit(rows[: len(labels)], labels).predict_log_proba(rows)


def kernel(rows: Float[np.ndarray, "sample width"], labels: Int[np.ndarray, " _"]) -> Iterator[Scores]:
    """Yields scores by discriminants of Gaussian kernels, for each width and shrinkage."""
    for width, shrinkage in itertools.product(WIDTHS, SHRINKAGES):
        features = Nystroem(gamma=width / rows.shape[1], n_components=min(NUM_CENTRES, len(labels)), random_state=0)
        discriminant = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
        fitted = make_pipeline(StandardScaler(), features, discriminant)
        yield fitted.fit(rows[: len(labels)], labels).predict_log_proba(rows)


def counted(experiment: Experiment, modality: str, indices: Sequence[int]) -> Float[np.ndarray, "sample ingredient"]:
    """Returns how often each sample shows or names each ingredient."""
    world = experiment.source
    if not isinstance(world, BuiltinWorld):
        raise TypeError(f"{RECIPE} is not the built-in world")
    return np.stack([np.bincount(world.ingredients(index, modality), minlength=32) for index in indices]).astype(float)


def frozen(experiment: Experiment, modality: str, indices: Sequence[int]) -> Float[np.ndarray, "sample width"]:
    """Returns the frozen vectors that a head reads of each sample."""
    backbone = experiment.model.backbone
    values = [experiment.source.read(index, (modality,))[modality] for index in indices]
    return block_of(backbone, modality, backbone.embed(modality, values)).double().numpy()


ROWS: Mapping[str, tuple[Callable[..., np.ndarray], Callable[..., Iterator[Scores]]]] = {
    "read perfectly": (counted, read_perfectly),
    "kernel": (frozen, kernel),
    "linear": (frozen, linear),
}


def likelihood(scores: Scores, labels: Int[np.ndarray, " sample"]) -> float:
    """Returns the mean log-likelihood of labels."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    return float((shifted[np.arange(len(labels)), labels] - np.log(np.exp(shifted).sum(axis=1))).mean())


def accuracies(experiment: Experiment, row: str) -> dict[str, float]:
    """Returns the accuracy of a row in each scenario, in %."""
    values_of, candidates = ROWS[row]
    labels_of = experiment.source.labels
    tests = experiment.scenarios
    sums = {name: np.zeros((len(shard), len(experiment.source.label_names))) for name, shard in tests.items()}
    train = Shard.joined(experiment.shards)
    for column, modality in enumerate(experiment.model.backbone.modalities):
        own = [shard.indices[shard.present[:, column]] for shard in (train, experiment.validation)]
        test = next(iter(tests.values())).indices
        values = values_of(experiment, modality, [int(index) for index in np.concatenate([*own, test])])
        after = len(own[0]), len(own[0]) + len(own[1])
        best = max(
            candidates(values, labels_of[own[0]]),
            key=lambda scores: likelihood(scores[after[0] : after[1]], labels_of[own[1]]),
        )
        known = dict(zip(test, best[after[1] :], strict=True))
        for name, shard in tests.items():
            found = np.stack([known[index] for index in shard.indices])
            sums[name] += np.where(shard.present[:, [column]], found, 0)
    return {
        name: 100 * float((sums[name].argmax(axis=1) == labels_of[shard.indices]).mean())
        for name, shard in tests.items()
    }


def main() -> None:
    """Measures all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--output", type=Path, help="folder to write limits.md to")
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {}
    for seed in arguments.seeds:
        settings = read_settings(RECIPE, [f"--seed={seed}", "--method.name=closed-form"])
        experiment = build_experiment(settings)
        for row in ROWS:
            found.setdefault(row, []).append(accuracies(experiment, row))
        with tempfile.TemporaryDirectory() as folder:
            scenarios = start_run(settings, Path(folder) / "run")["scenarios"]
        for row, score in (("closed form", "accuracy"), ("Bayes limit", "bayes_accuracy")):
            found.setdefault(row, []).append({name: 100 * scores[score] for name, scores in scenarios.items()})
    names = list(found["closed form"][0])
    lines = ["# What bounds accuracy in the built-in world", ""]
    lines += ["| | " + " | ".join(names) + " |", "| :-- |" + " --: |" * len(names)]
    for row in ("Bayes limit", *ROWS, "closed form"):
        means = [np.mean([scores[name] for scores in found[row]]) for name in names]
        lines.append(f"| {row} | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")
    about = ", ".join(f"{name}: {value}" for name, value in describe().items())
    lines += ["", f"`{RECIPE}`, accuracy in %, mean over seeds {', '.join(map(str, arguments.seeds))}. {about}."]
    show_page(lines, arguments.output and arguments.output / "limits.md")


if __name__ == "__main__":
    main()
