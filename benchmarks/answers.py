"""What an answer costs: one text, a table of photos and titles, and one line after the other of `predict --watch`.

    python benchmarks/answers.py --data FOLDER --commits a6f39af --output docs/results/speed

FOLDER is a table as for `pass_speed.py`. The models are untrained, around the backbones `small` and `tiny`. Earlier
commits are checked out into a temporary folder, and make their own models; each question is asked of all of them in
turn, in new processes, with bytecode cached and no embedding of it in the cache. *A plain loop* is that of
`pass_speed.py` over the same rows, with all of torch's threads, in a new process, too; *import torch* is what no answer
can take less than.
"""

import argparse
import functools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from fedprime.reproducibility.atomic_files import replaced_file
from machine import describe
from pass_speed import small, write_rows

_SHARE_FOR_QUESTIONS = 0.7  # of that; whoever asks stops between two rounds of questions
_HERE = "this commit"
_PLAIN, _TORCH = "a plain loop", "import torch"
_TEXT, _TINY, _TABLE = "one text", "one text, around `tiny`", "a table of photos and texts"
_AGAIN = "the same table again"
_ROOT = Path(__file__).parent.parent
#: Saves untrained models into the folder that is named: run by each commit, which reads its own.
_SAVING = """
import sys
from pathlib import Path
from fedprime.backbones import load_backbone
from fedprime.reproducibility.seeding import torch_stream
from fedprime.settings.settings import Settings
for name, modalities in (("small", ("image", "text")), ("tiny", ())):
    rng = torch_stream(0, "answers")
    model = Settings().method.build(load_backbone(name, modalities), ("a", "b"), "one_class", rng)
    model.save_pretrained(Path(sys.argv[1]) / name)
"""


def ask(source: Path, cache: Path, *words: object) -> tuple[float, float]:
    """Returns CPU seconds and seconds of a new process that predicts."""
    environment = os.environ | {"PYTHONPATH": str(source), "FEDPRIME_CACHE": str(cache)}
    return cost_of([sys.executable, "-m", "fedprime", "predict", *map(str, words)], environment)


def cost_of(command: list[str], environment: Mapping[str, str] = os.environ) -> tuple[float, float]:
    """Returns CPU seconds and seconds of a command."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
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
    data: Path, commits: list[str], num_rows: int, repeats: int, minutes: int
) -> tuple[dict[str, dict[str, list[tuple[float, float]]]], dict[str, list[float]]]:
    """Returns by question and commit what answers cost, and how long `--watch` lets wait."""
    began = time.monotonic()
    costs: dict[str, dict[str, list[tuple[float, float]]]] = {_TEXT: {}, _TINY: {}, _TABLE: {}, _AGAIN: {}}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows = write_rows(data, folder / "data", num_rows)
        sources = {commit: folder / commit / "src" for commit in commits} | {_HERE: _ROOT / "src"}
        for commit in commits:
            subprocess.run(["git", "worktree", "add", "--detach", folder / commit, commit], cwd=_ROOT, check=True)
        try:
            for commit, source in sources.items():
                saving = [sys.executable, "-c", _SAVING, str(folder / "models" / commit)]
                cost_of(saving, os.environ | {"PYTHONPATH": str(source)})
                small_model = folder / "models" / commit / "small"
                ask(source, folder / f"cache of {source.parent.name}", small_model, "--text", "to write bytecode")
            plain = [sys.executable, __file__, "--data", str(folder / "data"), "--plain"]
            for repeat in range(repeats):
                if time.monotonic() - began > 60 * minutes * _SHARE_FOR_QUESTIONS:
                    break
                costs[_TEXT].setdefault(_TORCH, []).append(cost_of([sys.executable, "-c", "import torch"]))
                for commit, source in sources.items():
                    cache = folder / f"cache of {source.parent.name}"
                    shutil.rmtree(cache / "embeddings", ignore_errors=True)
                    asked, models = functools.partial(ask, source, cache), folder / "models" / commit
                    table, text = (models / "small", "--table", folder / "data"), ("--text", rows[repeat][1])
                    words = {_TEXT: (models / "small", *text), _TINY: (models / "tiny", *text)}
                    words |= {_TABLE: table, _AGAIN: table}
                    for name, own in words.items():
                        costs[name].setdefault(commit, []).append(asked(*own))
                costs[_TABLE].setdefault(_PLAIN, []).append(cost_of(plain))
        finally:
            for commit in commits:
                command = ["git", "worktree", "remove", "--force", folder / commit]
                subprocess.run(command, cwd=_ROOT, check=False)
        return costs, watched(folder / "models" / _HERE / "small", rows[:48])


def loop_plainly(folder: Path) -> None:
    """Encodes the rows that `write_rows` wrote as a plain loop does."""
    _, plain = small()
    with torch.no_grad():
        for line in map(json.loads, (folder / "metadata.jsonl").read_text().splitlines()):
            plain(folder / line["file_name"], line["text"])


def main() -> None:
    """Asks all commits."""
    parser = argparse.ArgumentParser(description="What an answer costs.")
    parser.add_argument("--data", type=Path, required=True, help="a table with photos and texts")
    parser.add_argument("--commits", nargs="*", default=[], help="earlier ones, to compare with")
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=3, help="at most, as time allows")
    parser.add_argument("--minutes", type=int, default=8, help="no question is repeated when most of them are over")
    parser.add_argument("--output", type=Path, help="folder for answers.md and answers.json")
    parser.add_argument("--plain", action="store_true", help="only loop over the rows, as everybody would")
    arguments = parser.parse_args()
    if arguments.plain:
        loop_plainly(arguments.data)
        return
    torch.set_num_threads(1)
    print(f"at most {arguments.minutes} minutes", flush=True)
    about = describe()
    about["command"] = f"python benchmarks/answers.py --rows {arguments.rows} --repeats {arguments.repeats}"
    costs, waits = ask_all(arguments.data, arguments.commits, arguments.rows, arguments.repeats, arguments.minutes)
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
            rate = (1 if name in (_TEXT, _TINY) else arguments.rows) / wall
            lines.append(f"| {name} | {commit} | {cpu:.1f} | {wall:.1f} | {rate:.1f} |")
    lines += ["", "| `--watch` | p50, ms | p95, ms |", "|:--|--:|--:|"]
    for name, own in waits.items():
        lines.append(f"| {name} | {statistics.median(own):.0f} | {statistics.quantiles(own, n=20)[-1]:.0f} |")
    page = "\n".join([*lines, ""])
    print(page)
    if arguments.output:
        about["load at the end"] = f"{os.getloadavg()[0]:.1f}"
        found = {"about": about, "costs": costs, "watch": waits}
        for suffix, content in ((".md", page), (".json", json.dumps(found, indent=1) + "\n")):
            with replaced_file(arguments.output / f"answers{suffix}") as beside:
                beside.write_text(content)


if __name__ == "__main__":
    main()
