"""FEDMSPLIT-P: the server keeps a model for each client, mixed from those of all clients by attention.

Source: Chen, Zhang. FedMSplit: Correlation-Adaptive Federated Multi-Task Learning across Multimodal Split Networks. KDD
2022; as a baseline of FED-PRIME on prompts per missing pattern.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fedprime.methods.fedprox_p import FedProxP
from fedprime.methods.method import ServerState, Update, weighted_mean
from fedprime.models.prompted_model import Weights


@dataclass(frozen=True)
class FedMSplitP(FedProxP):
    """Prompts per missing pattern; each client gets its own mix and is held near it.

    A block is one trained parameter. A client's mix of a block is the mean over the clients' blocks, weighted by the
    softmax of the scaled dot products between them, so clients whose blocks point the same way learn from each other.
    Clients that did not take part keep the mix they had; new ones start from the mean.
    """

    name = "fedmsplit-p"
    answers_each = True

    def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:  # noqa: ARG002
        """Returns the mean for everybody, and for each client that took part its own mix."""
        mixes: dict[int, Weights] = {update.client: {} for update in updates}
        for name in updates[0].weights:
            blocks = torch.stack([update.weights[name] for update in updates])  # (client, *block)
            flat = blocks.flatten(1).double()
            attention = (flat @ flat.T / flat.shape[1] ** 0.5).softmax(dim=1)
            mixed = (attention @ flat).to(blocks.dtype).view_as(blocks)
            for update, mix in zip(updates, mixed, strict=True):
                mixes[update.client][name] = mix
        return ServerState({**current.shared, **weighted_mean(updates)}, {**current.personal, **mixes})
