"""From the setting of where clients live to the clients."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from secrets import token_hex

from fedprime.experiment.build import Experiment
from fedprime.federation.clients import KeepingClients
from fedprime.runtime.local_clients import local_clients
from fedprime.settings.problems import SettingsError, needing_flower
from fedprime.settings.settings import Settings

#: The file beside a deployment's job in which its server says who is not used, and why.
REFUSALS = "refused.log"
#: What brings the clients of an experiment to life, and ends them after the block.
OpenClients = Callable[[Experiment], AbstractContextManager[KeepingClients]]


@contextmanager
def open_clients(experiment: Experiment) -> Iterator[KeepingClients]:
    """Brings the clients of an experiment to life where the settings say.

    Raises:
        SettingsError: If they cannot live there.
    """
    settings, method = experiment.settings, experiment.method
    refuse_sites(settings)
    if settings.runtime.kind == "simulation":
        if method.shares_parameters:
            raise SettingsError("shared_parameters: clients train one after the other; set runtime.kind to in-process")
        with needing_flower("simulation"):
            from fedprime.runtime.flower.grid_clients import GridClients
            from fedprime.runtime.flower.simulation import simulated_grid
        with simulated_grid(len(experiment.holders), settings.runtime.processes) as (grid, check):
            yield GridClients(grid, method, settings, len(experiment.holders), run_id=token_hex(16), check=check)
        return
    yield local_clients(experiment, dict(enumerate(experiment.holders)), settings)


def refuse_sites(settings: Settings) -> None:
    """Raises a `SettingsError` that says what to do if clients live at sites, which this process does not reach."""
    if settings.runtime.kind == "deployment":
        raise SettingsError("runtime.kind is deployment: start it with `fedprime deploy server`")
