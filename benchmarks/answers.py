"""What an answer costs: one text, a table of photos and titles, and one line after the other of `predict --watch`.

    python benchmarks/answers.py --data FOLDER --commits ccb5dd5 --output docs/results/speed

FOLDER is a table as for `pass_speed.py`. The model is untrained, around the backbone `small`. Earlier commits are
checked out into a temporary folder; each question is asked of all of them in turn, in new processes, with
bytecode cached and an empty cache of embeddings.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from fedprime.backbones import load_backbone
from fedprime.experiment.build import build_method
from fedprime.reproducibility.atomic_files import replaced_file
from fedprime.reproducibility.seeding import torch_stream
from fedprime.settings.settings import Settings
from machine import describe
from pass_speed import write_rows

_PRINTED_MINUTES = 8
_HERE = "this commit"
_TEXT, _TABLE, _AGAIN = "one text", "a table of photos and texts", "the same table again"
_ROOT = Path(__file__).parent.parent


def ask(source: Path, cache: Path, *words: object) -> tuple[float, float]:
    """Returns CPU seconds and seconds of a new process that predicts."""
    environment = os.environ | {"PYTHONPATH": str(source), "FEDPRIME_CACHE": str(cache)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "fedprime", "predict", *map(str, words)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, seconds


def watched(model: Path, rows: list[tuple[Path, str]]) -> dict[str, list[float]]:
    """Returns by what is asked the milliseconds until each answer, of one process that keeps the model in memory."""
    environment = os.environ | {"PYTHONPATH": str(_ROOT / "src"), "FEDPRIME_CACHE": "off"}
    command = [sys.executable, "-m", "fedprime", "predict", str(model), "--watch"]
    found: dict[str, list[float]] = {"text": [], "photo and text": []}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        if process.stdin is None or process.stdout is None:
            raise TypeError("there are no pipes")
        for number, (photo, text) in enumerate([rows[0], *rows]):
            for name, given in (("text", {"text": text}), ("photo and text", {"image": str(photo), "text": text})):
                began = time.perf_counter()
                process.stdin.write(json.dumps(given) + "\n")
                process.stdin.flush()
                process.stdout.readline()
                if number:  # the first waits for the model
                    found[name].append(1e3 * (time.perf_counter() - began))
        process.stdin.close()
    return found


def ask_all(
    data: Path, commits: list[str], num_rows: int, repeats: int
) -> tuple[dict[str, dict[str, list[tuple[float, float]]]], dict[str, list[float]]]:
    """Returns by question and commit what answers cost, and how long `--watch` lets wait."""
    costs: dict[str, dict[str, list[tuple[float, float]]]] = {_TEXT: {}, _TABLE: {}, _AGAIN: {}}
    with tempfile.TemporaryDirectory() as place:
        folder, model = Path(place), Path(place) / "model"
        rows = write_rows(data, folder / "data", num_rows)
        backbone = load_backbone("small", ("image", "text"))
        build_method(Settings()).build(backbone, ("a", "b"), "one_class", torch_stream(0, "answers")).save_pretrained(
            model
        )
        sources = {commit: folder / commit / "src" for commit in commits} | {_HERE: _ROOT / "src"}
        for commit in commits:
            subprocess.run(["git", "worktree", "add", "--detach", folder / commit, commit], cwd=_ROOT, check=True)
        try:
            for source in sources.values():
                ask(source, folder / "none", model, "--text", "to write bytecode")
            for repeat in range(repeats):
                for commit, source in sources.items():
                    words = {_TEXT: ("--text", rows[repeat][1]), _TABLE: ("--table", folder / "data")}
                    words[_AGAIN] = words[_TABLE]
                    for name, own in words.items():
                        cost = ask(source, folder / f"{commit} {repeat}", model, *own)
                        costs[name].setdefault(commit, []).append(cost)
        finally:
            for commit in commits:
                command = ["git", "worktree", "remove", "--force", folder / commit]
                subprocess.run(command, cwd=_ROOT, check=False)
        return costs, watched(model, rows[:48])


def main() -> None:
    """Asks all commits."""
    parser = argparse.ArgumentParser(description="What an answer costs.")
    parser.add_argument("--data", type=Path, required=True, help="a table with photos and texts")
    parser.add_argument("--commits", nargs="*", default=[], help="earlier ones, to compare with")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, help="folder for answers.md and answers.json")
    arguments = parser.parse_args()
    print(f"at most {_PRINTED_MINUTES} minutes", flush=True)
    about = describe()
    costs, waits = ask_all(arguments.data, arguments.commits, arguments.rows, arguments.repeats)
    lines = [
        ", ".join(f"{name} {value}" for name, value in about.items()),
        "",
        f"A table has {arguments.rows} rows.",
        "",
    ]
    lines += ["| question | commit | CPU s | s | rows/s by the clock |", "|:--|:--|--:|--:|--:|"]
    for name, by_commit in costs.items():
        for commit, own in by_commit.items():
            cpu, wall = (statistics.median(seconds) for seconds in zip(*own, strict=True))
            rate = (1 if name == _TEXT else arguments.rows) / wall
            lines.append(f"| {name} | {commit} | {cpu:.1f} | {wall:.1f} | {rate:.1f} |")
    lines += ["", "| `--watch` | p50, ms | p95, ms |", "|:--|--:|--:|"]
    for name, own in waits.items():
        lines.append(f"| {name} | {statistics.median(own):.0f} | {statistics.quantiles(own, n=20)[-1]:.0f} |")
    page = "\n".join([*lines, ""])
    print(page)
    if arguments.output:
        found = {"about": about, "costs": costs, "watch": waits}
        for suffix, content in ((".md", page), (".json", json.dumps(found, indent=1) + "\n")):
            with replaced_file(arguments.output / f"answers{suffix}") as beside:
                beside.write_text(content)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
