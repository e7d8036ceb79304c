"""What a table of measurements says about where and when it was made."""

import datetime
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from fedprime.reproducibility.atomic_files import replaced_file


class Clock:
    """Times calls in CPU seconds, which other processes on the machine disturb little, and in seconds by the clock."""

    def __init__(self) -> None:
        self.cpu_seconds: dict[str, list[float]] = {}
        self.wall_seconds: dict[str, list[float]] = {}

    def time(self, name: str, call: Callable[[], object]) -> None:
        """Calls something once and notes how long it took under a name."""
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        self.cpu_seconds.setdefault(name, []).append(time.process_time() - cpu)
        self.wall_seconds.setdefault(name, []).append(time.perf_counter() - wall)

    def median(self, name: str) -> float:
        """Returns the median of the CPU seconds under a name."""
        return statistics.median(self.cpu_seconds[name])


def matmul_rates(
    clock: Clock,
    dim: int = 768,
    num_rows: int = 2048,
    dtypes: Sequence[torch.dtype] = (torch.float32, torch.bfloat16),
) -> dict[str, float]:
    """Measures matrix products of the shapes of a transformer layer (rows x dim x 4 dim); FLOP per CPU second by type.

    The rate is the best of all calls so far with this clock: what the processor can do, undisturbed.
    """
    rates = {}
    for dtype in dict.fromkeys(dtypes):
        name = str(dtype).removeprefix("torch.")
        rows, weight = torch.randn(num_rows, dim).to(dtype), torch.randn(4 * dim, dim).to(dtype)
        for _ in range(4):
            clock.time(f"matmul {name}", lambda rows=rows, weight=weight: torch.nn.functional.linear(rows, weight))
        rates[name] = 2 * num_rows * dim * 4 * dim / min(clock.cpu_seconds[f"matmul {name}"])
    return rates


def peak_memory_mib() -> float:
    """Returns the most memory that this process has held so far, in MiB (Linux).

    Not `ru_maxrss`: a child inherits that of its parent.
    """
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def show_page(lines: Sequence[str], path: Path | None) -> None:
    """Prints a page of measurements, and writes it, where that is asked for."""
    page = "\n".join([*lines, ""])
    print(page)
    if path:
        with replaced_file(path) as beside:
            beside.write_text(page)


def describe() -> dict[str, str]:
    """Returns machine, instructions, load, date, versions and commit."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    has = [
        name
        for name, there in (
            ("AMX", torch.cpu._is_amx_tile_supported()),
            ("AVX512-BF16", torch.cpu._is_avx512_bf16_supported()),
        )
        if there
    ]
    command = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return {
        "processor": names[0].split(":")[1].strip() if names else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": ", ".join(has) or "emulated",
        "load": f"{os.getloadavg()[0]:.1f}",
        "threads": str(torch.get_num_threads()),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "torch": torch.__version__,
        "commit": commit.stdout.strip() or "unknown",
    }
