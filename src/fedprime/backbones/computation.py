"""How a frozen model computes, and training around it: where, with which numbers, and what it holds in memory."""

from dataclasses import dataclass

import torch

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.precision import Precision

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Computation:
    """What changes no result but for rounding.

    Attributes:
        precision: What the frozen transformer computes with. Embeddings are float32 always.
        activation_checkpointing: Whether its layers are computed again for gradients instead of being kept: less
            memory, more time, the same gradients to the bit.
    """

    precision: Precision = "float32"
    device: torch.device = CPU
    activation_checkpointing: bool = False


#: On the processor, in float32.
PLAIN = Computation()


def choose_device(name: str) -> torch.device:
    """Returns the device of a name.

    Args:
        name: ``"cpu"``, ``"cuda"`` or a GPU by its number such as ``"cuda:1"``; ``"auto"`` is the first GPU if there is
            one.

    Raises:
        BackboneError: If there is no such device here.
    """
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda", 0) if num_gpus else CPU
    possible = {"cpu": CPU}
    possible |= {"cuda": torch.device("cuda", 0)} if num_gpus else {}
    possible |= {f"cuda:{number}": torch.device("cuda", number) for number in range(num_gpus)}
    if name not in possible:
        raise BackboneError(
            f"device is {name!r}; this machine, with its torch {torch.__version__}, has auto, {', '.join(possible)}"
        )
    return possible[name]
