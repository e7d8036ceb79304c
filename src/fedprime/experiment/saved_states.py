"""The checkpoints of a run: the newest, some before it, the best, and one that nobody has seen yet.

Beside them, ``digests.json`` says by the digest of each which lines of metrics and which other files belong to it, so
that a run goes on from what fits together. It knows of a checkpoint before that takes its place: whenever the process
dies, what lies there is known.
"""

import contextlib
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedprime.experiment.checkpoint_file import (
    BrokenCheckpointError,
    Checkpoint,
    load_checkpoint,
    named_values,
    round_of,
    save_checkpoint,
)
from fedprime.reproducibility.atomic_files import replaced_file, write_whole
from fedprime.reproducibility.digests import digest_of_file, digest_of_values
from fedprime.reproducibility.errors import FedprimeError
from fedprime.reproducibility.strict_json import JsonError, dump_json, parse_json, read_json

_logger = logging.getLogger(__name__)
_NEWEST, _EARLIER, _BEST, _PENDING = "checkpoint.safetensors", "checkpoints", "best.safetensors", "pending.safetensors"
#: What checkpoints say of lines of metrics, and a pending one of its own line.
_LINES, _LINE = "metrics.jsonl", "line"
#: What the best and a pending one say of themselves, of which digests.json knows nothing.
_DIGEST = "digest"
_DIGESTS, _ROUND = "digests.json", "next_round"


class RunError(FedprimeError):
    """A run folder that is missing, broken, in use, finished or in the way."""


def broken(path: Path, error: object) -> RunError:
    """Returns the error of a file that is not what a run wrote."""
    return RunError(f"{path} is broken ({error}); restore it from a copy or start the run anew")


def existing(folder: Path, name: str) -> Path:
    """Returns the path of a file of a run; an error if it is not there."""
    path = folder / name
    if not path.is_file():
        remedy = "restore it from a copy or start the run anew"
        raise RunError(f"the run folder {folder} is broken: {name} is not there; {remedy}")
    return path


def _digest(checkpoint: Checkpoint, line: str = "") -> str:
    return digest_of_values(dict(named_values(checkpoint)), f"{checkpoint.next_round} {line}")


