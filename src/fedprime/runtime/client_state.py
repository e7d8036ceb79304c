"""What a client of a deployment keeps on its disk: values that do not travel, round by round.

A server that was killed may repeat a round, so the values from before a round stay until later rounds have made them
superfluous.
"""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fedprime.models.prompted_model import Weights
from fedprime.reproducibility.atomic_files import replaced_file
from fedprime.reproducibility.errors import FedprimeError

#: Rounds that can be repeated.
_DEPTH = 10


class KeptWeightsError(FedprimeError):
    """A file of kept values that cannot be read."""


class KeptWeights:
    """The kept values of one client in one run."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder; nothing is read or written yet."""
        self._folder = folder

    def before(self, round_number: int) -> Weights:
        """Returns the values from the latest earlier round that the client trained in; none, if there is none.

        Raises:
            KeptWeightsError: If they cannot be read.
        """
        earlier = [number for number in self._rounds() if number < round_number]
        if not earlier:
            return {}
        path = self._path(max(earlier))
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise KeptWeightsError(f"{path} is broken ({error}); restore it from a copy, or remove it") from error

    def save(self, round_number: int, weights: Weights) -> None:
        """Writes the values after a round, whole or not at all."""
        with replaced_file(self._path(round_number)) as beside:
            save_file({name: value.contiguous() for name, value in weights.items()}, beside)
        for number in sorted(self._rounds())[:-_DEPTH]:
            self._path(number).unlink(missing_ok=True)

    def _rounds(self) -> list[int]:
        return [int(path.stem) for path in self._folder.glob("*.safetensors") if path.stem.isdecimal()]

    def _path(self, round_number: int) -> Path:
        return self._folder / f"{round_number}.safetensors"
