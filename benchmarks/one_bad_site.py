"""What one site that lies does to the closed form of all, with the guards of the start and without.

    python benchmarks/one_bad_site.py --output docs/results/one_bad_site    # a minute on a free core

`builtin/study` with 5, 10 and 20 clients, of which that of the median size lies; accuracy like train, mean over seeds.
What it sends is what samples can add up to, so that no check of the sums alone finds it out. *Without guards* is
`runtime.max_step` 0.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedprime.experiment.build import LIKE_TRAIN, Experiment, build_experiment
from fedprime.federation.guard import Guard
from fedprime.federation.rounds import Schedule, federate
from fedprime.methods.method import ServerState, Update
from fedprime.models.evaluation import predict, score
from fedprime.reproducibility.determinism import reproducible
from fedprime.runs.round_maker import start_of
from fedprime.runs.run_loop import before_start
from fedprime.runtime.local_clients import LocalClients, local_clients
from fedprime.settings.reading import read_settings
from machine import describe, show_page

_SUMS, _SHRINKAGE = -5, -4  # numbers of the rounds; those behind weigh blocks
_HUGE = 1e6
#: What a site makes of the values that it measured in a round of this number.
Lie = Callable[[int, dict[str, Tensor]], Mapping[str, Tensor]]


def _moments_times(factor: float, scatter: float = 0.0) -> Lie:
    """Values that are so many times as large, with so many times their mean square added in all directions."""

    def lie(number: int, sent: dict[str, Tensor]) -> Mapping[str, Tensor]:
        for name in list(sent) if number == _SUMS else ():
            kind, block = name.removeprefix("sums.").partition(".")[::2]
            if kind == "first":
                sent[name] = factor * sent[name]
            elif kind == "total":
                sent[name] = torch.cat([sent[name][:1], factor * sent[name][1:]])
            elif kind == "second":
                width = len(sent[f"sums.total.{block}"]) - 1
                rows = torch.arange(width)
                diagonal = rows * width - rows * (rows - 1) // 2
                sent[name] = factor**2 * sent[name]
                sent[name][diagonal] += scatter * sent[name][diagonal].mean()
        return sent

    return lie


def _flipped(number: int, sent: dict[str, Tensor]) -> Mapping[str, Tensor]:
    """Labels in the opposite order."""
    for name in sent if number == _SUMS else ():
        if name == "sums.labels" or name.startswith(("sums.count.", "sums.first.")):
            sent[name] = sent[name].flip(0)
    return sent


def _choosing(temperature: int, place: int, slope: float) -> Lie:
    """Likelihoods by which blocks should weigh so much, and nothing else is possible."""

    def lie(number: int, sent: dict[str, Tensor]) -> Mapping[str, Tensor]:
        for name in list(sent) if number == _SHRINKAGE else ():
            if name.startswith("likelihood."):
                sent[name] = torch.full_like(sent[name], -_HUGE)
                sent[name][:, 0, temperature] = 0
        if number > _SHRINKAGE:
            sent["value"] = torch.full_like(sent["value"], -_HUGE)
            sent["value"][:, place] = 0
            sent["gradient"] = torch.full_like(sent["gradient"], slope * _HUGE)
            sent["hessian"] = torch.zeros_like(sent["hessian"])
        return sent

    return lie


#: By what it does, the lie, and how many times as many samples as it has it says that it has.
LIES: dict[str, tuple[Lie, int]] = {
    "is honest": (lambda _, sent: sent, 1),
    "has values that are 10 times as large": (_moments_times(10), 1),
    "has 900 times the scatter": (_moments_times(1, 900), 1),
    "says that all blocks should hardly count": (_choosing(0, 0, -1), 1),
    "says that all should count most": (_choosing(-1, -1, 1), 1),
    "has labels in the opposite order": (_flipped, 1),
    "the same, and says that it has 10 times its samples": (_flipped, 10),
}


class OneLiar:
    """Clients of which one changes what it measured."""

    def __init__(self, inside: LocalClients, liar: int, lie: Lie, times: int) -> None:
        self._inside, self._liar, self._lie, self._times = inside, liar, lie, times
        self.kept, self.residuals = inside.kept, inside.residuals

    def __len__(self) -> int:
        return len(self._inside)

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        """Returns what clients measure, and what one says that it did."""
        updates = self._inside.train(round_number, clients, state)
        return [self._changed(round_number, one) if one.client == self._liar else one for one in updates]

    def _changed(self, number: int, update: Update) -> Update:
        sent = {name: self._times * value for name, value in update.weights.items()}
        return replace(update, num_samples=self._times * update.num_samples, weights=self._lie(number, sent))


def scores(num_clients: int, seed: int) -> dict[str, list[tuple[float, float]]]:
    """Returns by lie the accuracy and the loss without guards, and with them."""
    flags = [f"--seed={seed}", "--method.name=closed-form", f"--partition.num_clients={num_clients}"]
    settings = read_settings("builtin/study", flags)
    found: dict[str, list[tuple[float, float]]] = {}
    with reproducible(settings.threads):
        experiment = build_experiment(settings)
        holders = experiment.holders
        before = before_start(experiment.method, experiment.model, settings, num_clients).state
        liar = sorted(range(num_clients), key=lambda client: len(holders[client]))[num_clients // 2]
        for name, (lie, times) in LIES.items():
            for max_step in (0.0, settings.runtime.max_step):
                inside = local_clients(experiment, dict(enumerate(holders)), settings)
                clients = OneLiar(inside, liar, lie, times)
                guard = Guard(max_step, settings.runtime.max_samples)
                found.setdefault(name, []).append(_started(experiment, before, clients, guard))
    return found


def _started(experiment: Experiment, before: ServerState, clients: OneLiar, guard: Guard) -> tuple[float, float]:
    method, model, settings = experiment.method, experiment.model, experiment.settings
    start = start_of(method, model, settings)
    schedule = Schedule(0, start=start, guard=guard)
    *_, last = federate(method, clients, before, schedule, seed=settings.seed, first_round=-len(start))
    model.load_weights(last.state.shared)
    known = score(predict(model, experiment.scenarios[LIKE_TRAIN], 128)).known()
    return known["accuracy"], known["loss"]


def main() -> None:
    """Measures, prints a table and writes it."""
    parser = argparse.ArgumentParser(description="One site that lies in the closed form's start.")
    parser.add_argument("--clients", nargs="+", type=int, default=[5, 10, 20])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--output", type=Path, help="folder for one_bad_site.md and one_bad_site.json")
    arguments = parser.parse_args()
    about = describe()
    found = {number: [scores(number, seed) for seed in arguments.seeds] for number in arguments.clients}
    heads = [f"of {number}, {what}" for number in found for what in ("without guards", "with", "loss")]
    lines = [f"{'; '.join(f'{name} {value}' for name, value in about.items())}; seeds {arguments.seeds}.", ""]
    lines += [f"| one site | {' | '.join(heads)} |", f"|:--|{'--:|' * len(heads)}"]
    for name in LIES:
        cells = []
        for of_seeds in found.values():
            (without, loss_without), (guarded, loss) = np.mean([one[name] for one in of_seeds], axis=0)
            cells += [f"{100 * without:.1f}", f"{100 * guarded:.1f}", f"{loss_without:.2f} → {loss:.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    show_page(lines, arguments.output / "one_bad_site.md" if arguments.output else None)
    if arguments.output:
        (arguments.output / "one_bad_site.json").write_text(
            json.dumps({"about": about, "found": found}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
