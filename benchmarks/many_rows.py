"""What runs and answers of many photos and texts hold in memory, with the backbone for real files.

    python benchmarks/many_rows.py --data FOLDER --rows 2000 10000 100000 --output docs/results/speed

FOLDER is a table with photos (`file_name`) and texts (`text`), such as flipkart7; its rows come again until there are
as many as asked for, in other files and with other words at their end, so that each is read, decoded and encoded. Of
each number of rows, `fedprime run table/folder --method.name closed-form` with an empty cache, the same again, and
`fedprime predict` of all rows by the model of the first, one process each. 100,000 rows take about an hour on two
cores, and 8 GB of disk while it lasts.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from machine import describe, show_page

_COLUMNS = ("image=file_name", "text=text")


@dataclass(frozen=True)
class Measured:
    """What a process took: seconds by the clock and of the processor, and the most memory that it held, in MiB."""

    name: str
    wall_seconds: float
    cpu_seconds: float
    peak_mib: float


def measured(name: str, words: list[str], cache: Path) -> Measured:
    """Runs the command line with a cache of its own.

    Raises:
        SystemExit: If it fails.
    """
    environment = os.environ | {"FEDPRIME_CACHE": str(cache), "FEDPRIME_CACHE_LIMIT": "50GB"}
    began = time.monotonic()
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "fedprime", *words], env=environment, stdout=told, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status):
            told.seek(0)
            raise SystemExit(told.read().decode(errors="replace"))
    seconds = time.monotonic() - began
    return Measured(name, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def measure(data: Path, num_rows: int, place: Path) -> list[Measured]:
    """Measures a run, the same run again, and answers to all rows."""
    table, cache = place / "rows", place / "cache"
    # In a process of its own: one that is started counts at least as much as this one holds.
    writing = "import sys; from pathlib import Path; from pass_speed import write_rows; "
    writing += "write_rows(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))"
    command = [sys.executable, "-c", writing, str(data), str(table), str(num_rows)]
    subprocess.run(command, check=True, cwd=Path(__file__).parent)
    run = ["run", "table/folder", "--data.path", str(table), "--data.columns", *_COLUMNS]
    run += ["--method.name", "closed-form", "--backbone", "small"]
    answers = ["predict", str(place / "first"), "--table", str(table), "--output", str(place / "answers.csv")]
    return [
        measured("run", [*run, "--output", str(place / "first")], cache),
        measured("the same again", [*run, "--output", str(place / "second")], cache),
        measured("predict all rows", answers, cache),
    ]


def main() -> None:
    """Measures what was asked for."""
    parser = argparse.ArgumentParser(description="Measures memory of runs of many photos and texts.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 10_000])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    told = describe()
    data = arguments.data.resolve()
    lines = [
        f"`python benchmarks/many_rows.py --rows {' '.join(map(str, arguments.rows))}`; "
        + ", ".join(f"{name} {value}" for name, value in told.items()),
        "",
        "| rows | what | seconds | CPU s | rows/s | peak, MiB |",
        "| --: | :-- | --: | --: | --: | --: |",
    ]
    for num_rows in arguments.rows:
        with tempfile.TemporaryDirectory() as place:
            for found in measure(data, num_rows, Path(place)):
                lines.append(
                    f"| {num_rows:,} | {found.name} | {found.wall_seconds:.0f} | {found.cpu_seconds:.0f} | "
                    f"{num_rows / found.wall_seconds:.1f} | {found.peak_mib:,.0f} |"
                )
                print(lines[-1], flush=True)
        show_page(lines, arguments.output and arguments.output / "many_rows.md")


if __name__ == "__main__":
    main()
