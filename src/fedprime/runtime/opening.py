"""From the setting of where clients live to the clients."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from secrets import token_hex
from typing import Protocol, runtime_checkable

from fedprime.config import Settings, SettingsError
from fedprime.data.batches import Shard
from fedprime.experiment import Experiment
from fedprime.federation import Clients
from fedprime.model import Weights
from fedprime.runtime.hostile import HostileClients, LabelFlippedShard, draw_hostile
from fedprime.runtime.in_process import InProcessClients
from fedprime.runtime.shared_parameters import SharedParameterClients

__all__ = ["KeepingClients", "OpenClients", "flower_is_missing", "open_clients", "with_attack"]


@runtime_checkable
class KeepingClients(Clients, Protocol):
    """Clients of which the process that runs the rounds knows everything.

    Attributes:
        kept: By client, its trained values that do not travel; part of a run's state.
    """

    kept: dict[int, Weights]


#: What brings the clients of an experiment to life, and ends them after the block.
OpenClients = Callable[[Experiment], AbstractContextManager[KeepingClients]]


@contextmanager
def open_clients(experiment: Experiment) -> Iterator[KeepingClients]:
    """Brings the clients of an experiment to life where the settings say.

    Args:
        experiment: What they work on.

    Raises:
        SettingsError: If they cannot live there.
    """
    settings, method = experiment.settings, experiment.method
    if settings.runtime.kind == "deployment":
        raise SettingsError(["runtime.kind is deployment: start it with `fedprime deploy server`"])
    if settings.runtime.kind == "simulation":
        if method.shares_parameters:
            raise SettingsError(
                ["shared_parameters: clients train one after the other; set runtime.kind to in-process"]
            )
        try:
            from fedprime.runtime.flower.grid_clients import GridClients
            from fedprime.runtime.flower.simulation import simulated_grid
        except ImportError as error:
            raise flower_is_missing("simulation", error) from error
        with simulated_grid(len(experiment.holders), settings.runtime.processes) as (grid, check):
            yield GridClients(grid, method, settings, len(experiment.holders), run_id=token_hex(16), check=check)
        return
    runtime = SharedParameterClients if method.shares_parameters else InProcessClients
    training = settings.training
    yield runtime(
        method,
        experiment.model,
        _attacked_holders(experiment),
        training,
        num_rounds=training.rounds,
        seed=settings.seed,
    )


def with_attack(clients: Clients, settings: Settings) -> Clients:
    """Returns the clients, some of them hostile if the settings say so.

    Args:
        clients: Who trains honestly.
        settings: The settings.
    """
    attack = settings.attack
    if attack.kind == "none":
        return clients
    return HostileClients(clients, _hostile(settings), attack.kind, attack.strength, seed=settings.seed)


def _attacked_holders(experiment: Experiment) -> tuple[Shard, ...]:
    """Returns the training samples of everybody who trains, with wrong labels where an attack flips them."""
    if experiment.settings.attack.kind != "label-flip":
        return experiment.holders
    hostile = _hostile(experiment.settings)
    return tuple(
        LabelFlippedShard.of(shard) if client in hostile else shard for client, shard in enumerate(experiment.holders)
    )


def _hostile(settings: Settings) -> tuple[int, ...]:
    return draw_hostile(settings.partition.num_clients, settings.attack.share, settings.seed)


def flower_is_missing(extra: str, error: ImportError) -> SettingsError:
    """Returns the error that says how to install what is missing.

    Args:
        extra: The extra of fedprime that has it.
        error: What was found missing.
    """
    return SettingsError([f'this needs Flower ({error}); install it: pip install "fedprime[{extra}]"'])
