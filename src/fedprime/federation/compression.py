"""Compression with error feedback: values travel as whole numbers of 16 or 8 bits with one scale for each row.

Downwards the server sends its values, rounded. Upwards a client sends what it changed since it received them, together
with what rounding held back of its last message, which is therefore late but never lost. The server adds the change to
its own values, which are not rounded: what rounding held back downwards is with the server all the time, and arrives as
soon as it has grown to a step.

Source: Seide et al. 1-Bit Stochastic Gradient Descent and its Application to Data-Parallel Distributed Training of
Speech DNNs. Interspeech 2014; Karimireddy et al. Error Feedback Fixes SignSGD and other Gradient Compression Schemes.
ICML 2019.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from fedprime.federation.processors import ServerRound, UpdateProcessor
from fedprime.methods.method import Update
from fedprime.models.prompted_model import Weights

#: Ends the name of the steps, one for each row, that belong to the values of the same name without it.
SCALE = ".scale"

_TYPES = {16: torch.int16, 8: torch.int8}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compression(UpdateProcessor):
    """What both ends agree on, and what clients have to remember.

    Attributes:
        bits: Of a value on its way.
        residuals: By client, what rounding held back of its last message; part of a run's state.
    """

    bits: Literal[16, 8]
    residuals: dict[int, Weights] = field(default_factory=dict, repr=False, compare=False)

    def sent(self, weights: Mapping[str, Tensor]) -> Weights:
        """Returns values as they travel: whole numbers, and under the same name with ".scale" a step for each row.

        Args:
            weights: Values by name. Where a row is not finite, its step is not either.

        >>> packed = Compression(8).sent({"head": torch.tensor([[1.0, -0.5], [0.0, 0.0]])})
        >>> packed["head"].tolist(), (packed["head.scale"] * 127).tolist()
        ([[127, -64], [0, 0]], [[1.0], [0.0]])
        """
        packed: Weights = {}
        for name, value in weights.items():
            largest = 2 ** (self.bits - 1) - 1
            step = value.abs().amax(-1, keepdim=True).float() / largest
            # A row of zeros has a step of zero; one that is not finite is told by its step.
            numbers = (value / step).nan_to_num(0, 0, 0).round().clamp(-largest, largest)
            packed[name], packed[name + SCALE] = numbers.to(_TYPES[self.bits]), step
        return packed

    def arrived(self, weights: Mapping[str, Tensor]) -> Weights:
        """Returns the values that were sent, as exactly as they travelled."""
        return {name: weights[name].float() * weights[name + SCALE] for name in weights if not name.endswith(SCALE)}

    def at_client(self, update: Update, received: Weights, round_number: int) -> Update:
        """Returns what a client changed, as it travels, and remembers what rounding held back of it."""
        change = {name: value - received[name] for name, value in update.weights.items()}
        for name, late in self.residuals.get(update.client, {}).items():
            if name in change and late.shape == change[name].shape:  # a pool of another size by now gets nothing of it
                change[name] = change[name] + late
        packed = self.sent(change)
        arriving = self.arrived(packed)
        held_back = {name: value - arriving[name] for name, value in change.items()}
        # The server leaves out a client that diverged; the next round starts as if it had not trained.
        if held_back and all(value.isfinite().all() for value in held_back.values()):
            self.residuals[update.client] = held_back
        _logger.debug("round %d: client %d sends a change in %d bits", round_number, update.client, self.bits)
        return replace(update, weights=packed)

    def at_server(self, update: Update, asked: ServerRound) -> Update:
        """Returns a client's values: what the server sent, before it was rounded, and what the client changed."""
        answer = asked.answer(update.client)
        changes = self.arrived(update.weights)
        weights = {name: (answer[name] + change).to(answer[name].dtype) for name, change in changes.items()}
        return replace(update, weights=weights)
