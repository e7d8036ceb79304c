"""Whether a saved model, or the file of statistics beside it, tells who was in the training data.

    python benchmarks/membership.py --output docs/results/privacy    # some minutes on two cores

Members are the 1,000 training samples of the study world at 100 clients, with the holes that they have; others are
1,000 test samples that lack as much. The attacker knows a sample and its label, the model (`closed-form`), and 1,000
more test samples of the world, to know what to expect. Scores, of which a higher one says "member":

- *loss*: the loss of the sample, negated (Yeom et al. Privacy Risk in Machine Learning. CSF 2018); *confidence*: the
  largest probability, without the label.
- *calibrated*: the log odds of the label, standardised by those that heads of other samples give (Watson et al. On the
  Importance of Difficulty Calibration in Membership Inference Attacks. ICLR 2022; Carlini et al. Membership Inference
  Attacks From First Principles. IEEE S&P 2022).
- *class sums*: how far the mean of the label's class lies from where it is expected, in the direction of the sample
  (Homer et al. PLoS Genetics 2008; Dwork et al. Robust Traceability from Trace Amounts. FOCS 2015).
- *second moments*: by how much the sample's direction has a larger moment than is expected.

The file of one site is that of a model which a site trained alone, to be merged: members are its 10 samples.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

import fedprime
from fedprime.data.batches import Shard
from fedprime.experiment.build import LIKE_TRAIN
from fedprime.federation.differential_privacy import ClientPrivacy, spent_epsilon
from fedprime.models.calibration import USUAL_TEMPERATURE
from fedprime.models.class_sums import ClassSums, sum_blocks
from fedprime.models.evaluation import Predictions, predict
from fedprime.models.model_folder import STATISTICS
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.readout import Blocks
from fedprime.models.statistics import Statistics
from machine import describe

_CLIENTS, _DELTA, _OTHERS, _HEADS = 100, 1e-3, 1000, 16
_FLAGS = (
    *("--method.name=closed-form", f"--partition.num_clients={_CLIENTS}", "--partition.min_samples=2"),
    *(f"--data.num_test={2 * _OTHERS}", f"--privacy.delta={_DELTA}"),
)
_RIDGE = 1e-3  # of the mean variance, where a covariance is inverted
_ATTACKS = ("loss", "confidence", "calibrated", "class sums", "second moments")


@dataclass(frozen=True)
class _Known:
    """What an attacker has of some samples: blocks that the backbone makes of them, and labels."""

    blocks: Blocks
    labels: Tensor

    @classmethod
    def of(cls, model: PromptedModel, shard: Shard) -> "_Known":
        with torch.no_grad():
            (batch,) = shard.batches(len(shard))
            return cls(model.eval().read(batch), batch.labels)

    def rows(self, rows: np.ndarray) -> "_Known":
        values = {name: own[rows] for name, own in self.blocks.values.items()}
        present = {name: own[rows] for name, own in self.blocks.present.items()}
        return _Known(Blocks(values, present), self.labels[rows])

    def sums(self, num_labels: int) -> ClassSums:
        return sum_blocks(self.blocks, self.labels, num_labels, "one_class")


def noise_for(epsilon: float) -> float:
    """Returns the noise multiplier with which one start of all clients spends an epsilon."""
    low, high = 0.01, 1000.0
    for _ in range(60):
        middle = (low * high) ** 0.5
        privacy = ClientPrivacy(clip_norm=1.0, noise_multiplier=middle, delta=_DELTA, secret=False)
        spent = spent_epsilon(privacy, num_clients=_CLIENTS, num_asked=_CLIENTS, rounds=0, start_rounds=1)
        low, high = (middle, high) if spent > epsilon else (low, middle)
    return high


def separation(members: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """Returns the area under the curve, and which share of members is found where 1 % of others are accused."""
    ranks = rankdata(np.concatenate([members, others]))[: len(members)]
    area = (ranks.sum() - len(members) * (len(members) + 1) / 2) / (len(members) * len(others))
    return float(area), float((members > np.quantile(others, 0.99)).mean())


def log_odds(found: Predictions) -> np.ndarray:
    """Returns the log odds of each sample's label."""
    probability = np.clip(np.exp(-found.losses), 1e-12, 1 - 1e-12)
    return np.log(probability) - np.log1p(-probability)


