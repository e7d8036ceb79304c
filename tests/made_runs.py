"""Finished runs that nobody trained, as folders and in memory: quick to make, with numbers to choose."""

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from fedprime.report.collection import Collection
from fedprime.report.compare import Block, group_runs
from fedprime.report.finished_runs import (
    Environment,
    FinishedRun,
    History,
    PromptRecord,
    Results,
    Scores,
    plain_settings,
)
from fedprime.report.plots import Drawing, house_style
from fedprime.report.runs_file import RunSet
from fedprime.report.tables import Entry, Table
from fedprime.settings.plans import dump_plan, read_plan
from fedprime.settings.reading import dump_toml, read_settings
from fedprime.settings.settings import Settings

#: A table whose words mean something to LaTeX and to Markdown.
ODD_TABLE = Table(
    title="rate 50 %",
    labels=("method",),
    scenarios=("a_b", "full"),
    costs=("n",),
    rows=(
        (Entry("x|y & z"), Entry("83.1 ± 0.5", is_bold=True), Entry("90.0"), Entry("5")),
        (Entry("Bayes limit"), Entry("98.0"), Entry("99.0"), Entry("")),
    ),
)
#: By test scenario, the Bayes limit.
LIMITS = {"like train": 0.9, "miss both": 0.88, "full": 0.98, "image only": 0.86, "text only": 0.7}


