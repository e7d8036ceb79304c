"""A data set of one's own: pictures of one colour and its name, some of them lost.

    python examples/own_data_set.py

An installed package registers such a class under the entry point group "fedprime.data"; see CONTRIBUTING.md.
"""

import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

import fedprime


class Colours:
    """Two modalities, three classes, two sites; `read` touches only what it is asked for."""

    modalities: tuple[str, ...] = ("image", "text")
    task: Literal["one_class", "several_labels"] = "one_class"
    label_names: tuple[str, ...] = ("red", "green", "blue")

    def __init__(self, num_samples: int = 150) -> None:
        """Mixes the colours; every fifth sample really lacks its picture."""
        self.labels = np.arange(num_samples) % 3
        self.sites = np.arange(num_samples) % 2
        self.there = np.ones((num_samples, 2), dtype=bool)
        self.there[::5, 0] = False
        train, validation, test = np.split(np.arange(num_samples), [90, 110])
        self.splits: Mapping[str, np.ndarray] = {"train": train, "validation": validation, "test": test}

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int, modalities: Collection[str]) -> dict[str, object]:
        """Returns raw values by modality."""
        label = int(self.labels[index])
        picture = np.zeros((64, 64, 3), dtype=np.uint8)
        picture[..., label] = 200 + index % 50
        values: dict[str, object] = {"image": picture, "text": self.label_names[label]}
        return {name: values[name] for name in modalities if self.there[index, self.modalities.index(name)]}


def main() -> None:
    """Trains on it for four rounds and prints the accuracy of each test scenario."""
    flags = ["--partition.kind=site", "--partition.num_clients=2", "--training.rounds=4", "--training.batch_size=16"]
    settings = fedprime.read_settings("builtin/quickstart", flags)
    with tempfile.TemporaryDirectory() as folder:
        results = fedprime.start_run(settings, Path(folder) / "run", source=Colours())
    print({name: round(scores["accuracy"], 3) for name, scores in results["scenarios"].items()})


if __name__ == "__main__":
    main()
