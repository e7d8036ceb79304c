"""What sites that trained alone come to when their models are merged from files, and what aligning prompts adds.

    python benchmarks/merge_by_files.py --output docs/results/merge_by_files

Each site trains prompts by itself, starting from the same random prompts as the others or from its own; `fedprime
merge` makes one model of their files, with prompts aligned, averaged by position, or averaged in an order that was
shuffled at each site. *Summed again* measures the sums anew through the merged prompts, which files cannot: it tells
what the prompts are worth apart from the head; *one holder* trained prompts on all samples. *Likeness* is the mean
cosine between prompts of two sites.

*Aligned - averaged* is the mean over sites and epochs, with its deviation over seeds and a t-test over them.

Prints Markdown tables, and writes them with their numbers. Stopped, the same command goes on where it was.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import ttest_1samp
from torch import Tensor

from fedprime.experiment.build import LIKE_TRAIN, Experiment, build_experiment
from fedprime.federation.local_training import ClientTraining
from fedprime.federation.start import started_alone, statistics_alone
from fedprime.federation.start_round import LocalSamples
from fedprime.methods.aggregation.joined_models import Joining
from fedprime.methods.method import Method
from fedprime.models.evaluation import predict, score
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.models.prompts import cosine_distance
from fedprime.reproducibility.atomic_files import replaced_file
from fedprime.reproducibility.determinism import reproducible
from fedprime.reproducibility.seeding import torch_stream
from fedprime.runs.merging import merge_models
from fedprime.settings.reading import read_settings
from fedprime.settings.recipes import find_recipe
from machine import describe

MEASURED = (LIKE_TRAIN, "full")
SETTING = ("sites", "epochs", "readout", "start")
JOININGS: dict[str, Joining] = {"aligned": "align", "averaged": "average", "shuffled": "average"}
LIKENESS = {
    "any": "likeness of any two",
    "position": "by position",
    "best": "of best matches",
    "chance": "of best matches of random prompts",
}
_MOST_ALONE = 5  # sites whose own models are measured


def cells(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yields what is measured, the cheap first."""
    names = ("seed", *SETTING)
    for values in product(arguments.seeds, arguments.sites, arguments.epochs, arguments.readouts, ("equal", "apart")):
        yield dict(zip(names, values, strict=True))


def experiment_of(cell: dict[str, Any], flags: list[str]) -> Experiment:
    """Returns data and method of a cell."""
    own = [f"--seed={cell['seed']}", f"--partition.num-clients={cell['sites']}", f"--training.epochs={cell['epochs']}"]
    own += ["--method.name=fedprime", f"--method.readout={cell['readout']}", "--method.start=closed-form"]
    own += ["--method.prior-aware=true", "--data.num-test=1000"]
    return build_experiment(read_settings(find_recipe("builtin/study"), [*own, *flags]))


def accuracies(experiment: Experiment, model: PromptedModel) -> dict[str, float]:
    """Returns the accuracy in each scenario, in percent."""
    return {name: 100 * score(predict(model, experiment.scenarios[name], 128)).accuracy for name in MEASURED}


def summed_again(experiment: Experiment, model: PromptedModel, samples: LocalSamples) -> dict[str, float]:
    """Returns the accuracies with a head from sums over all samples through the model's own prompts."""
    weights = model.weights()
    statistics = statistics_alone(model, samples)
    model.load_weights(weights | statistics.head(model.task))
    return accuracies(experiment, model)


def site_values(experiment: Experiment, initial: Weights, samples: LocalSamples, site: int) -> Weights:
    """Returns what a site comes to alone, after a start in closed form of its own."""
    method, model, settings = experiment.method, experiment.model, experiment.settings
    received = started_alone(method, model, samples, initial)
    place = {"client": site, "round_number": 0, "num_rounds": 1, "seed": settings.seed}
    return dict(ClientTraining(model, method, samples.train, received, settings.training, **place).run().weights)


def shuffled(weights: Weights, site: int) -> Weights:
    """Returns weights whose prompts are in another order at each site."""
    orders = {
        name: torch.randperm(len(value), generator=torch_stream(site, "shuffled", name))
        for name, value in weights.items()
        if name.startswith("prompter.pools.")
    }
    return weights | {name: weights[name][order] for name, order in orders.items()}


def likeness(pools: list[Tensor]) -> dict[str, float]:
    """Returns the mean cosine between prompts of neighbouring sites: any two, by position, and of the best matches.

    *Chance* is that of the best matches of as many random prompts: what is not above it, alignment cannot find.
    """
    rng = torch_stream(0, "merge by files", "chance")
    random = [torch.randn(pool.shape, generator=rng) for pool in pools]
    return {
        "any": mean(float(cosines(*pair).mean()) for pair in pairwise(pools)),
        "position": mean(float(cosines(*pair).diagonal().mean()) for pair in pairwise(pools)),
        "best": mean(best_match(cosines(*pair)) for pair in pairwise(pools)),
        "chance": mean(best_match(cosines(*pair)) for pair in pairwise(random)),
    }


def cosines(ours: Tensor, theirs: Tensor) -> Tensor:
    """Returns the cosine between every two prompts of two pools."""
    return 1 - cosine_distance(ours, theirs)


def best_match(likeness: Tensor) -> float:
    """Returns the mean over the best assignment of rows to columns."""
    rows, columns = linear_sum_assignment(likeness.numpy(), maximize=True)
    return float(likeness[rows, columns].mean())


