"""Times a round of the same run in process, in a simulation and in a deployment on this machine, and compares the bits.

Run it from a checkout with the extra `simulation`; processor seconds of all processes tell more than seconds do on a
machine that is shared:

    python benchmarks/runtimes.py --clients 2 --rounds 3
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_FLAGS = {
    "data.num_train": "40",
    "data.num_validation": "8",
    "data.num_test": "24",
    "data.num_classes": "3",
    "partition.min_samples": "3",
    "training.batch_size": "8",
    "evaluation.every": "1000",
}
_COMMAND = (sys.executable, "-m", "fedprime")
_PORT = "19292"


def main() -> None:
    """Reads the command line and prints a table."""
    parser = argparse.ArgumentParser(description="Time a round on three runtimes.")
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=["in-process", "simulation", "deployment"])
    options = parser.parse_args()
    flags = _FLAGS | {"partition.num_clients": str(options.clients), "training.rounds": str(options.rounds)}
    flags["training.epochs"] = str(options.epochs)
    words = [word for name, value in flags.items() for word in (f"--{name}", value)]
    print("| runtime | s of each round | processor s of the whole run | weights |\n| :-- | :-- | --: | :-- |")
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds:
            run, before = Path(folder) / kind, _processor_seconds()
            if kind == "deployment":
                _deploy(Path(folder), run, options.clients, words)
            else:
                command = [*_COMMAND, "run", "builtin/quickstart", "--output", str(run), *words]
                subprocess.run([*command, "--runtime.kind", kind], check=True, stdout=subprocess.DEVNULL)
            lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
            seconds = ", ".join(f"{line['seconds']:.1f}" for line in lines)
            digest = hashlib.sha256((run / "checkpoint.safetensors").read_bytes()).hexdigest()[:12]
            print(f"| {kind} | {seconds} | {_processor_seconds() - before:.0f} | {digest} |", flush=True)
    print(f"\n{options.clients} clients, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}, {time.strftime('%F')}")


def _deploy(folder: Path, run: Path, num_clients: int, words: list[str]) -> None:
    keys = folder / "keys"
    command = [*_COMMAND, "deploy", "keys", str(keys), "--hosts", "127.0.0.1", "--clients", str(num_clients)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    clients = [
        subprocess.Popen(
            [
                *(*_COMMAND, "deploy", "client", "--keys", str(keys / f"client-{number}")),
                *("--server", f"127.0.0.1:{_PORT}", "--state", str(folder / f"state-{number}")),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number in range(num_clients)
    ]
    try:
        command = [*_COMMAND, "deploy", "server", "builtin/quickstart", "--keys", str(keys / "server")]
        command += ["--output", str(run), "--port", _PORT, *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    finally:
        for client in clients:
            client.terminate()
        for client in clients:
            client.wait()


def _processor_seconds() -> float:
    """Returns the processor time of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
