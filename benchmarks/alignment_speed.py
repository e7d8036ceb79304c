"""How long the alignment of prompts takes, and how much memory, over the number of clients.

    python benchmarks/alignment_speed.py --clients 10 20 100 1000 10000 --output docs/results/scale

Prints a Markdown table, and writes it there with its numbers (alignment.md, alignment.json). Two kinds of prompts:
noisy copies of one pool, each client's in an order of its own, where the matches settle at once; and unrelated prompts,
where they keep changing and every alternation is run. Each row is measured in a process of its own. CPU seconds are
those of all threads: on a machine that others use too, they tell more than the clock.
"""

import argparse
import datetime
import json
import math
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedprime.methods.aggregation.alignment import align
from fedprime.reproducibility.atomic_files import replaced_file
from fedprime.reproducibility.seeding import torch_stream

NUM_ALTERNATIONS = 5
MEBIBYTE = 2**20
HEADS = {
    "prompts": "prompts",
    "clients": "clients",
    "prompts_per_client": "prompts per client",
    "dim": "dim",
    "centres": "centres",
    "alternations": "alternations",
    "seconds": "seconds",
    "cpu_seconds": "CPU seconds",
    "given_mebibytes": "prompts given, MiB",
    "added_mebibytes": "peak beside them, MiB",
}


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


KINDS = {"noisy copies": noisy_copies, "unrelated": unrelated}


def peak_mebibytes() -> float:
    """Returns the most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(kind: str, size: tuple[int, int, int], num_runs: int, threads: int) -> dict[str, Any]:
    """Returns one row of the table: medians of several runs, after a small one to warm up."""
    torch.set_num_threads(threads)
    alignment = align(KINDS[kind](3, 4, size[2]), rng=torch_stream(0, "alignment speed"))
    prompts = KINDS[kind](*size)
    before = peak_mebibytes()
    seconds, cpu_seconds = [], []
    for _ in range(num_runs):
        start, cpu_start = time.perf_counter(), time.process_time()
        alignment = align(prompts, rng=torch_stream(0, "alignment speed"), num_alternations=NUM_ALTERNATIONS)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    return {
        "prompts": kind,
        "clients": size[0],
        "prompts_per_client": size[1],
        "dim": size[2],
        "centres": len(alignment.centres),
        # The objective is noted at the start and twice in each alternation.
        "alternations": len(alignment.objective) // 2,
        "seconds": round(statistics.median(seconds), 3),
        "cpu_seconds": round(statistics.median(cpu_seconds), 3),
        "given_mebibytes": round(sum(pool.numel() * pool.element_size() for pool in prompts) / MEBIBYTE, 1),
        "added_mebibytes": round(peak_mebibytes() - before, 1),
    }


def slope(rows: list[dict[str, Any]]) -> float | None:
    """Returns by which power of the clients the CPU time grew between the two largest sizes: 1 is linear."""
    if len(rows) < 2:
        return None
    small, large = sorted(rows, key=lambda row: row["clients"])[-2:]
    return math.log(large["cpu_seconds"] / small["cpu_seconds"]) / math.log(large["clients"] / small["clients"])


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


def report(rows: list[dict[str, Any]], head: str) -> str:
    """Returns the table in Markdown."""
    lines = [head, "", f"| {' | '.join(HEADS.values())} |", f"|---|{'---:|' * (len(HEADS) - 1)}"]
    lines += [f"| {' | '.join(str(row[name]) for name in HEADS)} |" for row in rows]
    for kind in KINDS:
        grown = slope([row for row in rows if row["prompts"] == kind])
        if grown is not None:
            lines += [
                "",
                f"{kind}: between the two largest sizes, CPU seconds grow with clients to the power {grown:.2f}.",
            ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures every size that was asked for."""
    parser = argparse.ArgumentParser(description="Time and memory of the alignment of prompts.")
    parser.add_argument("--clients", type=int, nargs="+", default=[10, 20, 100, 1000])
    parser.add_argument("--prompts", type=int, default=20, help="prompts per client")
    parser.add_argument("--dim", type=int, default=768, help="width of a prompt")
    parser.add_argument("--runs", type=int, default=3, help="runs that the median is taken of")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="folder for alignment.md and alignment.json")
    parser.add_argument("--only-row", choices=KINDS, help="measure one row in this process and print it as JSON")
    arguments = parser.parse_args()
    if arguments.only_row:
        size = (arguments.clients[0], arguments.prompts, arguments.dim)
        print(json.dumps(measure(arguments.only_row, size, arguments.runs, arguments.threads)))
        return
    rows = []
    for num_clients in arguments.clients:
        for kind in KINDS:
            words = ["--clients", num_clients, "--prompts", arguments.prompts, "--dim", arguments.dim]
            words += ["--runs", arguments.runs, "--threads", arguments.threads, "--only-row", kind]
            command = [sys.executable, __file__, *map(str, words)]
            rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            print(rows[-1], file=sys.stderr, flush=True)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    head = (
        f"{machine()}, {arguments.threads} thread(s), shared with other work; {today}; "
        f"torch {torch.__version__}; commit {commit()}; at most {NUM_ALTERNATIONS} alternations; medians of "
        f"{arguments.runs} run(s)."
    )
    table = report(rows, head)
    print(table)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        with replaced_file(arguments.output / "alignment.md") as beside:
            beside.write_text(table)
        with replaced_file(arguments.output / "alignment.json") as beside:
            beside.write_text(json.dumps({"measured": head, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