def measure(cell: dict[str, Any], flags: list[str], folder: Path) -> dict[str, Any]:
    """Returns the accuracies of a cell, by what was measured."""
    experiment = experiment_of(cell, flags)
    method, model = experiment.method, experiment.model
    whole = LocalSamples(type(experiment.shards[0]).joined(experiment.shards), experiment.validation)
    found: dict[str, Any] = {}
    began = time.process_time()
    alone: list[dict[str, float]] = []
    pools: list[Tensor] = []
    for site in range(cell["sites"]):
        samples = LocalSamples(experiment.shards[site], experiment.validation_of(site))
        initial = fresh(method, model, experiment, 0 if cell["start"] == "equal" else 1 + site)
        weights = site_values(experiment, initial, samples, site)
        pools.append(weights["prompter.pools.inter"])
        if site < _MOST_ALONE:
            model.load_weights(weights)
            alone.append(accuracies(experiment, model))
        model.load_weights(weights)
        statistics = statistics_alone(model, samples).weights()
        for name, values in (("trained", weights), ("shuffled", shuffled(weights, site))):
            model.load_weights(values)
            model.save_pretrained(folder / name / str(site), statistics)
    found["likeness"] = likeness(pools)
    found["alone"] = {name: mean(row[name] for row in alone) for name in MEASURED}
    for name, how in JOININGS.items():
        paths = [
            folder / ("shuffled" if name == "shuffled" else "trained") / str(site) for site in range(cell["sites"])
        ]
        merged = merge_models(paths, folder / f"merged {name}", prompts=how, backbone=model.backbone).model
        found[name] = accuracies(experiment, merged)
        found[f"{name}, summed again"] = summed_again(experiment, merged, whole)
        found[f"{name}, prompts"] = len(merged.weights()["prompter.pools.inter"])
    model.load_weights(fresh(method, model, experiment, 0))
    found["untrained, summed again"] = summed_again(experiment, model, whole)
    model.load_weights(site_values(experiment, fresh(method, model, experiment, 0), whole, 0))
    found["one holder"] = summed_again(experiment, model, whole)
    found["cpu_seconds"] = time.process_time() - began
    return found


def fresh(method: Method, model: PromptedModel, experiment: Experiment, number: int) -> Weights:
    """Returns values before training, drawn from a seed of their own."""
    rng = torch_stream(experiment.settings.seed, "merge by files", number)
    return method.build(model.backbone, model.label_names, model.task, rng).weights()


def table(rows: list[dict[str, Any]]) -> str:
    """Returns like train / full of every cell, means over seeds."""
    columns = ["alone", "one holder", "untrained, summed again"]
    columns += [f"{name}{also}" for also in ("", ", summed again") for name in JOININGS]
    heads = [*SETTING, *columns, *LIKENESS.values(), "CPU s"]
    lines = [f"| {' | '.join(heads)} |", "|--:|--:|--|--|" + "--:|" * (len(heads) - 4)]
    for key in sorted({tuple(row["cell"][name] for name in SETTING) for row in rows}):
        own = [row["found"] for row in rows if tuple(row["cell"][name] for name in SETTING) == key]
        shown = [" / ".join(f"{mean(one[column][name] for one in own):.1f}" for name in MEASURED) for column in columns]
        shown += [f"{mean(one['likeness'][how] for one in own):.2f}" for how in LIKENESS]
        shown.append(f"{mean(one['cpu_seconds'] for one in own):.0f}")
        lines.append(f"| {' | '.join(map(str, key))} | {' | '.join(shown)} |")
    return "\n".join(lines)


def advantages(rows: list[dict[str, Any]]) -> str:
    """Returns what aligning gains like train over averaging: means over cells, and how they vary with the seed."""
    lines = ["| readout | start | aligned - averaged | p | aligned - shuffled | p |", "|--|--|--:|--:|--:|--:|"]
    for readout, start in sorted({(row["cell"]["readout"], row["cell"]["start"]) for row in rows}):
        told = []
        for other in ("averaged", "shuffled"):
            gains: dict[int, list[float]] = {}
            for row in rows:
                if (row["cell"]["readout"], row["cell"]["start"]) == (readout, start):
                    found = row["found"]
                    gains.setdefault(row["cell"]["seed"], []).append(
                        found["aligned"][LIKE_TRAIN] - found[other][LIKE_TRAIN]
                    )
            by_seed = [mean(own) for own in gains.values()]
            several = len(by_seed) > 1
            told.append(f"{mean(by_seed):+.1f}" + (f" ± {stdev(by_seed):.1f}" if several else ""))
            told.append(f"{ttest_1samp(by_seed, 0)[1]:.2f}" if several else "")
        lines.append(f"| {readout} | {start} | {' | '.join(told)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures every cell that is left to do."""
    parser = argparse.ArgumentParser(description="Merging from files: aligned, averaged, shuffled.")
    parser.add_argument("--sites", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--readouts", nargs="+", default=["summary", "blocks"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for merge_by_files.md and .json")
    arguments, flags = parser.parse_known_args()
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "merge_by_files.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    for cell in cells(arguments):
        if any(row["cell"] == cell for row in rows):
            continue
        with tempfile.TemporaryDirectory() as folder, reproducible(1):
            rows.append({"cell": cell, "found": measure(cell, flags, Path(folder))})
        print(rows[-1], file=sys.stderr, flush=True)
        with replaced_file(path) as beside:
            beside.write_text(json.dumps({"measured": describe(), "flags": flags, "rows": rows}, indent=1) + "\n")
    said = f"Accuracy in %, like train / full; {', '.join(f'{name} {value}' for name, value in describe().items())}."
    page = f"{said}\n\n{advantages(rows)}\n\n{table(rows)}\n"
    with replaced_file(arguments.output / "merge_by_files.md") as beside:
        beside.write_text(page)
    print(page)


if __name__ == "__main__":
    main()
