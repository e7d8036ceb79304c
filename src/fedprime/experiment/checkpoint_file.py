"""The state of a run between two rounds, and the file that holds it: the same bytes for the same state."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from fedprime.methods.method import ServerState
from fedprime.models.prompted_model import Weights
from fedprime.reproducibility.errors import FedprimeError
from fedprime.reproducibility.tensor_files import save_tensors

#: Parts of a checkpoint: those of everybody, and those that belong to one client each.
_SINGLE = ("shared", "server")
_OWNED = ("personal", "kept", "residual")
_ROUND = "next_round"


class BrokenCheckpointError(FedprimeError):
    """A file that is no checkpoint, or not the one that was written."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run between two rounds.

    Attributes:
        next_round: The round that comes next, from 0; those of the start come before, and are less.
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
        """Returns a client's model."""
        return {**self.state.answer(client), **self.kept.get(client, {})}


def save_checkpoint(path: Path, checkpoint: Checkpoint, facts: Mapping[str, str] = {}) -> None:
    """Writes a checkpoint."""
    tensors = {name: value.contiguous() for name, value in named_values(checkpoint)}
    save_tensors(tensors, path, {**facts, _ROUND: str(checkpoint.next_round)})


def load_checkpoint(path: Path) -> tuple[Checkpoint, dict[str, str]]:
    """Returns what a file holds, and what else it says.

    Raises:
        BrokenCheckpointError: If it is no checkpoint.
        OSError: If it is not there, or may not be read.
    """
    with path.open("rb"):
        pass  # safetensors says of a file that may not be read that it is not there
    single: dict[str, Weights] = {part: {} for part in _SINGLE}  # earlier versions had no "server"
    owned: dict[str, dict[int, Weights]] = {part: {} for part in _OWNED}
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = dict(file.metadata())
            next_round = int(metadata.pop(_ROUND))
            for key in file.keys():  # noqa: SIM118 - not a dict
                part, owner, name = key.split("/", 2)
                holder = single[part] if part in single else owned[part].setdefault(int(owner), {})
                holder[name] = file.get_tensor(key)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        raise BrokenCheckpointError(str(error)) from error
    state = ServerState(single["shared"], owned["personal"], single["server"])
    return Checkpoint(next_round, state, owned["kept"], owned["residual"]), metadata


def round_of(path: Path) -> int:
    """Returns the round that comes next, without reading values.

    Raises:
        BrokenCheckpointError: If it is no checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return int(file.metadata()[_ROUND])
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise BrokenCheckpointError(str(error)) from error


def named_values(checkpoint: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """Yields all tensors of a checkpoint, called as in its file."""
    for part, weights in zip(_SINGLE, (checkpoint.state.shared, checkpoint.state.server), strict=True):
        yield from ((f"{part}//{name}", value) for name, value in weights.items())
    for part, owners in zip(_OWNED, (checkpoint.state.personal, checkpoint.kept, checkpoint.residuals), strict=True):
        for owner, weights in owners.items():
            yield from ((f"{part}/{owner}/{name}", value) for name, value in weights.items())
