"""The files of a run as it wrote them: digests tell of each whether it is what the run began or ended with."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedprime.experiment.saved_states import RunError, SavedStates, broken, existing
from fedprime.reproducibility.atomic_files import write_whole
from fedprime.reproducibility.digests import digest_of_file
from fedprime.reproducibility.errors import as_word
from fedprime.reproducibility.strict_json import JsonError, dump_json, parse_json

#: What a run begins with, and what never changes then, apart from settings that may.
_FIRST = ("settings.toml", "environment.json", "missingness.json", "masks.safetensors")
METRICS = "metrics.jsonl"
#: What the start summed up, if there was one.
START = "start.safetensors"
#: What models say of themselves, with digests of all else of theirs.
_MODELS = ("model/config.json", "clients/*/config.json")
_RESULTS, _CHECKSUMS = "results.json", "checksums.json"


class WrittenFiles:
    """The files of a run, read only while they are what it wrote, as far as that is known."""

    def __init__(self, path: Path) -> None:
        """Takes the folder; nothing is read yet."""
        self.path, self.states = path, SavedStates(path)
        self._start_facts: dict[str, str] = {}  # what this process wrote of the start, until a checkpoint says so

    @property
    def is_finished(self) -> bool:
        """Whether the run has come to its end."""
        return (self.path / _RESULTS).exists()

    def verified(self, name: str) -> Path:
        """Returns the path of a file, if it is what the run began or ended with, as far as that is known.

        Raises:
            RunError: If it is not there, or was changed.
        """
        path = existing(self.path, name)
        expected = self._digests().get(name, "")
        if expected and digest_of_file(path) not in expected.split():
            raise RunError(f"{path} was changed since the run wrote it; {_way_out(self.path, name)}")
        return path

    def refuse_changed(self) -> None:
        """Raises a `RunError` if any file that is there is not what the run wrote, as far as that is known."""
        for name in self._digests():
            if (self.path / name).is_file():
                self.verified(name)

    def _digests(self) -> dict[str, str]:
        """Returns digests by name of the file: of a finished run those that it ended with, else those of the start."""
        if self.is_finished and (self.path / _CHECKSUMS).is_file():
            return self.table(_CHECKSUMS)
        facts = self.states.facts()
        return {name: facts[name] for name in (*_FIRST, START) if name in facts}

    def change_settings(self, settings_toml: str) -> None:
        """Writes other settings, on purpose; a run that was finished is not finished any more."""
        (self.path / _RESULTS).unlink(missing_ok=True)  # first: without it, nothing is taken for finished
        (self.path / _CHECKSUMS).unlink(missing_ok=True)
        facts, new = self.states.facts(), hashlib.sha256(settings_toml.encode()).hexdigest()
        # Both are right until the next round is saved: whenever the process dies, one of them is there.
        self.states.change_facts(facts | {_FIRST[0]: f"{digest_of_file(self.path / _FIRST[0])} {new}"})
        write_whole(self.path / _FIRST[0], settings_toml)

    def facts(self) -> dict[str, str]:
        """Returns digests of what the run began with, to be told with its next checkpoint."""
        facts = self._digests() or {name: digest_of_file(existing(self.path, name)) for name in _FIRST}
        return facts | self._start_facts | {_FIRST[0]: facts[_FIRST[0]].split(" ")[-1]}

    def note_start(self, path: Path) -> None:
        """Takes down the digest of what the start summed up, which is about to be written."""
        self._start_facts = {START: digest_of_file(path)}

    def start_path(self) -> Path | None:
        """Returns where it lies, if it is what was written; None if there was no start."""
        return self.verified(START) if (self.path / START).exists() or START in self._digests() else None

    def save_results(self, results: Mapping[str, Any]) -> None:
        """Writes the final table, which marks the run as finished."""
        text = dump_json(results, indent=2) + "\n"
        models = [
            own.relative_to(self.path).as_posix() for pattern in _MODELS for own in sorted(self.path.glob(pattern))
        ]
        names = [name for name in (*_FIRST, METRICS, *models) if (self.path / name).exists()]
        digests = {name: digest_of_file(self.path / name) for name in names}
        digests[_RESULTS] = hashlib.sha256(text.encode()).hexdigest()
        write_whole(self.path / _CHECKSUMS, dump_json(digests, indent=2) + "\n")
        write_whole(self.path / _RESULTS, text)

    def results(self) -> dict[str, Any]:
        """Returns the final table.

        Raises:
            RunError: If the run is not finished.
        """
        if not self.is_finished:
            raise RunError(
                f"the run {self.path} is not finished; continue it with `fedprime run --resume {as_word(self.path)}`"
            )
        return self.table(_RESULTS)

    def table(self, name: str) -> dict[str, Any]:
        """Returns what a file of JSON says."""
        path = existing(self.path, name) if name == _CHECKSUMS else self.verified(name)
        try:
            found = parse_json(path.read_bytes(), is_lenient=True)
        except JsonError as error:
            raise broken(path, error) from error
        if not isinstance(found, dict):
            raise broken(path, f"it holds {type(found).__name__}, expected a table")
        return found


def _way_out(folder: Path, name: str) -> str:
    if name == "settings.toml":
        return (
            "put it back as it was; what may change on purpose is said by flags, as in "
            f"`fedprime run --resume {as_word(folder)} --training.rounds 50`"
        )
    return "restore it from a copy or start the run anew"
