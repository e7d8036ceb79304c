"""How long a training step of the built-in world takes, here and at an earlier commit, in turn.

    python benchmarks/world_training_speed.py --commits f333da9 HEAD --output docs/results/speed    # three minutes

Each commit is checked out into a temporary folder and measured in processes of its own, one commit after the other,
several times over. `f333da9` is the first at which the quickstart could be run by one command. The same three clients
train for a round after one to warm up, in which everything is embedded. CPU seconds: the machine may be shared.

What a step cannot do without is counted as in `training_speed.py`, and set beside the rate of float32 products of that
width: so long a step would take if nothing but products took time, and those ran at full speed.
"""

import argparse
import cProfile
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from machine import Clock, describe, matmul_rates

_FLAGS = "--data.num-train 600 --data.num-validation 50 --data.num-test 50 --partition.num-clients 3"
_ROUNDS = 5
_NUM_LAYERS = 3  # of the tiny backbone
_HEAVY = ("'run_backward'", "_nn.linear", "_nn.scaled_dot_product_attention", "torch.layer_norm", "_nn.gelu")


def measure_here() -> tuple[float, float]:
    """Measures a step of the fedprime that is imported.

    Returns:
        CPU milliseconds, the median over rounds; and how many of those of one more round are spent in the five heaviest
        operations (backward, linear, attention, layer norm, GELU), outside of Python and of everything else.
    """
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
    profile = cProfile.Profile(time.process_time)
    profile.runcall(clients.train, 0, everybody, state)
    entries = pstats.Stats(profile).stats  # pyright: ignore[reportAttributeAccessIssue]
    heavy = sum(entry[2] for place, entry in entries.items() if any(name in place[2] for name in _HEAVY))
    return 1000 * statistics.median(seconds) / num_steps, 1000 * heavy / num_steps


def least_milliseconds() -> tuple[float, float]:
    """Returns the useful MFLOP of a step, and how many CPU milliseconds they take at the rate of products alone."""
    import fedprime
    from training_speed import useful_flops  # which an earlier fedprime cannot import

    torch.set_num_threads(1)
    settings = fedprime.read_settings(flags=[*_FLAGS.split(), "--partition.kind", "even"])
    experiment = fedprime.build_experiment(settings)
    batches = [batch for shard in experiment.shards for batch in shard.batches(settings.training.batch_size)]
    dim = experiment.model.backbone.dim
    flops = sum(useful_flops(batch, dim, _NUM_LAYERS) for batch in batches) / len(batches)
    clock = Clock()
    rate = max(matmul_rates(clock, dim, dtypes=(torch.float32,))["float32"] for _ in range(20))
    return flops / 1e6, 1000 * flops / rate


def measure_commits(commits: list[str], repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Returns what `measure_here` says by commit, once for each process."""
    root = Path(__file__).parent.parent
    found: dict[str, list[tuple[float, float]]] = {commit: [] for commit in commits}
    with tempfile.TemporaryDirectory() as folder:
        for commit in commits:
            subprocess.run(["git", "worktree", "add", "--detach", f"{folder}/{commit}", commit], cwd=root, check=True)
        try:
            for _ in range(repeats):
                for commit in commits:
                    environment = os.environ | {"PYTHONPATH": f"{folder}/{commit}/src"}
                    command = [sys.executable, __file__, "--here"]
                    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                    step, heavy = map(float, output.stdout.split()[-2:])
                    found[commit].append((step, heavy))
                    print(commit, found[commit][-1], file=sys.stderr, flush=True)
        finally:
            for commit in commits:
                command = ["git", "worktree", "remove", "--force", f"{folder}/{commit}"]
                subprocess.run(command, cwd=root, check=False)
    return found


def _short(commit: str) -> str:
    command = ["git", "rev-parse", "--short", commit]
    output = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return output.stdout.strip()


def main() -> None:
    """Measures, prints a table and writes it beside the numbers."""
    parser = argparse.ArgumentParser(description="Times a training step of the built-in world at several commits.")
    parser.add_argument("--commits", nargs="+", default=["f333da9", "HEAD"])
    parser.add_argument("--repeats", type=int, default=3, help="processes for each commit")
    parser.add_argument("--output", type=Path, help="folder for world_training.json and .md")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(*measure_here())
        return
    about = describe() | {"threads": "1"}
    commits = [_short(commit) for commit in arguments.commits]
    found = measure_commits(commits, arguments.repeats)
    megaflops, least = least_milliseconds()
    first = statistics.median(step for step, _ in found[commits[0]])
    lines = ["; ".join(f"{name} {value}" for name, value in about.items()) + ".", ""]
    lines += [
        "| commit | CPU ms per step | of each process | in heavy operations | times faster |",
        "|:--|--:|:--|--:|--:|",
    ]
    for commit, values in found.items():
        median, each = statistics.median(step for step, _ in values), ", ".join(f"{step:.1f}" for step, _ in values)
        heavy = statistics.median(heavy for _, heavy in values)
        lines.append(f"| {commit} | {median:.1f} | {each} | {heavy:.1f} | {first / median:.2f} |")
    lines += [
        "",
        f"Useful: {megaflops:.0f} MFLOP per step, {least:.1f} ms at the rate of float32 products of that width.",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "world_training.md").write_text(text)
        numbers = {"about": about, "milliseconds_per_step": found}
        numbers |= {"useful_megaflops_per_step": megaflops, "milliseconds_of_products_alone": least}
        (arguments.output / "world_training.json").write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
