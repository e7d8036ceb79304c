"""How values travel: as they are, or as whole numbers of 16 or 8 bits with one scale for each row.

Downwards the server sends its values, rounded. Upwards a client sends what it changed since it received them, together
with what rounding held back of its last message, which is therefore late but never lost. The server adds the change to
its own values, which are not rounded: what rounding held back downwards is with the server all the time, and arrives as
soon as it has grown to a step.

Source: Seide et al. 1-Bit Stochastic Gradient Descent and its Application to Data-Parallel Distributed Training of
Speech DNNs. Interspeech 2014; Karimireddy et al. Error Feedback Fixes SignSGD and other Gradient Compression Schemes.
ICML 2019.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fedprime.models.prompted_model import Weights

__all__ = ["EXACT", "UNKNOWN_PART", "Transport", "bytes_by_part", "form_problems", "part_of"]

#: The part that what nobody asked for belongs to.
UNKNOWN_PART = "unknown"

_SCALE = ".scale"
_TYPES = {16: torch.int16, 8: torch.int8}


@dataclass(frozen=True)
class Transport:
    """What both ends agree on.

    Attributes:
        bits: Of a value on its way; with 32 it travels as it is.
    """

    bits: Literal[32, 16, 8] = 32

    def pack(self, weights: Mapping[str, Tensor]) -> Weights:
        """Returns values as they are sent: whole numbers, and under the same name with ".scale" a step for each row.

        Args:
            weights: Values by name. Where a row is not finite, its step is not either.

        >>> packed = Transport(8).pack({"head": torch.tensor([[1.0, -0.5], [0.0, 0.0]])})
        >>> packed["head"].tolist(), (packed["head.scale"] * 127).tolist()
        ([[127, -64], [0, 0]], [[1.0], [0.0]])
        """
        if self.bits == 32:
            return dict(weights)
        packed: Weights = {}
        for name, value in weights.items():
            largest = 2 ** (self.bits - 1) - 1
            step = value.abs().amax(-1, keepdim=True).float() / largest
            # A row of zeros has a step of zero; one that is not finite is told by its step.
            numbers = (value / step).nan_to_num(0, 0, 0).round().clamp(-largest, largest)
            packed[name], packed[name + _SCALE] = numbers.to(_TYPES[self.bits]), step
        return packed

    def unpack(self, packed: Mapping[str, Tensor]) -> Weights:
        """Returns the values that were sent, as exactly as they travelled.

        Args:
            packed: What `pack` returned.
        """
        if self.bits == 32:
            return dict(packed)
        return {name: packed[name].float() * packed[name + _SCALE] for name in packed if not name.endswith(_SCALE)}

    def pack_change(
        self, trained: Mapping[str, Tensor], received: Mapping[str, Tensor], residual: Mapping[str, Tensor]
    ) -> tuple[Weights, Weights]:
        """Returns what a client sends, and what rounding held back of it.

        Args:
            trained: The client's values.
            received: The values that it got, as exactly as they travelled.
            residual: What was held back of its last message. A pool that has another size by now gets nothing of it.
        """
        if self.bits == 32:
            return dict(trained), {}
        change = {name: value - received[name] for name, value in trained.items()}
        for name in change.keys() & residual.keys():
            if residual[name].shape == change[name].shape:
                change[name] = change[name] + residual[name]
        packed = self.pack(change)
        sent = self.unpack(packed)
        return packed, {name: value - sent[name] for name, value in change.items()}

    def unpack_change(self, packed: Mapping[str, Tensor], answer: Mapping[str, Tensor]) -> Weights:
        """Returns a client's values as the server sees them.

        Args:
            packed: What the client sent.
            answer: What the server sent to it, before it was rounded.
        """
        if self.bits == 32:
            return dict(packed)
        return {name: (answer[name] + change).to(answer[name].dtype) for name, change in self.unpack(packed).items()}

    def form(self, weights: Mapping[str, Tensor]) -> Weights:
        """Returns tensors with the names, shapes and types that values have on their way, but no content.

        Args:
            weights: Values by name.
        """
        form: Weights = {}
        for name, value in weights.items():
            form[name] = torch.empty(value.shape, dtype=_TYPES.get(self.bits, value.dtype), device="meta")
            if self.bits != 32:
                form[name + _SCALE] = torch.empty((*value.shape[:-1], 1), dtype=torch.float32, device="meta")
        return form


#: Values travel as they are.
EXACT = Transport()


def form_problems(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Says what is wrong with values that came in: names, shapes, types, what is not finite; nothing if they are valid.

    Args:
        found: Values by name, as they travelled.
        expected: Tensors of the right names, shapes and types, as of `Transport.form`; their content does not matter.

    >>> form_problems({"a": torch.zeros(2), "b": torch.zeros(1)}, Transport().form({"a": torch.zeros(3)}))
    ['b is unknown', 'a is (2,) torch.float32, expected (3,) torch.float32']
    """
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} is unknown" for name in found if name not in expected]
    for name in sorted(expected.keys() & found.keys()):
        value, wanted = found[name], expected[name]
        if not (isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"):
            problems.append(f"{name} is no dense tensor in main memory")
        elif value.shape != wanted.shape or value.dtype != wanted.dtype:
            have = f"{tuple(value.shape)} {value.dtype}"
            problems.append(f"{name} is {have}, expected {tuple(wanted.shape)} {wanted.dtype}")
        elif not torch.isfinite(value).all():
            problems.append(f"{name} is not finite")
    return problems


def part_of(name: str) -> str:
    """Returns the part of the model that a travelling value belongs to.

    Args:
        name: Of the parameter, or of its scale.

    >>> [part_of(name) for name in ("prompter.pools.inter", "prompter.query.scale", "head.2.weight", "pooler.bias")]
    ['pools.inter', 'query', 'head', 'pooler']
    """
    name = name.removesuffix(_SCALE)
    return name.removeprefix("prompter.") if name.startswith("prompter.") else name.partition(".")[0]


def bytes_by_part(weights: Mapping[str, Tensor], expected: Collection[str] | None = None) -> Counter[str]:
    """Returns how many bytes values take, by the part of the model that they belong to.

    Args:
        weights: Values by name, as they travel.
        expected: The names that belong there, all if None; the others are counted together.
    """
    parts: Counter[str] = Counter()
    for name, value in weights.items():
        part = part_of(name) if expected is None or name in expected else UNKNOWN_PART
        parts[part] += value.numel() * value.element_size()
    return parts
