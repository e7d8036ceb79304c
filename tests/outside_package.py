"""A small package that is not fedprime's own: a method, a data set and a backbone, as an installer leaves it."""

import textwrap
from pathlib import Path

_METHOD = '''
from dataclasses import dataclass, replace

import torch

from fedprime.methods.fedavg_p import FedAvgP
from fedprime.reproducibility.ranges import Share


@dataclass(frozen=True)
class Damped(FedAvgP):
    """FEDAVG-P whose server turns only slowly from the way that it went in the round before.

    Attributes:
        damping: What part of a step is that of the round before.
    """

    name = "damped-p"

    damping: Share = 0.5

    def aggregate(self, current, updates, rng):
        shared, server = dict(current.shared), {}
        for name, mean in self.average(updates).items():
            before = current.server.get(f"step.{name}", torch.zeros_like(mean))
            server[f"step.{name}"] = self.damping * before + (1 - self.damping) * (mean - shared[name])
            shared[name] = shared[name] + server[f"step.{name}"]
        return replace(current, shared=shared, server=server)
'''

_DATA = '''
import numpy as np


class Colours:
    """Pictures of one colour and the colour's name."""

    modalities = ("image", "text")
    task = "one_class"
    label_names = ("red", "green", "blue")

    def __init__(self, samples: int = 90, shades: tuple[int, ...] = (200, 250)) -> None:
        """Mixes the colours.

        Args:
            samples: How many there are, in all.
            shades: How bright they are.
        """
        self.labels = np.arange(samples) % 3
        self.sites = np.arange(samples) % 2
        self.there = np.ones((samples, 2), dtype=bool)
        self.splits = {"train": np.arange(60), "validation": np.arange(60, 72), "test": np.arange(72, samples)}
        self.shades = shades

    def __len__(self):
        return len(self.labels)

    def read(self, index, modalities):
        label = int(self.labels[index])
        colour = [0, 0, 0]
        colour[label] = self.shades[index % len(self.shades)]
        values = {"image": np.full((64, 64, 3), colour, dtype=np.uint8), "text": self.label_names[label]}
        return {name: values[name] for name in modalities}
'''

_BACKBONE = '''
from fedprime.backbones import load_backbone


def renamed(reference, modalities, computation):
    """Returns a backbone that comes along, under the name "renamed:" and its own."""
    backbone = load_backbone(reference.partition(":")[2], modalities, device=str(computation.device))
    backbone.reference = reference
    return backbone
'''

_ENTRY_POINTS = """
[fedprime.methods]
damped-p = outside.method:Damped

[fedprime.data]
colours = outside.data:Colours

[fedprime.backbones]
renamed = outside.backbone:renamed
"""


def install(site_packages: Path) -> Path:
    """Puts the package where Python finds it, and returns that folder.

    Args:
        site_packages: The folder, which is made.
    """
    package, information = site_packages / "outside", site_packages / "outside-1.5.dist-info"
    package.mkdir(parents=True)
    information.mkdir()
    for name, content in {
        "__init__": '"""Of others."""',
        "method": _METHOD,
        "data": _DATA,
        "backbone": _BACKBONE,
    }.items():
        (package / f"{name}.py").write_text(content)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.5\n")
    (information / "entry_points.txt").write_text(textwrap.dedent(_ENTRY_POINTS))
    return site_packages
