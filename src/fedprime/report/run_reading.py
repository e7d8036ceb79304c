"""From the folder of a run to what a report needs of it."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from fedprime.experiment.run_folder import RunError, RunFolder
from fedprime.report.finished_runs import Environment, FinishedRun, History, PromptRecord, Results, plain_settings
from fedprime.settings.reading import flat_settings, read_settings
from fedprime.settings.settings import SettingsError

__all__ = ["read_run"]

_REMEDY = "restore it from a copy or start the run anew"
Form = TypeVar("Form")


def read_run(path: Path, labels: Mapping[str, str] | None = None) -> FinishedRun:
    """Reads a finished run from its folder.

    Args:
        path: The folder.
        labels: By axis of its plan, the label that holds for it.

    Raises:
        RunError: If it is not finished, broken, or of another format, in one line.
    """
    folder = RunFolder(path)
    # Where there are no results, the folder says how to get them.
    content = _read_json(path / "results.json") if folder.is_finished else folder.results()
    results = _checked(Results, content, path / "results.json")
    try:
        settings = flat_settings(read_settings(path / "settings.toml"))
    except SettingsError as error:
        raise RunError(f"{path / 'settings.toml'} cannot be used ({'; '.join(error.problems)}); {_REMEDY}") from error
    rows = folder.metrics()
    environment = _read_json(path / "environment.json")
    missingness = _read_json(path / "missingness.json")
    try:
        rounds = [row["round"] for row in rows]
        history = {
            "accuracy": [row.get("accuracy") for row in rows],
            "bayes_accuracy": [row.get("bayes_accuracy") for row in rows],
            "loss": [row["loss"] for row in rows],
            "bytes": [row["bytes_down"] + row["bytes_up"] for row in rows],
            "pool_sizes": {name: [row["pool_sizes"][name] for row in rows] for name in rows[-1]["pool_sizes"]},
        }
        prompts = _prompt_record(rows)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise RunError(f"{path / 'metrics.jsonl'} is broken ({error!r}); {_REMEDY}") from error
    if rounds != list(range(results.rounds)):
        raise RunError(f"{path / 'metrics.jsonl'} is broken (it lacks some of {results.rounds} rounds); {_REMEDY}")
    try:
        where = environment["machine"] | {
            "commit": environment["commit"],
            "backbone": environment["backbone_fingerprint"],
        }
        # Rows of classes or groups may follow those of clients; what is missing at a site, its server is not told.
        of_clients = [row for row in missingness if "client" in row]
        names = of_clients[0].get("present", {})
        patterns = {name: tuple(int(row["present"][name]) for row in of_clients) for name in names}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise RunError(f"environment.json or missingness.json of {path} is broken ({error!r}); {_REMEDY}") from error
    return FinishedRun(
        str(path),
        plain_settings(settings),
        results,
        _checked(History, history, path / "metrics.jsonl"),
        _checked(Environment, where, path / "environment.json"),
        datetime.fromtimestamp((path / "results.json").stat().st_mtime, UTC).date().isoformat(),
        None if labels is None else dict(labels),
        patterns,
        None if prompts is None else _checked(PromptRecord, prompts, path / "metrics.jsonl"),
    )


def _checked(form: type[Form], content: Any, path: Path) -> Form:
    try:
        return TypeAdapter(form).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(
            f"{path} has another format than this version of fedprime writes ({where}: {first['msg']}); {_REMEDY}"
        ) from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"the run folder {path.parent} is broken: {path.name} is not there; {_REMEDY}") from None
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is broken ({error}); {_REMEDY}") from error


def _prompt_record(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    matches = [row.get("matches") or {} for row in rows]
    usage = [row.get("usage") or {} for row in rows]
    pools = list(dict.fromkeys(name for by_pool in matches for name in by_pool))
    last_usage = next((by_pool for by_pool in reversed(usage) if by_pool), {})
    if not pools and not last_usage:
        return None
    return {
        "matches": {pool: next(row[pool] for row in reversed(matches) if pool in row) for pool in pools},
        "moved": {pool: [_moved_share(row[pool]) if row.get(pool) else None for row in matches] for pool in pools},
        "usage": last_usage,
    }


def _moved_share(clients: Iterable[Sequence[int | None]]) -> float:
    """Returns the share of matched prompts whose centre is not that of most with the same place in the pool."""
    by_place: dict[int, Counter[int]] = {}
    for centres in clients:
        for place, centre in enumerate(centres):
            if centre is None:
                continue
            by_place.setdefault(place, Counter())[centre] += 1
    stayed = sum(max(counts.values()) for counts in by_place.values())
    return 1 - stayed / max(1, sum(counts.total() for counts in by_place.values()))
