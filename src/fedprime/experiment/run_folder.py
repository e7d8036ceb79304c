"""A run's folder: everything that is needed to understand it and to go on with it, written whole or not at all.

The files, in the order in which a run writes them:

    settings.toml           every setting
    environment.json        versions, commit, machine
    masks.safetensors       who owns which sample and what is present of it
    missingness.json        the missing rates as they came out, per client and pattern
    checkpoint.safetensors  the state after the last finished round
    checkpoints/            those of some rounds before, by the number of the round that comes next; and digests of
                            them and of all that stands above
    metrics.jsonl           one line per finished round
    start.safetensors       what the start summed up, if there was one
    pending.safetensors     under privacy: a round that was made, and whose scores sites were asked for
    releases.jsonl          under privacy: one line for whatever was made of clients' samples under noise
    model/                  the final model, unless nothing of it is shared
    clients/                by client, its final model, if it differs from the shared one
    checksums.json          digests of results.json and of all that it rests on
    results.json            the final table; it is there when the run is finished
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fedprime.experiment.checkpoint_file import Checkpoint, save_checkpoint
from fedprime.experiment.round_lines import (
    append_line,
    digest_of_lines,
    drop_lines,
    lines_before,
    read_rounds,
    whole_lines,
)
from fedprime.experiment.saved_states import RunError, broken, existing
from fedprime.experiment.written_files import METRICS, START, WrittenFiles
from fedprime.models.prompted_model import Weights
from fedprime.reproducibility.atomic_files import replaced_file, replaced_folder
from fedprime.reproducibility.environment import describe_environment
from fedprime.reproducibility.errors import as_word
from fedprime.reproducibility.locks import held_lock
from fedprime.reproducibility.strict_json import dump_json
from fedprime.reproducibility.tensor_files import save_tensors

_RELEASES = "releases.jsonl"


class RunInUseError(RunError):
    """A run that another process is writing to."""


class RunFolder(WrittenFiles):
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        """Opens a run folder.

        Raises:
            RunError: If it is not a run folder.
        """
        super().__init__(path)
        if not path.exists():
            raise RunError(f"there is no run folder {path}; `fedprime run` makes one")
        for own in [*path.glob("*"), *path.glob("checkpoints/*")]:
            if own.is_fifo() or own.is_char_device() or own.is_block_device():  # reading one may never end
                raise RunError(f"{own} is a device or a pipe, expected a file; restore it from a copy or move it away")
        if not (path / "settings.toml").is_file():
            raise RunError(
                f"{path} is not a run folder: settings.toml is not there; name a folder that `fedprime run` made"
            )

    @classmethod
    def create(
        cls,
        path: Path,
        settings_toml: str,
        backbone_fingerprint: str,
        masks: Mapping[str, Tensor],
        missingness: list[dict[str, object]],
        checkpoint: Checkpoint,
        own_objects: Mapping[str, str] | None = None,
    ) -> "RunFolder":
        """Makes the folder of a new run, complete from the first moment.

        Args:
            masks: Who owns what and what is present of it.
            checkpoint: The state before the first round.
            own_objects: Fingerprints of what is used in the place of what settings name: source, backbone, method.

        Raises:
            RunError: If there is something at `path` already.
        """
        refuse_existing(path)
        try:
            with replaced_folder(path, overwrites=False) as beside:
                (beside / "settings.toml").write_text(settings_toml, encoding="utf-8")
                environment = describe_environment(backbone_fingerprint)
                if own_objects:
                    environment["own_objects"] = dict(own_objects)
                (beside / "environment.json").write_text(dump_json(environment, indent=2) + "\n")
                (beside / "missingness.json").write_text(dump_json(missingness, indent=2) + "\n")
                save_file(dict(masks), beside / "masks.safetensors")
                (beside / METRICS).touch()
                save_checkpoint(beside / "checkpoint.safetensors", checkpoint)
        except OSError:
            refuse_existing(path)  # another process may have made it in the meantime
            raise
        return cls(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from writing to the run.

        Raises:
            RunInUseError: If another process is writing to it.
        """
        refusal = RunInUseError(f"another process is running {self.path}; wait for it or stop it")
        with held_lock(self.path / ".lock", refusal):
            yield

    @property
    def model_path(self) -> Path:
        """Where the final model is."""
        return self.path / "model"

    def client_model_path(self, client: int) -> Path:
        """Returns where the final model of a client is, if it differs from the shared one."""
        return self.path / "clients" / str(client)

    def save_start(self, statistics: Weights) -> None:
        """Keeps what the start summed up, for the saved model.

        Args:
            statistics: As `fedprime.models.statistics.Statistics.weights` names them.
        """
        with replaced_file(self.path / START) as beside:
            save_tensors(statistics, beside)
            self.note_start(beside)

    def start(self) -> Weights | None:
        """Returns what `save_start` wrote; None if it has not been called."""
        path = self.start_path()
        try:
            return None if path is None else load_file(path)
        except SafetensorError as error:
            raise broken(self.path / START, error) from error

    def masks(self) -> dict[str, Tensor]:
        """Returns who owned what and what was present of it when the run began."""
        path = self.verified("masks.safetensors")
        try:
            return load_file(path)
        except SafetensorError as error:
            raise broken(path, error) from error

    def backbone_fingerprint(self) -> str:
        """Returns the fingerprint of the backbone that the run began with."""
        return self._environment("backbone_fingerprint", str)

    def own_objects(self) -> dict[str, str]:
        """Returns the fingerprints of objects that the run began with in the place of what its settings name."""
        return self._environment("own_objects", dict, {})  # runs of earlier versions do not tell

    def _environment(self, key: str, kind: type, default: Any = None) -> Any:
        found = self.table("environment.json").get(key, default)
        if not isinstance(found, kind):
            raise broken(self.path / "environment.json", f"it says nothing of {key}")
        return found

    def load_checkpoint(self) -> Checkpoint:
        """Returns the state after the last finished round."""
        return self.states.newest()

    def final_checkpoint(self) -> Checkpoint:
        """Returns the state that a finished run was measured with: the best one, where that is not the last."""
        last = self.load_checkpoint()
        next_round = self.results().get("kept_round", last.next_round - 1) + 1
        return last if next_round == last.next_round else self.states.best(next_round)

    def newest_sound(self) -> Checkpoint:
        """Returns the state after the last round that is whole, with its lines of metrics.

        Raises:
            RunError: If there is none.
        """
        return self.states.newest_sound(
            lambda next_round: digest_of_lines(lines_before(self._metrics_path(), next_round))
        )

    def save_round(
        self, metrics: Mapping[str, Any], checkpoint: Checkpoint, keep: int = 1, sound_round: int = 0
    ) -> None:
        """Records a finished round.

        The line of metrics is written first: whatever moment the process dies at, there is at least one line for each
        round that the checkpoint knows, and `drop_unfinished` removes the rest.

        Args:
            keep: As many checkpoints are kept, this one among them.
            sound_round: The round after the last whose state was measured and found sound; its state is kept too.
        """
        append_line(self.path / METRICS, metrics)
        facts = self.facts() | {METRICS: digest_of_lines(whole_lines(self._metrics_path()))}
        self.states.save(checkpoint, facts, keep, sound_round)

    def note_release(self, kind: str, round_number: int) -> None:
        """Writes down that something is to be made of clients' samples under noise: it counts, whoever sees it."""
        append_line(self.path / _RELEASES, {"kind": kind, "round": round_number})

    def releases(self, kind: str) -> int:
        """Returns how often something was made of clients' samples under noise."""
        path = self.path / _RELEASES
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return sum(f'"kind": "{kind}"' in line for line in lines)

    def metrics(self) -> list[dict[str, Any]]:
        """Returns what was measured in every round; a line that was cut off when the process died is left out."""
        return read_rounds(self._metrics_path())

    def _metrics_path(self) -> Path:
        # While a run goes on, its checkpoints say which lines belong to them.
        return self.verified(METRICS) if self.is_finished else existing(self.path, METRICS)

    def drop_unfinished(self, checkpoint: Checkpoint, num_start_rounds: int = 0) -> None:
        """Drops lines of metrics of rounds that the checkpoint does not know, and files that were not finished.

        Raises:
            RunError: If rounds that the checkpoint knows have no line.
        """
        drop_lines(self._metrics_path(), checkpoint.next_round, num_start_rounds)
        for unfinished in [*self.path.rglob(".*.tmp"), *self.path.rglob(".*.old")]:
            if unfinished.is_dir():
                shutil.rmtree(unfinished)
            else:
                unfinished.unlink(missing_ok=True)  # it may have been in a folder that was not finished either


def refuse_existing(path: Path) -> None:
    """Raises a `RunError` that says what to do if there is something where a new run folder shall be."""
    if (path / "settings.toml").is_file():
        raise RunError(
            f"{path} exists already and is not overwritten; continue it with "
            f"`fedprime run --resume {as_word(path)}`, or name another folder with --output"
        )
    if path.exists():
        raise RunError(f"{path} exists already and is not overwritten; name another folder with --output")


def refuse_unwritable(path: Path) -> None:
    """Raises an error if nothing can be made at `path`, before hours are spent on what would lie there.

    Raises:
        RunError: If it lies below a file.
        OSError: If nobody may write there, or there is no space.
    """
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    if not parent.is_dir():
        raise RunError(f"{path} cannot be made: {parent} is not a folder; name another folder with --output")
    try:
        with TemporaryDirectory(prefix=".fedprime-", dir=parent):
            pass
    except OSError as error:
        error.filename = str(path)
        raise
