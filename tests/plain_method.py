"""A method that is nothing but FedAvg, without a model."""

from dataclasses import dataclass

from fedprime.methods.method import Method


@dataclass(frozen=True)
class Mean(Method):
    """Plain FedAvg of whatever is there; values named "own..." do not travel."""

    name = "mean"

    def travels(self, name: str) -> bool:
        return not name.startswith("own")
