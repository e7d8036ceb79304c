"""How long a round takes with the clients of a process in one pass of the backbone, against an earlier commit.

    python benchmarks/stacked_rounds.py --repeats 5 --output docs/results/speed    # six minutes on a free core

Three variants take the same rounds in turn: the commit named, from a temporary folder; this one, one client after the
other; and this one as it is by default. Each commit has a process of its own, so that both stay loaded and A stands
beside B in time: what else the machine does meets both. A round is that of training with the server's part, from the
state that the start has made; the measurement on validation samples that follows it is timed by itself. CPU seconds.
At the end torch's profiler tells what share of torch's operations are products, attention and GELU, with gradients.
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
from typing import Any

_BEFORE = "ccb5dd5"
_RECIPES = ("builtin/study", "builtin/quickstart")
_ONE_BY_ONE, _DEFAULT = "one by one", "as by default"
_PROFILED = "profiled"
#: Parts of the names of what torch calls the operations that every row takes, joined or not.
_HEAVY = ("::mm", "addmm", "bmm", "scaled_dot_product", "gelu")


def serve(recipe: str) -> None:
    """Takes rounds of the fedprime that is imported as standard input asks for them; prints their CPU seconds."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    import fedprime
    from fedprime.experiment.run_folder import Checkpoint
    from fedprime.federation.rounds import Schedule, federate
    from fedprime.federation.start import start_rounds
    from fedprime.reproducibility.determinism import reproducible
    from fedprime.runs.evaluators import OwnSamples
    from fedprime.runtime.in_process import InProcessClients

    settings = fedprime.read_settings(recipe)
    experiment = fedprime.build_experiment(settings)
    method, model, num_clients = experiment.method, experiment.model, len(experiment.shards)

    def clients(**how: int) -> InProcessClients:
        parts: dict[str, Any] = {"num_rounds": settings.training.rounds, "seed": 0, **how}
        parts["validation"] = {client: experiment.validation_of(client) for client in range(num_clients)}
        return InProcessClients(method, model, experiment.shards, settings.training, **parts)

    schedule = Schedule(1, start=start_rounds(method, model.task))
    states = federate(
        method, clients(), method.initial_state(model, num_clients), schedule, seed=0, first_round=-len(schedule.start)
    )
    with reproducible(settings.threads):
        state = next(step.state for step in states if step.number == -1)
        by_name = {_DEFAULT: clients()}
        evaluator = OwnSamples(experiment)
        print(torch.backends.cpu.get_cpu_capability(), flush=True)
        for line in sys.stdin:
            name = line.strip()
            if name == _PROFILED:
                with profile(activities=[ProfilerActivity.CPU]) as profiled:
                    by_name[_DEFAULT].train(1, range(num_clients), state)
                events = profiled.key_averages()
                spent = [event for event in events if any(part in event.key for part in _HEAVY)]
                heavy, whole = (sum(event.self_cpu_time_total for event in own) for own in (spent, events))
                print(heavy / whole, flush=True)
                continue
            if name == _ONE_BY_ONE and name not in by_name:
                by_name[name] = clients(stacked_clients=1)
            began = time.process_time()
            updates = by_name[name].train(1, range(num_clients), state)
            trained = time.process_time()
            after = method.aggregate(state, updates, torch.Generator().manual_seed(0))
            finished = time.process_time()
            evaluator.on_validation(Checkpoint(2, after))
            print(trained - began, finished - began, time.process_time() - finished, flush=True)


def _process(source: Path, recipe: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": f"{source}/src"}
    command = [sys.executable, __file__, "--serve", recipe]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _line(process: subprocess.Popen[str]) -> list[str]:
    if process.stdout is None:
        raise RuntimeError("the process has no output")
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the process that takes rounds ended with {process.wait()}")
    return line.split()


def _ask(process: subprocess.Popen[str], name: str) -> tuple[float, ...]:
    if process.stdin is None:
        raise RuntimeError("the process has no input")
    process.stdin.write(name + "\n")
    process.stdin.flush()
    return tuple(map(float, _line(process)))


def measure(before: Path, recipe: str, repeats: int) -> tuple[str, float, dict[str, list[tuple[float, ...]]]]:
    """Returns instruction set, share of heavy operations, and by variant CPU seconds of training, round, evaluation."""
    here = Path(__file__).parent.parent
    old, new = _process(before, recipe), _process(here, recipe)
    (capability,), _ = _line(old), _line(new)
    variants = {_BEFORE: (old, _DEFAULT), _ONE_BY_ONE: (new, _ONE_BY_ONE), _DEFAULT: (new, _DEFAULT)}
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in variants}
    for repeat in range(repeats + 1):  # after one to warm up
        for name, (process, asked) in variants.items():
            seconds = _ask(process, asked)
            if repeat:
                found[name].append(seconds)
        print(recipe, repeat, {name: own[-1:] for name, own in found.items()}, file=sys.stderr, flush=True)
    (heavy,) = _ask(new, _PROFILED)
    for process in (old, new):
        process.communicate()
    return capability, heavy, found


def main() -> None:
    """Measures, prints a table and writes it beside the numbers."""
    parser = argparse.ArgumentParser(description="Times rounds, several clients in one pass or one by one.")
    parser.add_argument("--before", default=_BEFORE, help="the commit to compare with")
    parser.add_argument("--repeats", type=int, default=7, help="rounds of each variant, after one to warm up")
    parser.add_argument("--output", type=Path, help="folder for stacked_rounds.json and .md")
    parser.add_argument("--serve", metavar="RECIPE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    from machine import describe

    root, about = Path(__file__).parent.parent, describe() | {"threads": "1"}
    numbers, heavy = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        command = ["git", "worktree", "add", "--detach", str(before), arguments.before]
        subprocess.run(command, cwd=root, check=True, capture_output=True)
        try:
            for recipe in _RECIPES:
                about["instructions"], heavy[recipe], numbers[recipe] = measure(before, recipe, arguments.repeats)
        finally:
            command = ["git", "worktree", "remove", "--force", str(before)]
            subprocess.run(command, cwd=root, check=False, capture_output=True)
    about["load at the end"] = f"{os.getloadavg()[0]:.1f}"
    lines = ["; ".join(f"{name} {value}" for name, value in about.items()) + ".", ""]
    lines += [
        "| recipe | variant | training, CPU s | round, CPU s | times faster | evaluation, CPU s | of the round |",
        "|:--|:--|--:|--:|--:|--:|--:|",
    ]
    for recipe, found in numbers.items():
        medians = {
            name: [statistics.median(column) for column in zip(*own, strict=True)] for name, own in found.items()
        }
        first = medians[_BEFORE][1]
        lines += [
            f"| {recipe} | {name} | {train:.2f} | {whole:.2f} | {first / whole:.2f} | {evaluation:.2f} | "
            f"{100 * evaluation / (whole + evaluation):.0f} % |"
            for name, (train, whole, evaluation) in medians.items()
        ]
    told = ", ".join(f"{recipe} {share:.0%}" for recipe, share in heavy.items())
    lines += ["", f"Products, attention and GELU with their gradients, of all time in torch as by default: {told}."]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "stacked_rounds.md").write_text(text)
        (arguments.output / "stacked_rounds.json").write_text(
            json.dumps({"about": about, "seconds": numbers, "share of heavy operations": heavy}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
