"""A run's folder: everything that is needed to understand it and to go on with it, written whole or not at all.

The files, in the order in which a run writes them:

    settings.toml           every setting
    environment.json        versions, commit, machine
    masks.safetensors       who owns which sample and what is present of it
    missingness.json        the missing rates as they came out, per client and pattern
    checkpoint.safetensors  the state after the last finished round
    metrics.jsonl           one line per finished round
    start.safetensors       what the start summed up, if there was one
    model/                  the final model, unless nothing of it is shared
    clients/                by client, its final model, if it differs from the shared one
    results.json            the final table; it is there when the run is finished
"""

import fcntl
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from fedprime.methods.method import ServerState
from fedprime.models.prompted_model import Weights
from fedprime.reproducibility.atomic_files import replaced_file, replaced_folder
from fedprime.reproducibility.environment import processor_name
from fedprime.reproducibility.errors import FedprimeError

__all__ = ["Checkpoint", "RunError", "RunFolder", "RunInUseError", "refuse_existing"]


#: Parts of a checkpoint: those of everybody, and those that belong to one client each.
_SINGLE = ("shared", "server")
#: The state with the likeliest validation labels.
_BEST = "best.safetensors"
_START = "start.safetensors"
_OWNED = ("personal", "kept", "residual")


class RunError(FedprimeError):
    """A run folder that is missing, broken, in use, finished or in the way."""


class RunInUseError(RunError):
    """A run that another process is writing to."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run between two rounds.

    Attributes:
        next_round: The round that comes next, from 0; those of the start come before, and are less.
        state: What the server holds.
        kept: By client, trained values that do not travel.
        residuals: By client, what rounding held back of its last message, where values travel in fewer bits.
    """

    next_round: int
    state: ServerState
    kept: Mapping[int, Weights] = field(default_factory=dict)
    residuals: Mapping[int, Weights] = field(default_factory=dict)

    @property
    def personal_clients(self) -> tuple[int, ...]:
        """The clients whose model differs from the shared one, in ascending order."""
        return tuple(sorted({*self.state.personal, *self.kept}))

    def weights(self, client: int) -> Weights:
        """Returns a client's model.

        Args:
            client: Which client.
        """
        return {**self.state.answer(client), **self.kept.get(client, {})}


