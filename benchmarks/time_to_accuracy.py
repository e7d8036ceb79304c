"""Time to accuracy: CPU seconds, rounds and bytes until each method reaches what FEDAVG-P ends with.

    python benchmarks/time_to_accuracy.py --output docs/results/time_to_accuracy --seeds 0 1 2
    python benchmarks/time_to_accuracy.py --output docs/results/time_to_accuracy/flipkart7 --recipe flipkart7/missing

The goal is set in the paper's protocol: FEDAVG-P as in its paper, 250 rounds of one step of plain SGD at each of 20
clients. It is the validation accuracy after the last round; a method reaches it in the first measured round that is at
least as good. CPU seconds are those of everything from the first round on, measuring on validation samples included;
embeddings were computed before. Goes on where it was stopped (a quarter of an hour for each seed on a free core).
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from fedprime.reproducibility.atomic_files import replaced_file
from fedprime.runs.callbacks import Callback
from fedprime.runs.metrics import Progress
from fedprime.runs.run import complete_run
from fedprime.settings.reading import read_settings
from machine import describe

#: Plain SGD, one step of each client in a round, as in the paper.
PROTOCOL = (
    "--method.paper=true",
    "--training.rounds=250",
    "--training.epochs=1",
    "--training.batch_size=512",
    "--training.optimizer=sgd",
    "--training.max_gradient_norm=0",
    "--training.schedule=constant",
    "--evaluation.every=5",
)
DEFAULT = ("--evaluation.every=1",)
#: By the name of a row, the method and how it is trained. The first sets the goal.
ROWS = {
    "fedavg-p, paper's protocol": ("--method.name=fedavg-p", *PROTOCOL),
    "fedprime, paper's protocol": ("--method.name=fedprime", *PROTOCOL),
    "pfpt, paper's protocol": ("--method.name=pfpt", *PROTOCOL),
    "head-only, paper's protocol": ("--method.name=head-only", *PROTOCOL),
    "fedavg-p, as in its paper with AdamW": ("--method.name=fedavg-p", "--method.paper=true", *DEFAULT),
    "closed-form": ("--method.name=closed-form", *DEFAULT),
    "fedavg-p": ("--method.name=fedavg-p", *DEFAULT),
    "fedprime": ("--method.name=fedprime", *DEFAULT),
}
GOAL = next(iter(ROWS))


@dataclass
class CpuSeconds(Callback):
    """Writes how many CPU seconds a run has taken after each round, counted from 1; those of the start end with 0.

    Attributes:
        path: A line for each round: its number and the seconds since the one before.
    """

    path: Path
    last: float = 0.0

    def round_finished(self, progress: Progress) -> None:
        """Writes a line."""
        now = time.process_time()
        number = progress.round_number if progress.start is None else progress.start[0] - progress.start[1]
        with self.path.open("a") as lines:
            lines.write(json.dumps({"round": number, "cpu_seconds": now - self.last}) + "\n")
        self.last = now


def run_of(folder: Path, recipe: str, seed: int, flags: Sequence[str]) -> list[dict[str, float]]:
    """Makes a run, or takes the finished one, and returns what it had come to after each measured round."""
    times = folder.with_suffix(".cpu.jsonl")
    times.parent.mkdir(parents=True, exist_ok=True)
    settings = read_settings(recipe, ["--partition.num_clients=20", f"--seed={seed}", *flags])
    complete_run(settings, folder, callbacks=[CpuSeconds(times, time.process_time())])
    seconds: dict[int, float] = {}
    for line in times.read_text().splitlines():
        row = json.loads(line)
        seconds[row["round"]] = row["cpu_seconds"]  # of a round that was made again, the last time
    told: list[dict[str, float]] = []
    sent = spent = 0.0
    for number, line in enumerate((folder / "metrics.jsonl").read_text().splitlines(), 1):
        row = json.loads(line)
        sent += row["bytes_down"] + row["bytes_up"]
        spent += seconds[row["round"] + 1]
        if "accuracy" in row:
            told.append({"rounds": number, "cpu_seconds": spent, "megabytes": sent / 1e6, "accuracy": row["accuracy"]})
    return told


def reached(told: Sequence[Mapping[str, float]], goal: float) -> Mapping[str, float] | None:
    """Returns the first of what a run had come to that is as good as the goal; None if none is."""
    return next((row for row in told if row["accuracy"] >= goal), None)


def table(found: Mapping[str, Mapping[str, list[dict[str, float]]]]) -> str:
    """Returns a row for each method: medians over the seeds that reached the goal, and how many did."""
    goals = {seed: told[-1]["accuracy"] for seed, told in found[GOAL].items()}
    lines = ["| method | reached by | rounds | CPU s | MB | times less CPU | ends with, % |", "| :-- |" + " --: |" * 6]
    rows: dict[str, list[Mapping[str, float]]] = {}
    for name, of_seed in found.items():
        rows[name] = [row for seed, told in of_seed.items() if (row := reached(told, goals[seed])) is not None]
    for name, of_seed in found.items():
        ends = f"{100 * median(told[-1]['accuracy'] for told in of_seed.values()):.1f}"
        if not rows[name]:
            lines.append(f"| {name} | 0 of {len(of_seed)} | - | - | - | - | {ends} |")
            continue
        rounds, cpu, size = (median(row[key] for row in rows[name]) for key in ("rounds", "cpu_seconds", "megabytes"))
        ratio = median(row["cpu_seconds"] for row in rows[GOAL]) / cpu
        cells = [f"{len(rows[name])} of {len(of_seed)}", f"{rounds:.0f}", f"{cpu:.1f}", f"{size:.1f}", f"{ratio:.1f}"]
        lines.append(f"| {' | '.join([name, *cells, ends])} |")
    return "\n".join(lines)


def draw(found: Mapping[str, Mapping[str, list[dict[str, float]]]], path: Path) -> None:
    """Draws validation accuracy over CPU seconds, of the first seed."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, of_seed in found.items():
        told = next(iter(of_seed.values()))
        style = {"linestyle": "--" if "paper" in name else "-", "marker": "o" if len(told) == 1 else None}
        axes.plot([row["cpu_seconds"] for row in told], [100 * row["accuracy"] for row in told], label=name, **style)
    goal = 100 * next(iter(found[GOAL].values()))[-1]["accuracy"]
    axes.axhline(goal, color="black", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", xlabel="CPU seconds since the first round", ylabel="validation accuracy, %")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path.with_suffix(".svg"))
    figure.savefig(path.with_suffix(".png"), dpi=150)
    plt.close(figure)


def main() -> None:
    """Makes every run that is left to do, then the table and the figure."""
    parser = argparse.ArgumentParser(description="Time to accuracy.")
    parser.add_argument("--recipe", default="builtin/study")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rows", nargs="+", choices=tuple(ROWS), default=tuple(ROWS))
    parser.add_argument("--lr", type=float, default=0.05, help="learning rate of the paper's protocol")
    parser.add_argument("--runs", type=Path, default=Path("runs/time_to_accuracy"), help="folder of the runs")
    parser.add_argument("--output", type=Path, required=True, help="folder for the table and the figure")
    arguments, more = parser.parse_known_args()
    found: dict[str, dict[str, Any]] = {}
    for seed in arguments.seeds:
        for name in [GOAL, *(name for name in arguments.rows if name != GOAL)]:
            folder = arguments.runs / re.sub(r"\W+", "-", f"{arguments.recipe} {name} {seed}")
            flags = [*ROWS[name], *([f"--training.lr={arguments.lr}"] if "protocol" in name else []), *more]
            found.setdefault(name, {})[str(seed)] = run_of(folder, arguments.recipe, seed, flags)
            print(name, seed, found[name][str(seed)][-1], file=sys.stderr, flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    machine = ", ".join(f"{name} {value}" for name, value in describe().items())
    seeds = ", ".join(map(str, arguments.seeds))
    said = f"`{arguments.recipe}`, seeds {seeds}; medians over seeds; {machine}."
    with replaced_file(arguments.output / "time_to_accuracy.md") as beside:
        beside.write_text(f"{said}\n\n{table(found)}\n")
    with replaced_file(arguments.output / "time_to_accuracy.json") as beside:
        beside.write_text(json.dumps({"measured": describe(), "recipe": arguments.recipe, "found": found}) + "\n")
    draw(found, arguments.output / "time_to_accuracy")
    print(f"{said}\n\n{table(found)}")


if __name__ == "__main__":
    main()
