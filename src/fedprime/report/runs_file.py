"""The file ``runs.json`` of a report: its runs, small enough to be committed; the report can be rebuilt from it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fedprime.experiment.run_folder import RunError
from fedprime.report.finished_runs import FinishedRun, Scores, plain_settings
from fedprime.reproducibility.atomic_files import write_whole
from fedprime.reproducibility.strict_json import parse_json

_MAKER = "fedprime report"
_FORMAT = 1
_RESULTS = ("method", "rounds", "seconds", "bytes_down", "bytes_up", "trained_values", "sent_values")
_COLUMNS = ("accuracy", "bayes_accuracy", "loss", "bytes")


@dataclass(frozen=True)
class RunSet:
    """Runs that came together.

    Attributes:
        axes: By axis of their plan, the labels in order; None for runs of no plan.
        varied: The settings that the labels stand for.
    """

    runs: tuple[FinishedRun, ...]
    axes: Mapping[str, tuple[str, ...]] | None
    varied: frozenset[str] = frozenset()


def is_runs_file(path: Path) -> bool:
    """Returns whether a file was written by a report, of whatever format."""
    try:
        return parse_json(path.read_bytes(), is_lenient=True)["made_by"] == _MAKER
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_runs_file(path: Path, runs: RunSet) -> None:
    """Writes runs, one on each line, in their order."""
    environments = list(dict.fromkeys(run.environment for run in runs.runs))
    first = runs.runs[0].settings
    names = dict.fromkeys(name for run in runs.runs for name in run.settings if name != "seed")
    shared = [name for name in names if all(run.settings.get(name) == first.get(name) for run in runs.runs)]
    known = _known_scores(runs.runs)
    head = {
        "made_by": _MAKER,
        "format": _FORMAT,
        "axes": None if runs.axes is None else dict(runs.axes),
        "varied": sorted(runs.varied),
        "scores": known,
        "settings": {name: first[name] for name in shared},
        "environments": [asdict(environment) for environment in environments],
    }
    lines = [f"{_json(name)}: {_json(value)}" for name, value in head.items()]
    entries = ",\n".join(
        _json(_run_entry(run, shared, known, environments.index(run.environment))) for run in runs.runs
    )
    write_whole(path, "{\n" + ",\n".join(lines) + ',\n"runs": [\n' + entries + "\n]\n}\n")


def read_runs_file(path: Path) -> RunSet:
    """Reads what `write_runs_file` wrote.

    Raises:
        RunError: If it cannot be read or is something else, in one line.
    """
    remedy = "restore it from a copy or report the run folders again"
    try:
        content = parse_json(path.read_bytes(), is_lenient=True)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); {remedy}") from error
    if not isinstance(content, dict) or content.get("made_by") != _MAKER:
        raise RunError(f"{path} was not written by `fedprime report`; name run folders or the runs.json of a report")
    if content.get("format") != _FORMAT:
        raise RunError(
            f"{path} has format {content.get('format')}, expected {_FORMAT}; report the run folders again, or use the "
            "version of fedprime that wrote it"
        )
    try:
        entries = enumerate(content["runs"], start=1)
        runs = TypeAdapter(tuple[FinishedRun, ...]).validate_python(
            tuple(_run_content(entry, content, f"{path}, run {line}") for line, entry in entries)
        )
        axes = None if content["axes"] is None else {axis: tuple(of) for axis, of in content["axes"].items()}
        if axes is not None and any(run.labels.keys() != axes.keys() for run in runs):
            raise ValueError("labels and axes do not fit together")
        return RunSet(runs, axes, frozenset(content["varied"]))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RunError(f"{path} is broken ({where}: {first['msg']}); {remedy}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise RunError(f"{path} is broken ({error!r}); {remedy}") from error


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _known_scores(runs: Sequence[FinishedRun]) -> list[str]:
    """Returns the scores that any of the runs has; the loss as well, which may be not finite in all of them."""
    found = [
        scores for run in runs for scores in (*run.results.scenarios.values(), *run.results.clients.values()) if scores
    ]
    names = [entry.name for entry in fields(Scores)]
    return [name for name in names if name == "loss" or any(getattr(scores, name) is not None for scores in found)]


def _run_entry(run: FinishedRun, shared: Sequence[str], known: Sequence[str], environment: int) -> dict[str, Any]:
    results, history = run.results, run.history

    def row(scores: Scores | None) -> list[Any] | None:
        return None if scores is None else [getattr(scores, name) for name in known]

    entry: dict[str, Any] = {
        "labels": run.labels,
        "seed": results.seed,
        "settings": {name: value for name, value in run.settings.items() if name not in shared and name != "seed"},
        "environment": environment,
        "finished": run.finished,
        "results": {name: getattr(results, name) for name in _RESULTS}
        | ({} if results.privacy is None else {"privacy": asdict(results.privacy)})
        | ({"bytes_by_part": results.bytes_by_part} if results.bytes_by_part else {}),
        "scenarios": {name: row(scores) for name, scores in results.scenarios.items()},
        "clients": {name: row(scores) for name, scores in results.clients.items()},
        "patterns": run.patterns,
        "history": {name: _shortest(getattr(history, name)) for name in _COLUMNS}
        | {"pool_sizes": {name: _shortest(sizes) for name, sizes in history.pool_sizes.items()}}
        | ({"start": history.start} if history.start else {}),
        "prompts": None if run.prompts is None else asdict(run.prompts),
    }
    return {name: value for name, value in entry.items() if value not in (None, {})}


def _run_content(entry: Mapping[str, Any], content: Mapping[str, Any], place: str) -> dict[str, Any]:
    results, history = entry["results"], entry["history"]
    start = int(history.get("start", 0))
    entries = start + int(results["rounds"])

    def scores(rows: Mapping[str, Sequence[Any] | None]) -> dict[str, Any]:
        return {
            name: None if row is None else dict(zip(content["scores"], row, strict=True)) for name, row in rows.items()
        }

    return {
        "place": place,
        "settings": plain_settings({**content["settings"], **entry.get("settings", {}), "seed": entry["seed"]}),
        "results": {
            **results,
            "seed": entry["seed"],
            "scenarios": scores(entry["scenarios"]),
            "clients": scores(entry.get("clients", {})),
        },
        "history": {name: _spelt_out(history[name], entries) for name in _COLUMNS}
        | {"pool_sizes": {name: _spelt_out(sizes, entries) for name, sizes in history.get("pool_sizes", {}).items()}}
        | {"start": start},
        "environment": content["environments"][entry["environment"]],
        "finished": entry["finished"],
        "labels": entry.get("labels", {}),
        "patterns": entry.get("patterns", {}),
        "prompts": entry.get("prompts"),
    }


def _shortest(column: Sequence[Any]) -> Any:
    """Returns a column, or its one value where all are the same."""
    return column[0] if len(set(column)) == 1 else column


def _spelt_out(column: Any, rounds: int) -> list[Any]:
    spelt_out = column if isinstance(column, list) else [column] * rounds
    if len(spelt_out) != rounds:
        raise ValueError(f"a column has {len(spelt_out)} entries, expected {rounds}")
    return spelt_out
