"""How long a table takes to start, and how much memory: 1,000, 10,000 and 100,000 rows with an image and a text each.

    python benchmarks/table_start.py

Rows name one of 1,000 small JPEG files, as often as needed, through links in a folder of as many names. Each size is
measured in a process of its own: seconds until the table is open (the first time, when the CSV file is turned into
Arrow, and again), seconds until the first batch of 32 samples is read, and the peak of resident memory.
"""

import argparse
import csv
import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from fedprime.data.sets.table.table import open_table

NUM_FILES, BATCH = 1_000, 32
SIZES = (1_000, 10_000, 100_000)


def write_rows(folder: Path, num_rows: int) -> None:
    """Writes a folder of images, with a metadata.csv."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(min(NUM_FILES, num_rows)):
        pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((128, 128)).save(folder / "images" / f"{number}.jpg", quality=80)
    for number in range(NUM_FILES, num_rows):
        (folder / "images" / f"{number}.jpg").hardlink_to(folder / "images" / f"{number % NUM_FILES}.jpg")
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "text", "label"])
        for number in range(num_rows):
            writer.writerow([f"images/{number}.jpg", f"{number} words " * 20, f"class {number % 10}"])


def measure(folder: Path) -> dict[str, float]:
    """Opens a table in this process and reads its first batch."""
    importlib.import_module("datasets")  # its import is not the table's
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    table = open_table(str(folder))
    opened = time.perf_counter()
    for index in table.splits["train"][:BATCH]:
        table.read(int(index), table.modalities)
    read = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "rows": len(table),
        "open_seconds": round(opened - started, 2),
        "first_batch_seconds": round(read - opened, 2),
        "peak_mb": round(peak / 1024),
        "peak_mb_before": round(imported / 1024),
    }


def main() -> None:
    """Measures every size, in a process each."""
    parser = argparse.ArgumentParser(description="Measure how a table starts.")
    parser.add_argument("--folder", type=Path, help="measure this table, in this process")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    arguments = parser.parse_args()
    if arguments.folder:
        print(json.dumps(measure(arguments.folder)))
        return
    for num_rows in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_rows(Path(folder) / "table", num_rows)
            for time_of in ("first", "again"):
                command = [sys.executable, __file__, "--folder", str(Path(folder) / "table")]
                said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                print(time_of, said.strip().splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