class SavedStates:
    """The files of checkpoints in the folder of a run."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder; nothing is read yet."""
        self._folder = folder

    def newest(self) -> Checkpoint:
        """Returns the newest; an error if it is broken."""
        return self._load(existing(self._folder, _NEWEST))[0]

    def newest_sound(self, lines_digest: Callable[[int], str]) -> Checkpoint:
        """Returns the newest that is whole and fits the lines of metrics; that it is not the newest is told.

        Args:
            lines_digest: Given the number of a round, returns the digest of the lines before it.

        Raises:
            RunError: If there is none.
        """
        problems: list[RunError] = []
        for path in self._paths():
            try:
                if path.name == _NEWEST:
                    self.newest()  # says if it is not there
                checkpoint, _ = self._load(path)
                facts = self._known().get(digest_of_file(path), {})
                if facts.get(_LINES, digest := lines_digest(checkpoint.next_round)) != digest:
                    raise broken(self._folder / _LINES, f"its lines are not those that belong to {path.name}")
            except RunError as error:
                problems.append(error)
                continue
            if problems:
                _logger.warning("%s - going on from %s, the newest that is whole", problems[0], path)
            return checkpoint
        raise problems[0]

    def facts(self) -> dict[str, str]:
        """Returns the digests of other files, as the newest checkpoint that can be read tells them."""
        known = self._known()
        for path in self._paths():
            digest = digest_of_file(path) if path.is_file() else ""
            if digest and digest in known:
                return known[digest]
        return {}

    def save(self, checkpoint: Checkpoint, facts: Mapping[str, str], keep: int = 1, sound_round: int = 0) -> None:
        """Writes the newest, and keeps some of those before.

        Args:
            facts: Digests of other files.
            keep: As many are kept, this one among them.
            sound_round: The round after the last whose state was measured and found sound; its state is kept too.
        """
        kept = self._keep_newest(checkpoint.next_round, keep, sound_round)
        with replaced_file(self._folder / _NEWEST) as beside:
            save_checkpoint(beside, checkpoint)
            self._note(digest_of_file(beside), {**facts, _ROUND: str(checkpoint.next_round)}, kept)
        (self._folder / _PENDING).unlink(missing_ok=True)

    def change_facts(self, facts: Mapping[str, str]) -> None:
        """Lets what is known of the newest be something else."""
        newest = self._folder / _NEWEST
        if newest.is_file():
            self._note(digest_of_file(newest), facts, set(map(str, self._rounds())))

    def _known(self) -> dict[str, dict[str, str]]:
        """Returns by the digest of a checkpoint what belongs to it; nothing, in runs of earlier versions."""
        path = self._folder / _EARLIER / _DIGESTS
        if not path.exists():
            return {}
        try:
            found = read_json(path)
        except JsonError as error:
            raise RunError(f"{error} or start the run anew") from error
        if not all(isinstance(facts, dict) for facts in found.values()):
            raise broken(path, "it says nothing of some checkpoints")
        return found

    def _note(self, digest: str, facts: Mapping[str, str], rounds: set[str]) -> None:
        """Writes down what belongs to a checkpoint; of others, only those before some rounds are known any longer."""
        newest = self._folder / _NEWEST
        there = digest_of_file(newest) if newest.is_file() else ""
        known = self._known() or {there: {}}  # of the first that is written, nothing has been said before
        kept = {name: own for name, own in known.items() if name == there or own.get(_ROUND) in rounds}
        write_whole(self._folder / _EARLIER / _DIGESTS, dump_json({**kept, digest: dict(facts)}, indent=2) + "\n")

    def before(self, next_round: int) -> Checkpoint | None:
        """Returns the state before a round, if it is one of those that are kept."""
        path = self._earlier(next_round)
        return self._load(path)[0] if path.exists() else None

    def best(self, next_round: int, made_again: int | None = None) -> Checkpoint:
        """Returns the state that `save_best` wrote.

        Args:
            next_round: The round that comes after it, for it may be of another run.
            made_again: From this round on, rounds are made again; a state after one of them is also right.
        """
        path = self._folder / _BEST
        if not path.exists():
            raise broken(path, "it is not there")
        checkpoint = self._load(path)[0]
        if checkpoint.next_round != next_round and (made_again is None or checkpoint.next_round <= made_again):
            raise broken(path, "it is the state of another round than the best")
        return checkpoint

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Keeps a state beside that of the last round, in the place of the one that was kept before."""
        with replaced_file(self._folder / _BEST) as beside:
            save_checkpoint(beside, checkpoint, {_DIGEST: _digest(checkpoint)})

    def save_pending(self, metrics: Mapping[str, Any], checkpoint: Checkpoint) -> None:
        """Writes down a round before anybody sees its state, so that it is never made a second time."""
        with replaced_file(self._folder / _PENDING) as beside:
            line = dump_json(metrics)
            save_checkpoint(beside, checkpoint, {_LINE: line, _DIGEST: _digest(checkpoint, line)})

    def pending(self, next_round: int) -> tuple[dict[str, Any], Checkpoint] | None:
        """Returns a round that was made and is not finished; None if there is none."""
        path = self._folder / _PENDING
        if not path.exists():
            return None
        checkpoint, facts = self._load(path)
        return (parse_json(facts[_LINE]), checkpoint) if checkpoint.next_round == next_round + 1 else None

    def _paths(self) -> list[Path]:
        """Returns the newest, and those before it, the later ones first."""
        return [self._folder / _NEWEST, *(self._earlier(number) for number in self._rounds())]

    def _rounds(self) -> list[int]:
        paths = (self._folder / _EARLIER).glob("*.safetensors")
        return sorted((int(path.stem) for path in paths if path.stem.isdecimal()), reverse=True)

    def _earlier(self, next_round: int) -> Path:
        return self._folder / _EARLIER / f"{next_round}.safetensors"

    def _load(self, path: Path) -> tuple[Checkpoint, dict[str, str]]:
        try:
            checkpoint, facts = load_checkpoint(path)
        except (BrokenCheckpointError, FileNotFoundError) as error:
            raise broken(path, error) from error
        known = self._known()
        if path.name in (_BEST, _PENDING):
            is_changed = _DIGEST in facts and facts[_DIGEST] != _digest(checkpoint, facts.get(_LINE, ""))
        else:
            is_changed = bool(known) and digest_of_file(path) not in known
        if is_changed:
            raise broken(path, "it was changed since it was written")
        return checkpoint, facts

    def _keep_newest(self, next_round: int, keep: int, sound_round: int) -> set[str]:
        """Keeps the one that another takes the place of, no more of those before than are asked for; returns which."""
        newest, number = self._folder / _NEWEST, 0
        with contextlib.suppress(BrokenCheckpointError):
            number = round_of(newest)
        # The state before all rounds comes by starting anew.
        if 0 < number < next_round and (keep > 1 or number == sound_round):
            with replaced_file(self._earlier(number)) as beside:
                try:
                    beside.hardlink_to(newest)
                except OSError:  # not every file system has links
                    shutil.copyfile(newest, beside)
        rounds = self._rounds()
        kept = {*[number for number in rounds if number < next_round][: keep - 1], sound_round}
        for superfluous in set(rounds) - kept:
            self._earlier(superfluous).unlink(missing_ok=True)
        return {str(number) for number in kept}