def make_run(
    folder: Path,
    flags: Sequence[str] = (),
    *,
    settings: Settings | None = None,
    accuracies: Mapping[str, float] = {"full": 0.8},
    limits: Mapping[str, float] = LIMITS,
    rounds: int = 3,
    num_clients: int = 2,
    rows: Sequence[Mapping[str, Any]] = (),
    commit: str = "abc123",
    **results: Any,
) -> Path:
    """Makes the folder of a finished run; `rows` are put over the lines of metrics, further results over the table."""
    settings = settings or read_settings(None, flags)
    folder.mkdir(parents=True)
    (folder / "settings.toml").write_text(dump_toml(settings))
    machine = {"system": "Linux", "processor": "AMD EPYC", "cores": 2}
    write_json(
        folder / "environment.json",
        {"versions": {}, "commit": commit, "backbone_fingerprint": "c4e9", "machine": machine},
    )
    patterns = [{"image": 3 + client, "text": 5, "image+text": 8 - client % 7} for client in range(num_clients)]
    write_json(
        folder / "missingness.json",
        [{"client": client, "samples": 16, "present": present} for client, present in enumerate(patterns)],
    )
    first = next(iter(accuracies.values()))
    metrics = [
        {
            "round": number,
            "loss": 2.0 / (number + 1),
            "pool_sizes": {},
            "bytes_down": 500_000,
            "bytes_up": 500_000,
            "accuracy": first * (number + 1) / rounds,
            "bayes_accuracy": 0.9,
            **(rows[number] if rows else {}),
        }
        for number in range(rounds)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
    write_json(
        folder / "results.json",
        {
            "method": settings.method.name,
            "seed": settings.seed,
            "rounds": rounds,
            "seconds": 12.0,
            "bytes_down": 500_000 * rounds,
            "bytes_up": 500_000 * rounds,
            "trained_values": 15_432,
            "sent_values": 15_432,
            "scenarios": {name: scores(value, limits.get(name)) for name, value in accuracies.items()},
            "clients": {str(client): scores(first - 0.01 * client, 0.95) for client in range(num_clients)},
            **results,
        },
    )
    return folder


def make_grid(folder: Path, plan: str, **results: Any) -> Path:
    """Makes the folder of a grid, all of whose runs are finished."""
    folder.mkdir()
    path = folder / "plan.toml"
    path.write_text(plan)
    found = read_plan(path)
    path.write_text(dump_plan(found))
    for run in found.runs:
        make_run(folder / "runs" / run.folder, settings=run.settings, **results)
    return folder


def scores(accuracy: float, limit: float | None = None) -> dict[str, Any]:
    """The scores of a scenario or of a client."""
    return {
        "accuracy": accuracy,
        "macro_f1": accuracy - 0.01,
        "loss": 0.5,
        "num_samples": 200,
        "bayes_accuracy": limit,
    }


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def history(
    accuracy: Sequence[float | None], pool_sizes: dict[str, tuple[int, ...]] | None = None, limit: float = 0.9
) -> History:
    """What was measured round by round."""
    rounds = len(accuracy)
    return History(
        accuracy=tuple(accuracy),
        bayes_accuracy=(limit,) * rounds,
        loss=(1.0,) * rounds,
        bytes=(5,) * rounds,
        pool_sizes=pool_sizes or {},
    )


def made_run(
    labels: Mapping[str, str] | None = None,
    seed: int = 0,
    accuracies: Mapping[str, float] = {"full": 0.8},
    limits: Mapping[str, float] = LIMITS,
    *,
    method: str = "",
    place: str = "",
    settings: Mapping[str, Any] | None = None,
    history: History | None = None,
    prompts: PromptRecord | None = None,
    clients: Mapping[str, Scores | None] | None = None,
    patterns: Mapping[str, tuple[int, ...]] | None = None,
    seconds: float = 12.0,
    num_bytes: int = 3_000_000,
    commit: str = "abc123",
    fingerprint: str = "c4e9",
) -> FinishedRun:
    """Makes what a report knows of a run, without any folder."""
    method = method or (labels or {}).get("method", "fedprime")
    scenarios = {
        name: Scores(accuracy=value, macro_f1=value / 2, num_samples=200, bayes_accuracy=limits.get(name), loss=0.5)
        for name, value in accuracies.items()
    }
    return FinishedRun(
        place=place or f"{method}-{seed}",
        settings=plain_settings({"seed": seed, "method.name": method, **(settings or {})}),
        results=Results(
            method=method,
            seed=seed,
            rounds=3,
            seconds=seconds,
            bytes_down=num_bytes // 3,
            bytes_up=num_bytes - num_bytes // 3,
            trained_values=15_432,
            sent_values=15_000,
            scenarios=scenarios,
            clients=dict(clients or {}),
        ),
        history=history
        or History(
            accuracy=(0.4, None, 0.8), bayes_accuracy=(0.9, None, 0.9), loss=(2.0, 1.0, 0.5), bytes=(1_000_000,) * 3
        ),
        environment=Environment(commit=commit, processor="AMD EPYC", cores=2, backbone=fingerprint),
        finished="2026-11-23",
        labels=dict(labels or {}),
        patterns=dict(patterns or {}),
        prompts=prompts,
    )


def collected(runs: Sequence[FinishedRun]) -> Collection:
    """Puts labelled runs together without looking whether they belong together."""
    axes: dict[str, tuple[str, ...]] = {}
    for run in runs:
        for axis, label in run.labels.items():
            axes[axis] = tuple(dict.fromkeys((*axes.get(axis, ()), label)))
    return Collection(axes, tuple(runs), RunSet(tuple(runs), axes), (), ())


def drawn(
    draw: Callable[[Collection, Sequence[Block]], Iterable[Drawing]], runs: Sequence[FinishedRun]
) -> list[Drawing]:
    """Draws one kind of plot of runs."""
    collection = collected(runs)
    with house_style():
        return list(draw(collection, group_runs(collection)))


def methods_over_seeds(accuracies: Mapping[str, Sequence[float]], scenario: str = "full") -> list[FinishedRun]:
    """Makes runs of methods, with one accuracy per seed."""
    return [
        made_run({"method": method}, seed, {scenario: value})
        for method, values in accuracies.items()
        for seed, value in enumerate(values)
    ]


def shown_texts(figure: Figure) -> list[str]:
    """Every text that a figure shows, its parts and legends included."""
    with house_style():
        figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [text.get_text() for text in texts]


def overlapping_ticks(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of neighbouring labels on a horizontal axis that run into each other."""
    with house_style():
        figure.draw_without_rendering()
    found: list[tuple[str, str]] = []
    for axes in figure.findobj(Axes):
        labels = [label for label in axes.get_xticklabels() if label.get_text() and axes.get_visible()]  # pyright: ignore[reportAttributeAccessIssue]
        for one, other in itertools.pairwise(labels):
            # Turned labels share their boxes but not their lines.
            if one.get_rotation() == 0 and one.get_window_extent().overlaps(other.get_window_extent()):
                found.append((one.get_text(), other.get_text()))
    return found
