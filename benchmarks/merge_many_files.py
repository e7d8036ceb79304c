"""Memory and time of `fedprime merge` over the number of files.

    fedprime run builtin/quickstart --training.rounds 1 --output RUN
    python benchmarks/merge_many_files.py RUN/model --output docs/results/scale

Every file is a copy of that model with other prompts and the same sums. Each number is measured in a process of its
own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from fedprime.methods.aggregation.joined_models import Joining
from fedprime.models.model_folder import STATISTICS, WEIGHTS
from fedprime.reproducibility.seeding import torch_stream
from fedprime.runs.merging import merge_models
from machine import describe, peak_memory_mib, show_page

_PRINTED_MINUTES = 10


def write_copies(model: Path, folder: Path, number: int) -> None:
    """Writes so many models, whose prompts are those of one, a little moved."""
    config = json.loads((model / "config.json").read_bytes())
    for digest in ("sha256", "statistics_sha256"):  # earlier versions wrote none
        config.pop(digest, None)
    weights, statistics = load_file(model / WEIGHTS), (model / STATISTICS).read_bytes()
    for copy in range(number):
        own, rng = folder / f"{copy:06}", torch_stream(0, "merge many files", copy)
        own.mkdir()
        moved = {
            name: value + 0.3 * torch.randn(value.shape, generator=rng) if "pools" in name else value
            for name, value in weights.items()
        }
        save_file(moved, own / WEIGHTS)
        (own / "config.json").write_text(json.dumps(config))
        (own / STATISTICS).write_bytes(statistics)


def merge(folder: Path, how: Joining) -> None:
    """Merges all models of a folder, and prints what that took as JSON."""
    torch.set_num_threads(1)
    paths = sorted(folder.iterdir())
    with tempfile.TemporaryDirectory() as place:
        _merge(paths, Path(place), how)


def _merge(paths: list[Path], output: Path, how: Joining) -> None:
    merge_models(paths[:2], output / "two", prompts=how)
    before, used = peak_memory_mib(), resource.getrusage(resource.RUSAGE_SELF)
    merge_models(paths, output / "all", prompts=how)
    after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    print(json.dumps({"peak": peak_memory_mib(), "two": before, "seconds": seconds}))


def main() -> None:
    """Measures every number of files that was asked for."""
    parser = argparse.ArgumentParser(description="Memory and time of merging many files.")
    parser.add_argument("model", type=Path, help="a saved model with prompt pools and statistics")
    parser.add_argument("--files", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--output", type=Path, help="folder for merge_many_files.md")
    parser.add_argument("--only", choices=("align", "average"), help="merge the models of a folder in this process")
    arguments = parser.parse_args()
    if arguments.only:
        merge(arguments.model, arguments.only)
        return
    print(f"at most {_PRINTED_MINUTES} minutes", flush=True)
    lines = [", ".join(f"{name} {value}" for name, value in describe().items()), ""]
    lines += [
        "| prompts | files | MB of files | peak after two, MiB | peak, MiB | CPU s |",
        "|:--|--:|--:|--:|--:|--:|",
    ]
    for number in arguments.files:
        with tempfile.TemporaryDirectory() as place:
            write_copies(arguments.model, Path(place), number)
            size = sum(path.stat().st_size for path in Path(place).rglob("*")) / 1e6
            for how in ("average", "align"):
                command = [sys.executable, __file__, place, "--only", how]
                told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                cells = [how, f"{number:,}", f"{size:.0f}"]
                lines.append(
                    f"| {' | '.join(cells)} | {told['two']:.0f} | {told['peak']:.0f} | {told['seconds']:.1f} |"
                )
                print(lines[-1], flush=True)
    show_page(lines, arguments.output and arguments.output / "merge_many_files.md")


if __name__ == "__main__":
    main()