def reference_odds(model: PromptedModel, aside: _Known, shards: Mapping[str, Shard]) -> dict[str, np.ndarray]:
    """Returns the log odds that heads of halves of other samples give: by name of the shard, (head, sample)."""
    own, rng = model.copy(), np.random.default_rng(0)
    odds: dict[str, list[np.ndarray]] = {name: [] for name in shards}
    for _ in range(_HEADS):
        half = aside.rows(rng.permutation(_OTHERS)[: _OTHERS // 2]).sums(len(model.label_names))
        head = Statistics(half, dict.fromkeys(half.total, USUAL_TEMPERATURE)).head("one_class")
        own.load_weights({**own.weights(), **head})
        for name, shard in shards.items():
            odds[name].append(log_odds(predict(own, shard)))
    return {name: np.stack(own) for name, own in odds.items()}


def sums_scores(sums: ClassSums, expected: ClassSums, known: _Known) -> dict[str, np.ndarray]:
    """Returns what sums say of samples, by attack: over the blocks of each, what is above what is expected."""
    scores = {"class sums": torch.zeros(len(known.labels)), "second moments": torch.zeros(len(known.labels))}
    scores = {name: own.double() for name, own in scores.items()}
    for name, total in expected.total.items():
        if not sums.total[name][0]:
            continue
        there = known.blocks.present[name].cpu()
        rows, labels = known.blocks.values[name].detach().cpu()[there].double(), known.labels[there].long()
        means = expected.first[name] / expected.count[name].clamp_min(1)[:, None]
        moments = expected.second_moments(name) / total[0]
        within = moments - means.T @ (means * (expected.count[name] / total[0])[:, None])
        ridge = _RIDGE * torch.eye(len(within)) * within.diagonal().mean()
        counts = sums.count[name].clamp_min(1)[:, None]
        moved = (sums.first[name] / counts - means) * (sums.count[name] > 0)[:, None]
        away = rows - means[labels]
        scores["class sums"][there] += (away * torch.linalg.solve(within + ridge, moved.T).T[labels]).sum(1)
        values, vectors = torch.linalg.eigh(moments + ridge)
        white = vectors / values.sqrt()
        excess = white.T @ (sums.second_moments(name) / sums.total[name][0] - moments) @ white
        turned = rows @ white
        scores["second moments"][there] += ((turned @ excess) * turned).sum(1) / turned.square().sum(1).sqrt()
    return {name: own.numpy() for name, own in scores.items()}


def attack(seed: int, epsilon: float) -> dict[str, Any]:
    """Trains a model and attacks it.

    Args:
        epsilon: Of the run; infinity for none.
    """
    flags = [*_FLAGS, f"--seed={seed}"]
    if epsilon < float("inf"):
        flags += ["--privacy.clip_norm=1", f"--privacy.noise_multiplier={noise_for(epsilon)}"]
    settings = fedprime.read_settings("builtin/study", flags)
    with tempfile.TemporaryDirectory() as folder:
        results = fedprime.start_run(settings, Path(folder) / "run")
        saved = Path(folder) / "run" / "model"
        model = PromptedModel.from_pretrained(saved)
        told = Statistics.load(saved, model) if (saved / STATISTICS).is_file() else None
    experiment = fedprime.build_experiment(settings)
    test = experiment.scenarios[LIKE_TRAIN]
    shards = {
        "members": Shard.joined(experiment.shards),
        "others": test.rows(np.arange(_OTHERS)),
        "aside": test.rows(np.arange(_OTHERS, 2 * _OTHERS)),
    }
    known = {name: _Known.of(model, shard) for name, shard in shards.items()}
    expected = known["aside"].sums(len(model.label_names))
    measured = {name: shards[name] for name in ("members", "others")}
    found = {name: predict(model, shard) for name, shard in measured.items()}
    references = reference_odds(model, known["aside"], measured)
    scores: dict[str, dict[str, np.ndarray]] = {}
    for name, own in found.items():
        odds, others = log_odds(own), references[name]
        scores[name] = {"loss": -own.losses, "confidence": own.probabilities.max(axis=1)}
        scores[name]["calibrated"] = (odds - others.mean(axis=0)) / (others.std(axis=0) + 1e-3)
        scores[name] |= {} if told is None else sums_scores(told.sums, expected, known[name])
    separations = {name: separation(own, scores["others"][name]) for name, own in scores["members"].items()}
    if told is not None:
        separations |= one_site(experiment.shards[:20], model, known["others"], expected)
    spent = results.get("privacy", {}).get("epsilon")
    return {"accuracy": results["scenarios"][LIKE_TRAIN]["accuracy"], "epsilon": spent, "separation": separations}


def one_site(
    shards: tuple[Shard, ...], model: PromptedModel, others: _Known, expected: ClassSums
) -> dict[str, tuple[float, float]]:
    """Returns how well the files of single sites tell their members, in the mean over sites."""
    found: dict[str, list[tuple[float, float]]] = {}
    for shard in shards:
        own = _Known.of(model, shard)
        sums = own.sums(len(model.label_names))
        inside, outside = (sums_scores(sums, expected, known) for known in (own, others))
        for name, scores in inside.items():
            found.setdefault(f"{name} of one site", []).append(separation(scores, outside[name]))
    return {
        name: (float(np.mean([a for a, _ in own])), float(np.mean([t for _, t in own]))) for name, own in found.items()
    }


def main() -> None:
    """Attacks, prints a table and writes it beside the numbers."""
    parser = argparse.ArgumentParser(description="Membership inference against saved models and their statistics.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, help="folder for membership.json and .md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started, about = time.process_time(), describe()
    kinds = {"off": float("inf"), "epsilon 10": 10.0, "epsilon 1": 1.0}
    found = {name: [attack(seed, epsilon) for seed in arguments.seeds] for name, epsilon in kinds.items()}
    about["CPU seconds"] = f"{time.process_time() - started:.0f}"
    text = _table(found, about)
    print(text)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "membership.md").write_text(text, encoding="utf-8")
        (arguments.output / "membership.json").write_text(json.dumps({"about": about, "found": found}, indent=2) + "\n")


def _table(found: Mapping[str, list[dict[str, Any]]], about: Mapping[str, str]) -> str:
    names = [*_ATTACKS, "class sums of one site", "second moments of one site"]
    lines = ["; ".join(f"{name} {value}" for name, value in about.items()) + ".", ""]
    lines += [f"| attack | {' | '.join(f'privacy {kind}' for kind in found)} |", "|:--|" + "--:|" * len(found)]
    accuracies = [_spread([100 * run["accuracy"] for run in runs], "{:.1f} ± {:.1f} %") for runs in found.values()]
    lines.append(f"| accuracy like train | {' | '.join(accuracies)} |")
    for name in names:
        cells = [_cell(runs, name) for runs in found.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(runs: list[dict[str, Any]], name: str) -> str:
    if name not in runs[0]["separation"]:
        return "no file"
    areas, shares = zip(*(run["separation"][name] for run in runs), strict=True)
    return f"{_spread(areas, '{:.3f} ± {:.3f}')}, {_spread([100 * share for share in shares], '{:.1f} ± {:.1f} %')}"


def _spread(values: Any, form: str) -> str:
    return form.format(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0)


if __name__ == "__main__":
    main()
