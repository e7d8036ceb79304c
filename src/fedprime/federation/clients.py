"""The clients of a run, wherever they live, and which of them take part in a round."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from fedprime.methods.method import ServerState, Update
from fedprime.models.prompted_model import Weights
from fedprime.reproducibility.seeding import stream


@runtime_checkable
class Clients(Protocol):
    """The clients of a run, wherever they live; a runtime is an implementation of this."""

    def __len__(self) -> int:
        """Returns how many clients there are; they are numbered from 0."""
        ...

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        """Lets clients train from what the server answers each; a client that fails is simply absent.

        Args:
            state: What the server sends; what it keeps for itself is not there.

        Returns:
            The updates as they travel, with only what travels, in any order.
        """
        ...


@runtime_checkable
class KeepingClients(Clients, Protocol):
    """Clients of which the process that runs the rounds knows everything.

    Attributes:
        kept: By client, its values that do not travel; part of a run's state.
        residuals: By client, what rounding held back of its last message; part of a run's state.
    """

    kept: dict[int, Weights]
    residuals: dict[int, Weights]


@runtime_checkable
class ExplainingClients(Clients, Protocol):
    """Clients of which it is known why one of them has not answered.

    Attributes:
        failures: By client whose last answer could not be used, why.
    """

    failures: dict[int, str]


def num_taking_part(num_clients: int, fraction: float) -> int:
    """Returns how many clients take part in a round: at least one."""
    return max(1, round(fraction * num_clients))


def choose_clients(num_clients: int, fraction: float, seed: int, round_number: int) -> tuple[int, ...]:
    """Returns who takes part in a round, in ascending order.

    >>> choose_clients(4, 1.0, seed=0, round_number=0)
    (0, 1, 2, 3)
    """
    num_chosen = num_taking_part(num_clients, fraction)
    chosen = stream(seed, "round", round_number, "clients").permutation(num_clients)[:num_chosen]
    return tuple(sorted(int(client) for client in chosen))
