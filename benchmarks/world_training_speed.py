"""How long a training step of the built-in world takes, here and at an earlier commit, in turn.

    python benchmarks/world_training_speed.py --commits f333da9 HEAD --output docs/results/speed

Each commit is checked out into a temporary folder and measured in processes of its own, one commit after the other,
several times over. `f333da9` is the first at which the quickstart could be run by one command. The same three clients
train for a round after one to warm up, in which everything is embedded. CPU seconds: the machine may be shared.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from machine import describe

_FLAGS = "--data.num-train 600 --data.num-validation 50 --data.num-test 50 --partition.num-clients 3"
_ROUNDS = 5


def measure_here() -> float:
    """Returns the CPU milliseconds of a step of the fedprime that is imported: the median over rounds."""
    import fedprime
    from fedprime.runtime.in_process import InProcessClients

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    settings = fedprime.read_settings(flags=[*_FLAGS.split(), "--partition.kind", "even"])
    experiment = fedprime.build_experiment(settings)
    clients = InProcessClients(
        experiment.method, experiment.model, experiment.shards, settings.training, num_rounds=30, seed=0
    )
    state = fedprime.ServerState(experiment.model.weights())
    everybody = range(len(clients))
    clients.train(0, everybody, state)
    seconds = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        clients.train(0, everybody, state)
        seconds.append(time.process_time() - start)
    num_steps = sum(-(-len(shard) // settings.training.batch_size) for shard in experiment.shards)
    return 1000 * statistics.median(seconds) / num_steps


def measure_commits(commits: list[str], repeats: int) -> dict[str, list[float]]:
    """Returns CPU milliseconds of a step by commit, one number for each process."""
    root = Path(__file__).parent.parent
    found: dict[str, list[float]] = {commit: [] for commit in commits}
    with tempfile.TemporaryDirectory() as folder:
        for commit in commits:
            subprocess.run(["git", "worktree", "add", "--detach", f"{folder}/{commit}", commit], cwd=root, check=True)
        try:
            for _ in range(repeats):
                for commit in commits:
                    environment = os.environ | {"PYTHONPATH": f"{folder}/{commit}/src"}
                    command = [sys.executable, __file__, "--here"]
                    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                    found[commit].append(float(output.stdout.split()[-1]))
                    print(commit, found[commit][-1], file=sys.stderr, flush=True)
        finally:
            for commit in commits:
                command = ["git", "worktree", "remove", "--force", f"{folder}/{commit}"]
                subprocess.run(command, cwd=root, check=False)
    return found


def main() -> None:
    """Measures, prints a table and writes it beside the numbers."""
    parser = argparse.ArgumentParser(description="Times a training step of the built-in world at several commits.")
    parser.add_argument("--commits", nargs="+", default=["f333da9", "HEAD"])
    parser.add_argument("--repeats", type=int, default=3, help="processes for each commit")
    parser.add_argument("--output", type=Path, help="folder for world_training.json and .md")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(measure_here())
        return
    about = describe() | {"threads": "1"}
    found = measure_commits(arguments.commits, arguments.repeats)
    first = statistics.median(found[arguments.commits[0]])
    lines = ["; ".join(f"{name} {value}" for name, value in about.items()) + ".", ""]
    lines += ["| commit | CPU ms per step, median | of each process | times faster |", "|:--|--:|:--|--:|"]
    for commit, values in found.items():
        median, each = statistics.median(values), ", ".join(f"{value:.1f}" for value in values)
        lines.append(f"| {commit} | {median:.1f} | {each} | {first / median:.2f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "world_training.md").write_text(text)
        numbers = {"about": about, "milliseconds_per_step": found}
        (arguments.output / "world_training.json").write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
