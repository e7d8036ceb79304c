"""CLOSED-FORM: a head from sums over all clients' samples, in one round and without a gradient; the baseline of all.

Source: Fisher's linear discriminant for each block of a sample, from sums as in He et al. AFL: Single-Round Analytic
Approach for Federated Learning with Pre-trained Models. CVPR 2025; see docs/learning.md.
"""

from dataclasses import dataclass

from fedprime.methods.head_only import HeadOnly
from fedprime.methods.method import Start
from fedprime.models.readout import Readout


@dataclass(frozen=True)
class ClosedForm(HeadOnly):
    """The frozen backbone's own blocks under a head in closed form; there is no training."""

    name = "closed-form"
    trains = False

    readout: Readout = "blocks"
    start: Start = "closed-form"
