"""What trackers are told of a run: all that its folder says, and what one of them lacks is sent to it later.

``trackers.json`` in the run folder says how much each tracker has: a run that was stopped goes on in the same run of
the tracker, a finished run can be sent at any time, and no round is sent twice.
"""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from fedprime.experiment.run_folder import RunFolder
from fedprime.reproducibility.atomic_files import write_whole
from fedprime.reproducibility.digests import digest_of_file
from fedprime.reproducibility.errors import quoted
from fedprime.reproducibility.strict_json import parse_json
from fedprime.runs.callbacks import Callback
from fedprime.runs.metrics import Progress
from fedprime.runs.tracker import Line, Plain, TrackedRun, TrackedTable, Tracker
from fedprime.runs.trackers import TRACKERS, refuse_missing_trackers
from fedprime.settings.reading import flat_settings, read_saved_settings
from fedprime.settings.settings import Settings

_logger = logging.getLogger(__name__)

#: What the final table says of single clients.
_OF_CLIENTS = ("clients", "absent_clients")


class Tracking(Callback):
    """Sends a run to trackers while it is made, or afterwards; what goes wrong with one costs that one, not the run.

    Attributes:
        failures: By tracker, why it gets nothing more.
    """

    def __init__(
        self,
        folder: Path,
        trackers: Sequence[str],
        home: Path | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Names the run.

        Args:
            folder: Its folder, which need not be there yet.
            trackers: Their names.
            home: Where trackers that keep files on this machine put them; the run folder if not given.
            labels: By axis of the plan that it belongs to, its label.

        Raises:
            MissingTrackerError: If there is no such tracker, or its library is not installed.
        """
        refuse_missing_trackers(trackers)
        self.failures: dict[str, str] = {}
        self._folder, self._home, self._labels = folder, home or folder, labels or {}
        self._names = tuple(dict.fromkeys(trackers))
        self._open: dict[str, Tracker] = {}

    def __enter__(self) -> "Tracking":
        """Begins; a tracker is opened when there is something to send."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Lets go of the trackers, and says which of them have failed; a run that was finished before is sent now."""
        del error, at
        if kind is None:
            self.send()
        is_finished = (self._folder / "results.json").exists()
        for name, tracker in self._open.items():
            try:
                tracker.close(is_finished=is_finished)
            except Exception as failure:
                self._note_failure(name, failure)
        for name, reason in self.failures.items():
            _logger.error(
                "%s FAILED and lacks a part of this run, which itself is as it should be: %s; once that is mended, "
                "send the rest with: fedprime track %s --to %s",
                *(name, reason, self._home, name),
            )

    def round_finished(self, progress: Progress) -> None:
        """Sends the lines of metrics that trackers do not have yet."""
        del progress
        self.send()

    def run_finished(self, results: Mapping[str, Any]) -> None:
        """Sends the final table and the model."""
        del results
        self.send()

    def send(self) -> None:
        """Sends to every tracker what it does not have yet."""
        for name in self._names:
            if name not in self.failures:
                try:
                    self._send_to(name)
                except Exception as failure:  # of a library, a server, a disk: whatever it is, the run goes on
                    self._note_failure(name, failure)

    def _note_failure(self, name: str, failure: Exception) -> None:
        self.failures.setdefault(name, quoted(f"{type(failure).__name__}: {failure}"))

    def _send_to(self, name: str) -> None:
        folder = RunFolder(self._folder)
        settings = read_saved_settings(self._folder / "settings.toml")
        run = self._described(settings)
        lines = list(_lines(folder))
        digest = digest_of_file(self._folder / "results.json") if folder.is_finished else ""
        notes = self._notes()
        note = notes.setdefault(name, {}).setdefault(TRACKERS[name].place(run), {})
        new = lines[note.get("lines", 0) :]
        if not new and digest == note.get("results", ""):
            return
        if name not in self._open:
            last = lines[note["lines"] - 1] if note.get("lines") and note["lines"] <= len(lines) else None
            self._open[name] = TRACKERS[name](run, note.get("key") or uuid4().hex[:12], last)
        tracker = self._open[name]
        for line in new:
            tracker.log_line(line)
            note |= {"key": tracker.key, "lines": line.place + 1}
            self._keep(notes)
        if digest and digest != note.get("results", ""):
            results = folder.results()
            hidden = () if _tells_clients(settings) else _OF_CLIENTS
            told = {name: value for name, value in results.items() if name not in hidden}
            end = Line(lines[-1].place, lines[-1].step, lines[-1].seconds, _numbers(told, "results/"))
            tracker.log_end(end, _table(results), folder.model_path if folder.model_path.exists() else None)
            note["results"] = digest
            self._keep(notes)

    def _described(self, settings: Settings) -> TrackedRun:
        plain: dict[str, Plain] = {f"label.{axis}": label for axis, label in self._labels.items()}
        for name, value in flat_settings(settings).items():
            plain[name] = value if isinstance(value, str | int | float | bool) else json.dumps(value)
        path = self._folder.absolute()
        name = ", ".join([*(f"{axis} {label}" for axis, label in self._labels.items()), f"seed {settings.seed}"])
        group = self._home.absolute().name if self._labels else ""
        return TrackedRun(name if self._labels else path.name, group, self._folder, self._home, plain)

    def _notes(self) -> dict[str, dict[str, dict[str, Any]]]:
        path = self._folder / "trackers.json"
        return parse_json(path.read_bytes()) if path.exists() else {}

    def _keep(self, notes: Mapping[str, Any]) -> None:
        write_whole(self._folder / "trackers.json", json.dumps(notes, indent=2) + "\n")


def _tells_clients(settings: Settings) -> bool:
    """Returns whether scores of single clients may be sent on: not of sites, nor of private runs."""
    return not settings.privacy.is_on and settings.runtime.kind != "deployment"


def _lines(folder: RunFolder) -> Iterator[Line]:
    """Yields what was measured after each round; when that was follows from the seconds that rounds took."""
    seconds = (folder.path / "environment.json").stat().st_mtime
    for place, row in enumerate(folder.metrics()):
        seconds += row["seconds"]
        values = _numbers({name: value for name, value in row.items() if name != "round"})
        yield Line(place, row["round"] + 1, seconds, values)


def _numbers(table: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Returns the finite numbers in tables inside tables; words, lists and what is not known are left out.

    >>> _numbers({"accuracy": 0.5, "loss": None, "pool_sizes": {"inter": 20}, "clients": [1, 2]})
    {'accuracy': 0.5, 'pool_sizes/inter': 20.0}
    """
    found: dict[str, float] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            found |= _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            found[prefix + name] = float(value)
    return found


def _table(results: Mapping[str, Any]) -> TrackedTable:
    scenarios = {name: _numbers(scores) for name, scores in results["scenarios"].items()}
    measured = tuple(dict.fromkeys(name for scores in scenarios.values() for name in scores))
    rows = [[name, *(scores.get(each, math.nan) for each in measured)] for name, scores in scenarios.items()]
    return TrackedTable(("test scenario", *measured), rows)
