"""A method of one's own with a setting and values that it keeps at the server: half of every move, and a memory.

    python examples/own_method.py

An installed package registers such a class under the entry point group "fedprime.methods"; see CONTRIBUTING.md.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import fedprime
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.reproducibility.ranges import Share


@dataclass(frozen=True)
class Cautious(FedAvgP):
    """FEDAVG-P whose server moves to the mean of this round's average and the last one's.

    Attributes:
        memory: How much of the last average counts.
    """

    name = "cautious-p"
    memory: Share = 0.3

    def aggregate(
        self, current: fedprime.ServerState, updates: Sequence[fedprime.Update], rng: torch.Generator
    ) -> fedprime.ServerState:
        """Returns the mix; what is kept in `server` is in the checkpoint and is never sent."""
        average = self.average(updates)
        last = current.server or average
        mixed = {name: value.lerp(last[name], self.memory) for name, value in average.items()}
        return fedprime.ServerState({**current.shared, **mixed}, server=average)


def main() -> None:
    """Trains by it for three rounds and prints its accuracy."""
    flags = ["--data.num_train=200", "--data.num_validation=40", "--data.num_test=100"]
    flags += ["--partition.num_clients=4", "--training.rounds=3", "--evaluation.every=3"]
    settings = fedprime.read_settings("builtin/quickstart", flags)
    with tempfile.TemporaryDirectory() as folder:
        results = fedprime.start_run(settings, Path(folder) / "run", method=Cautious(num_prompts=4, memory=0.2))
    print(results["method"], {name: round(scores["accuracy"], 3) for name, scores in results["scenarios"].items()})


if __name__ == "__main__":
    main()
