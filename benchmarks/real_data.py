"""Real files, end to end: tables, several methods, and linear models beside them.

    make encoders
    python benchmarks/real_data.py --seeds 0 1 2
    python benchmarks/real_data.py --seeds 0 1 2 --data digits nuclei    # from scikit-learn: nothing to download
    python benchmarks/real_data.py --seeds 0 1 2 --data emoji stamps syllables    # from npm and Debian; it says how

Trains, measures and writes docs/results/real_data; goes on where it was stopped. The backbone is `small`. Linear models
see the same samples with the same holes, all at one place: as raw features (words, shapes and colours of photos, bands
of sounds, numbers), and as the frozen vectors that a head of fedprime's reads.
"""

import argparse
import datetime
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedprime.data.sets.table.table import Table
from fedprime.experiment.build import Experiment, build_experiment
from fedprime.reproducibility.environment import processor_name
from fedprime.runs.run import complete_run
from fedprime.settings.reading import read_settings
from linear_models import Features, frozen_features, linear_accuracies, raw_features
from packaged_data import PACKAGED, write_packaged

ROOT = Path(__file__).parents[1]
DATA = (ROOT.parent / "shared" / "data").resolve()
ON_FROZEN = "linear on frozen vectors"
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


def recipe_of(name: str, variant: str) -> tuple[Path, list[str]]:
    """Returns the recipe of a variant of a data set, and flags; a data set that comes in a package is written first."""
    if name not in PACKAGED:
        return ROOT / "recipes" / name / f"{variant}.toml", ["--data.path", str(DATA / name)]
    folder = ROOT / "runs" / "packaged_data" / name
    write_packaged(name, folder)
    rate = "0.7" if variant == "missing" else "0"
    flags = ["--data.path", str(folder), *PACKAGED[name], "--missing.rate", rate, "--backbone", "small"]
    return ROOT / "recipes" / "table" / "folder.toml", [*flags, "--training.rounds", "10"]


def linear_rows(experiment: Experiment, known: dict[str, Features]) -> dict[str, dict[str, float]]:
    """Returns the accuracies of all linear models.

    Args:
        known: Features of this table by what the names of linear models on them begin with; what is not there is added.
    """
    table = experiment.source
    if not isinstance(table, Table):
        raise TypeError("the recipes of this benchmark are about tables")
    if not known:
        train = table.splits["train"].tolist()
        known["linear"] = raw_features(table, train)
        known[ON_FROZEN] = frozen_features(table, experiment.model.backbone, train)
    parts = (experiment.shards, experiment.validation, experiment.scenarios)
    models = [linear_accuracies(table, features, *parts, title=title) for title, features in known.items()]
    return {name: accuracies for own in models for name, accuracies in own.items()}


def run_all(names: Sequence[str], asked: Sequence[str], methods: Sequence[str], seeds: Sequence[int]) -> None:
    """Trains and measures everything that is not finished yet, and writes the tables."""
    output = ROOT / "docs" / "results" / "real_data"
    output.mkdir(parents=True, exist_ok=True)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in names:
        variants = [variant for variant in asked if name not in PACKAGED or variant != "absent"]
        found: dict[str, dict[str, list[dict[str, float]]]] = {variant: {} for variant in variants}
        features: dict[str, Features] = {}
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
                    print(name, variant, title, seed, scores, f"{results['seconds']:.0f} s", flush=True)
                linear = ROOT / "runs" / "real_data" / name / f"{variant}-linear-{seed}.json"
                if not linear.exists():
                    experiment = build_experiment(read_settings(recipe, flags))
                    linear.write_text(json.dumps(linear_rows(experiment, features)))
                for title, own in json.loads(linear.read_text()).items():
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


def standing(of_method: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Returns in how many columns the default is not behind the best linear model, of means over seeds."""

    def best(rows: Sequence[str]) -> np.ndarray:
        return np.max([np.mean([list(own.values()) for own in of_method[row]], axis=0) for row in rows], axis=0)

    default = next((row for row in ("fedprime, at its client", "fedprime") if of_method.get(row)), None)
    models = [row for row in of_method if row.startswith("linear")]
    on_raw = [row for row in models if not row.startswith(ON_FROZEN)]
    if default is None or not models:
        return ""
    told = []
    for title, rows in (("raw features", on_raw), ("frozen vectors", [row for row in models if row not in on_raw])):
        if rows:
            behind = best([default]) < best(rows) - 1e-9
            told.append(f"{len(behind) - behind.sum()} of {len(behind)} columns on {title}")
    return f"`{default}` is ahead of the best linear model of each column, or level with it, in {', '.join(told)}."


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
        lines += ["", standing(of_method), ""]
    seeds = ", ".join(map(str, content["seeds"]))
    how = "`python benchmarks/real_data.py`"
    return "\n".join(
        [*lines, f"{how}; seeds {seeds}; {content['date']}, commit {content['commit']}, {content['machine']}.", ""]
    )


def main() -> None:
    """Reads the command line and does what it says."""
    parser = argparse.ArgumentParser(description="Train and measure on real files.")
    parser.add_argument(
        "--data", nargs="+", choices=["flipkart7", "fsdd_digits", *PACKAGED], default=["flipkart7", "fsdd_digits"]
    )
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=tuple(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as runs compute: embeddings of another number of threads would be made anew
    run_all(arguments.data, arguments.variants, arguments.methods, arguments.seeds)


if __name__ == "__main__":
    main()
