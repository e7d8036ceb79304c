"""A backbone of one's own: another one, seen through glasses that let half of the image tokens through.

    python examples/own_backbone.py

An installed package registers what loads one under the entry point group "fedprime.backbones"; see CONTRIBUTING.md.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

import fedprime
from fedprime.backbones.backbone import Embedded


class Glasses:
    """Everything but `embed` is that of the backbone inside; its fingerprint tells the two apart."""

    def __init__(self, inside: fedprime.Backbone) -> None:
        """Takes the backbone."""
        self.inside = inside
        self.modalities, self.kinds, self.versions = inside.modalities, inside.kinds, inside.versions
        self.dim, self.feature_dim, self.device = inside.dim, inside.feature_dim, inside.device
        self.reference, self.options = "glasses", inside.options
        self.fingerprint = f"glasses over {inside.fingerprint}"

    def embed(self, modality: str, values: Sequence[object]) -> list[torch.Tensor]:
        """Returns the tokens of each value: of an image, every second one."""
        tokens = self.inside.embed(modality, values)
        return [rows[::2] for rows in tokens] if modality == "image" else tokens

    def assemble(self, embedded: Embedded) -> fedprime.Tokens:
        """Joins the tokens of a batch."""
        return self.inside.assemble(embedded)

    def encode(self, tokens: fedprime.Tokens) -> torch.Tensor:
        """Returns the feature of each sample."""
        return self.inside.encode(tokens)


def main() -> None:
    """Trains around it and around the one inside, and prints the accuracy of both."""
    flags = ["--data.num_train=200", "--data.num_validation=40", "--data.num_test=100"]
    flags += ["--partition.num_clients=4", "--training.rounds=3", "--evaluation.every=3"]
    settings = fedprime.read_settings("builtin/quickstart", flags)
    tiny = fedprime.load_backbone("tiny")
    with tempfile.TemporaryDirectory() as folder:
        for title, backbone in (("without", tiny), ("with", Glasses(tiny))):
            results = fedprime.start_run(settings, Path(folder) / title, backbone=backbone)
            print(f"{title} glasses: {results['scenarios']['full']['accuracy']:.3f}")


if __name__ == "__main__":
    main()