class RunFolder:
    """The files of one run.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        """Opens a run folder.

        Args:
            path: The folder.

        Raises:
            RunError: If it is not a run folder.
        """
        self.path = path
        if not path.exists():
            raise RunError(f"there is no run folder {path}; `fedprime run` makes one")
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
            path: The folder.
            settings_toml: Every setting.
            backbone_fingerprint: Of the frozen backbone that is trained around.
            masks: Who owns what and what is present of it.
            missingness: The missing rates as they came out.
            checkpoint: The state before the first round.
            own_objects: Fingerprints of what is used in the place of what settings name: source, backbone, method.

        Raises:
            RunError: If there is something at `path` already.
        """
        refuse_existing(path)
        try:
            with replaced_folder(path, overwrites=False) as beside:
                (beside / "settings.toml").write_text(settings_toml, encoding="utf-8")
                environment = _environment(backbone_fingerprint)
                if own_objects:
                    environment["own_objects"] = dict(own_objects)
                (beside / "environment.json").write_text(json.dumps(environment, indent=2) + "\n")
                (beside / "missingness.json").write_text(json.dumps(missingness, indent=2) + "\n")
                save_file(dict(masks), beside / "masks.safetensors")
                _save_checkpoint(beside / "checkpoint.safetensors", checkpoint)
                (beside / "metrics.jsonl").touch()
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
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunInUseError(f"another process is running {self.path}; wait for it or stop it") from error
            yield

    @property
    def model_path(self) -> Path:
        """Where the final model is."""
        return self.path / "model"

    def client_model_path(self, client: int) -> Path:
        """Returns where the final model of a client is, if it differs from the shared one.

        Args:
            client: Which client.
        """
        return self.path / "clients" / str(client)

    def save_start(self, statistics: Weights) -> None:
        """Keeps what the start summed up, for the saved model.

        Args:
            statistics: As `fedprime.models.statistics.Statistics.weights` names them.
        """
        with replaced_file(self.path / _START) as beside:
            save_file(dict(statistics), beside)

    def start(self) -> Weights | None:
        """Returns what `save_start` wrote; None if it has not been called."""
        if not (self.path / _START).exists():
            return None
        try:
            return load_file(self.path / _START)
        except SafetensorError as error:
            raise _broken(self.path / _START, error) from error

    @property
    def is_finished(self) -> bool:
        """Whether the run has come to its end."""
        return (self.path / "results.json").exists()

    def masks(self) -> dict[str, Tensor]:
        """Returns who owned what and what was present of it when the run began."""
        path = self._readable("masks.safetensors")
        try:
            return load_file(path)
        except SafetensorError as error:
            raise _broken(path, error) from error

    def backbone_fingerprint(self) -> str:
        """Returns the fingerprint of the backbone that the run began with."""
        return self._environment("backbone_fingerprint", str)

    def own_objects(self) -> dict[str, str]:
        """Returns the fingerprints of objects that the run began with in the place of what its settings name."""
        return self._environment("own_objects", dict, {})  # runs of earlier versions do not tell

    def _environment(self, key: str, kind: type, default: Any = None) -> Any:
        path = self._readable("environment.json")
        try:
            found = json.loads(path.read_text(encoding="utf-8")).get(key, default)
        except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
            raise _broken(path, error) from error
        if not isinstance(found, kind):
            raise _broken(path, f"it says nothing of {key}")
        return found

    def load_checkpoint(self) -> Checkpoint:
        """Returns the state after the last finished round."""
        return self._load_state("checkpoint.safetensors")

    def load_best(self) -> Checkpoint | None:
        """Returns the state that `save_best` wrote; None if it has not been called."""
        return self._load_state(_BEST) if (self.path / _BEST).exists() else None

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Keeps a state beside that of the last round, in the place of the one that was kept before.

        Args:
            checkpoint: The state.
        """
        with replaced_file(self.path / _BEST) as beside:
            _save_checkpoint(beside, checkpoint)

    def _load_state(self, name: str) -> Checkpoint:
        path = self._readable(name)
        single: dict[str, Weights] = {part: {} for part in _SINGLE}  # earlier versions had no "server"
        owned: dict[str, dict[int, Weights]] = {part: {} for part in _OWNED}
        try:
            with safe_open(path, framework="pt") as file:
                next_round = int(file.metadata()["next_round"])
                for key in file.keys():  # noqa: SIM118 - not a dict
                    part, owner, name = key.split("/", 2)
                    holder = single[part] if part in single else owned[part].setdefault(int(owner), {})
                    holder[name] = file.get_tensor(key)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise _broken(path, error) from error
        state = ServerState(single["shared"], owned["personal"], single["server"])
        return Checkpoint(next_round, state, owned["kept"], owned["residual"])

    def save_round(self, metrics: Mapping[str, Any], checkpoint: Checkpoint) -> None:
        """Records a finished round.

        The line of metrics is written first: whatever moment the process dies at, there is at least one line for each
        round that the checkpoint knows, and `drop_unfinished` removes the rest.

        Args:
            metrics: What was measured in the round.
            checkpoint: The state after it.
        """
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with replaced_file(self.path / "checkpoint.safetensors") as beside:
            _save_checkpoint(beside, checkpoint)

    def metrics(self) -> list[dict[str, Any]]:
        """Returns what was measured in every round; a line that was cut off when the process died is left out."""
        path = self._readable("metrics.jsonl")
        try:
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            return [json.loads(line) for line in lines if line.endswith("\n")]
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise _broken(path, error) from error

    def drop_unfinished(self, checkpoint: Checkpoint, num_start_rounds: int = 0) -> None:
        """Drops lines of metrics of rounds that the checkpoint does not know, and files that were not finished.

        Args:
            checkpoint: The state that the run continues from.
            num_start_rounds: How many rounds come before the first.

        Raises:
            RunError: If rounds that the checkpoint knows have no line.
        """
        finished = [line for line in self.metrics() if line["round"] < checkpoint.next_round]
        if [line["round"] for line in finished] != list(range(-num_start_rounds, checkpoint.next_round)):
            error = f"it has no line for some of the {num_start_rounds + checkpoint.next_round} finished rounds"
            raise _broken(self.path / "metrics.jsonl", error)
        with replaced_file(self.path / "metrics.jsonl") as beside:
            beside.write_text("".join(json.dumps(line) + "\n" for line in finished), encoding="utf-8")
        for unfinished in [*self.path.rglob(".*.tmp"), *self.path.rglob(".*.old")]:
            if unfinished.is_dir():
                shutil.rmtree(unfinished)
            else:
                unfinished.unlink()

    def save_results(self, results: Mapping[str, Any]) -> None:
        """Writes the final table, which marks the run as finished.

        Args:
            results: The table.
        """
        with replaced_file(self.path / "results.json") as beside:
            beside.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")

    def results(self) -> dict[str, Any]:
        """Returns the final table.

        Raises:
            RunError: If the run is not finished.
        """
        if not self.is_finished:
            raise RunError(f"the run {self.path} is not finished; continue it with `fedprime run --resume {self.path}`")
        path = self._readable("results.json")
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise _broken(path, error) from error

    def _readable(self, name: str) -> Path:
        path = self.path / name
        if not path.is_file():
            remedy = "restore it from a copy or start the run anew"
            raise RunError(f"the run folder {self.path} is broken: {name} is not there; {remedy}")
        return path


def refuse_existing(path: Path) -> None:
    """Raises a `RunError` that says what to do if there is something where a new run folder shall be.

    Args:
        path: The folder to be.
    """
    if (path / "settings.toml").is_file():
        raise RunError(
            f"{path} exists already and is not overwritten; continue it with `fedprime run --resume {path}`, or name "
            "another folder with --output"
        )
    if path.exists():
        raise RunError(f"{path} exists already and is not overwritten; name another folder with --output")


def _broken(path: Path, error: object) -> RunError:
    return RunError(f"{path} is broken ({error}); restore it from a copy or start the run anew")


def _save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    tensors: dict[str, Tensor] = {}
    for part, weights in zip(_SINGLE, (checkpoint.state.shared, checkpoint.state.server), strict=True):
        tensors |= {f"{part}//{name}": value for name, value in weights.items()}
    for part, owners in zip(_OWNED, (checkpoint.state.personal, checkpoint.kept, checkpoint.residuals), strict=True):
        for owner, weights in owners.items():
            tensors |= {f"{part}/{owner}/{name}": value for name, value in weights.items()}
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    save_file(contiguous, path, metadata={"next_round": str(checkpoint.next_round)})


def _environment(backbone_fingerprint: str) -> dict[str, Any]:
    packages = ("fedprime", "torch", "transformers", "tokenizers", "numpy", "scipy", "safetensors")
    return {
        "versions": {"python": platform.python_version()} | {package: version(package) for package in packages},
        "commit": _commit(),
        "backbone_fingerprint": backbone_fingerprint,
        "machine": {
            "system": platform.platform(),
            "processor": processor_name(),
            "cores": os.cpu_count(),
        },
    }


def _commit() -> str | None:
    """Returns the commit of the checkout that fedprime runs from, or None when it is installed from a package."""
    checkout = Path(__file__).parents[3]
    if not (checkout / "pyproject.toml").is_file():
        return None  # whatever repository an installed package happens to lie in is not ours
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
