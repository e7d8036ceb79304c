"""LOCAL-P: every client for itself; what federation is worth is measured against it."""

from dataclasses import dataclass

from fedprime.methods.fedavg_p import FedAvgP


@dataclass(frozen=True)
class LocalP(FedAvgP):
    """Prompts per missing pattern, trained at each client alone; nothing is sent."""

    name = "local-p"

    def travels(self, name: str) -> bool:  # noqa: ARG002
        """Says no."""
        return False
