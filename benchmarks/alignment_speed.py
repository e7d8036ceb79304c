"""How long the alignment of prompts takes, on one core.

    python benchmarks/alignment_speed.py --clients 20 100 1000 --prompts 20 --dim 768

Prints a Markdown table. Two kinds of prompts: noisy copies of one pool, each client's in an order of its own, where the
matches settle at once; and unrelated prompts, where they keep changing and every alternation is run.
"""

import argparse
import datetime
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from fedprime.alignment import align
from fedprime.seeding import torch_stream

NUM_ALTERNATIONS = 5


def noisy_copies(num_clients: int, num_prompts: int, dim: int) -> list[Tensor]:
    """Returns for each client the same prompts, shuffled, with noise of 0.3 times their standard deviation."""
    generator = torch_stream(0, "alignment speed", "copies")
    pool = torch.randn(num_prompts, dim, generator=generator)
    return [
        pool[torch.randperm(num_prompts, generator=generator)] + 0.3 * torch.randn(pool.shape, generator=generator)
        for _ in range(num_clients)
    ]


def unrelated(num_clients: int, num_prompts: int, dim: int) -> list[Tensor]:
    """Returns for each client prompts that have nothing to do with any other's."""
    generator = torch_stream(0, "alignment speed", "unrelated")
    return [torch.randn(num_prompts, dim, generator=generator) for _ in range(num_clients)]


def measure(draw: Callable[[int, int, int], list[Tensor]], size: tuple[int, int, int], num_runs: int) -> str:
    """Returns one row of the table: medians of several runs, after one to warm up."""
    prompts = draw(*size)
    alignment = align(prompts, rng=torch_stream(0, "alignment speed"), num_alternations=NUM_ALTERNATIONS)
    seconds, cpu_seconds = [], []
    for _ in range(num_runs):
        start, cpu_start = time.perf_counter(), time.process_time()
        align(prompts, rng=torch_stream(0, "alignment speed"), num_alternations=NUM_ALTERNATIONS)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    # The objective is noted at the start and twice in each alternation.
    num_alternations = len(alignment.objective) // 2
    cells = [draw.__name__.replace("_", " "), *size, len(alignment.centres), num_alternations]
    return (
        f"| {' | '.join(map(str, cells))} | {statistics.median(seconds):.3f} | {statistics.median(cpu_seconds):.3f} |"
    )


def machine() -> str:
    """Returns the name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    return names[0].split(":")[1].strip() if names else platform.processor() or platform.machine()


def commit() -> str:
    """Returns the commit that is checked out, marked when files differ from it."""
    command = ["git", "describe", "--always", "--dirty"]
    result = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"


def main() -> None:
    """Measures every size that was asked for."""
    parser = argparse.ArgumentParser(description="Times the alignment of prompts on one core.")
    parser.add_argument("--clients", type=int, nargs="+", default=[20, 100, 1000])
    parser.add_argument("--prompts", type=int, nargs="+", default=[20], help="prompts per client")
    parser.add_argument("--dim", type=int, nargs="+", default=[768], help="width of a prompt")
    parser.add_argument("--runs", type=int, default=5, help="runs that the median is taken of")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    print(f"{machine()}, 1 thread; {today}; torch {torch.__version__}; commit {commit()}; at most", end=" ")
    print(f"{NUM_ALTERNATIONS} alternations; medians of {arguments.runs} runs\n")
    print("| prompts | clients | prompts per client | dim | centres | alternations | seconds | CPU seconds |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for dim in arguments.dim:
        for num_prompts in arguments.prompts:
            for num_clients in arguments.clients:
                for draw in (noisy_copies, unrelated):
                    print(measure(draw, (num_clients, num_prompts, dim), arguments.runs), flush=True)


if __name__ == "__main__":
    main()
