"""Memory and time of a run over the number of clients: the same samples, divided among ever more of them.

    python benchmarks/many_clients.py --clients 10 100 1000 10000 --output docs/results/scale

Prints a Markdown table, and writes it there with its numbers (many_clients.md, many_clients.json). A tenth of the
clients takes part in a round, so that the samples trained on in a round stay the same; the start asks all of them. Each
row is a `fedprime run` in a process of its own.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from alignment_speed import commit, machine
from fedprime.reproducibility.atomic_files import replaced_file

HEADS = {
    "clients": "clients",
    "asked": "take part",
    "samples": "samples",
    "peak_mebibytes": "peak memory, MiB",
    "seconds_of_start": "s of the start",
    "seconds_per_round": "s/round",
    "seconds": "s/run",
    "cpu_seconds": "CPU s/run",
    "folder_kilobytes": "run folder, kB",
    "metrics_kilobytes": "metrics, kB/round",
}


def measure(num_clients: int, samples: int, rounds: int, flags: list[str]) -> dict[str, Any]:
    """Returns one row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        words = ["run", "builtin/study", "--output", run, "--data.num-train", samples]
        words += ["--partition.kind", "even", "--partition.num-clients", num_clients]
        words += ["--training.fraction", min(1.0, max(0.1, 1 / num_clients)), "--training.rounds", rounds]
        words += ["--evaluation.every", rounds, *flags]
        command = [sys.executable, "-m", "fedprime", *map(str, words)]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status != 0:
            raise SystemExit(f"{' '.join(command)} failed; see its message above")
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return {
            "clients": num_clients,
            "asked": lines[-1]["asked"],
            "samples": samples,
            "peak_mebibytes": round(used.ru_maxrss / 1024),
            "seconds_of_start": round(sum(line["seconds"] for line in lines if line["round"] < 0), 2),
            "seconds_per_round": round(sum(line["seconds"] for line in lines if line["round"] >= 0) / rounds, 2),
            "seconds": round(seconds, 1),
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
            "folder_kilobytes": round(sum(path.stat().st_size for path in run.rglob("*") if path.is_file()) / 1000),
            "metrics_kilobytes": round((run / "metrics.jsonl").stat().st_size / 1000 / rounds, 1),
        }


def main() -> None:
    """Measures every number of clients that was asked for."""
    parser = argparse.ArgumentParser(description="Memory and time of a run over the number of clients.")
    parser.add_argument("--clients", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--samples", type=int, default=20_000, help="training samples, over all clients")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="folder for many_clients.md and many_clients.json")
    arguments, flags = parser.parse_known_args()
    rows = []
    for num_clients in arguments.clients:
        rows.append(measure(num_clients, arguments.samples, arguments.rounds, flags))
        print(rows[-1], file=sys.stderr, flush=True)
    head = (
        f"{machine()}, 1 thread, shared with other work; {datetime.datetime.now(datetime.UTC):%Y-%m-%d}; "
        f"torch {torch.__version__}; commit {commit()}; fedprime, {arguments.rounds} rounds, seed 0"
        f"{'; ' + ' '.join(flags) if flags else ''}."
    )
    table = "\n".join(
        [head, "", f"| {' | '.join(HEADS.values())} |", f"|{'---:|' * len(HEADS)}"]
        + [f"| {' | '.join(str(row[name]) for name in HEADS)} |" for row in rows]
    )
    print(table)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        with replaced_file(arguments.output / "many_clients.md") as beside:
            beside.write_text(table + "\n")
        with replaced_file(arguments.output / "many_clients.json") as beside:
            beside.write_text(json.dumps({"measured": head, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
