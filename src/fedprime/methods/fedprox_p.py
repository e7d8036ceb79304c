"""FEDPROX-P: FEDAVG-P whose clients are held near what they received.

Source: Li et al. Federated Optimization in Heterogeneous Networks. MLSys 2020. Differs from the reference of FED-PRIME,
whose FedProx baseline is FED-PRIME itself with a proximal term of weight 0.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedprime.data.batches import Batch
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.reproducibility.ranges import NotNegative


@dataclass(frozen=True)
class FedProxP(FedAvgP):
    """Prompts per missing pattern, averaged, with a proximal term in the local objective.

    Attributes:
        proximal_weight: Weight of the squared distance between a client's values and those it received (mu).
    """

    name = "fedprox-p"

    proximal_weight: NotNegative = 0.01

    def loss(self, model: PromptedModel, batch: Batch, received: Weights) -> Float[Tensor, ""]:
        """Returns the task loss plus ``mu / 2`` times the squared distance of what is trained to what was received."""
        return super().loss(model, batch, received) + self.proximal_weight / 2 * model.squared_distance(received)
