"""What it takes to start: CPU seconds of commands that train nothing, and of the imports of a run.

    python benchmarks/start_up.py [--repeats 5]

Each command is a process of its own, whose CPU seconds (user and system) are measured; the table has their median.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence

COMMANDS = {
    "python alone": ("-c", "pass"),
    "import fedprime": ("-c", "import fedprime"),
    "--help": ("-m", "fedprime", "--help"),
    "--version": ("-m", "fedprime", "--version"),
    "recipes list": ("-m", "fedprime", "recipes", "list"),
    "wrong verb": ("-m", "fedprime", "rnu"),
    "wrong recipe": ("-m", "fedprime", "run", "builtin/quickstrat"),
    "wrong flag": ("-m", "fedprime", "run", "builtin/quickstart", "--traning.rounds", "3"),
    "run --help": ("-m", "fedprime", "run", "--help"),
    "grid --help": ("-m", "fedprime", "grid", "--help"),
    "data check --help": ("-m", "fedprime", "data", "check", "--help"),
    "cache prune --help": ("-m", "fedprime", "cache", "prune", "--help"),
    "deploy client --help": ("-m", "fedprime", "deploy", "client", "--help"),
    "predict --help": ("-m", "fedprime", "predict", "--help"),
    "a word completed": ("-m", "fedprime", "completion", "words", "run", "builtin/quickstart", "--tr"),
    "a method's setting completed": ("-m", "fedprime", "completion", "words", "run", "builtin/quickstart", "--method."),
    "imports of a run": ("-c", "import fedprime.cli.progress, fedprime.runs.run"),
    "transformers' ViLT alone": ("-c", "from transformers import AutoTokenizer, ViltImageProcessorPil, ViltModel"),
}


def cpu_seconds(words: Sequence[str]) -> float:
    """Runs Python with these words and returns what it took."""
    with subprocess.Popen((sys.executable, *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats: int = parser.parse_args().repeats
    print("| what | CPU seconds, median | least | most |\n|--|--|--|--|")
    for name, words in COMMANDS.items():
        cpu_seconds(words)  # so that the files are in memory
        taken = [cpu_seconds(words) for _ in range(repeats)]
        print(f"| {name} | {statistics.median(taken):.2f} | {min(taken):.2f} | {max(taken):.2f} |", flush=True)


if __name__ == "__main__":
    main()
