"""What Flower runs at the server: our rounds, in a simulation that its own command starts, or in a deployment.

A deployment is described by a file, whose name comes in the environment: what the server is told about its folders does
not travel to the sites with the app.
"""

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

from fedprime.experiment.build import Experiment
from fedprime.experiment.run_folder import RunError
from fedprime.experiment.site import deployable_method
from fedprime.reproducibility.atomic_files import write_whole
from fedprime.reproducibility.errors import FedprimeError
from fedprime.runs.run import complete_run
from fedprime.runs.site_run import complete_site_run
from fedprime.runtime.clients import REFUSALS
from fedprime.runtime.flower.exchange import Grid
from fedprime.runtime.flower.grid_clients import GridClients
from fedprime.runtime.flower.processes import JOB_VARIABLE
from fedprime.runtime.flower.server_app import make_server_app
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import read_saved_settings, read_settings


def _main(grid: Grid, config: Mapping[str, Any]) -> None:
    job = os.environ.get(JOB_VARIABLE)
    if job:
        run_job(grid, Path(job))
    else:
        _simulate(grid, config)


def run_job(grid: Grid, job: Path) -> None:
    """Runs what a file describes, and writes beside it what came of it: ``outcome.json`` with an error, or none.

    Args:
        job: A JSON file with the names of the settings' file and of the run folder, and the run's own name.
    """
    facts = json.loads(job.read_text(encoding="utf-8"))
    error = None
    try:
        settings = read_saved_settings(Path(facts["settings"]))
        method = deployable_method(settings)
        clients = GridClients(
            grid,
            method,
            settings,
            settings.partition.num_clients,
            run_id=facts["run"],
            tell=partial(_note, job.with_name(REFUSALS)),
        )
        complete_site_run(settings, Path(facts["folder"]), clients)
    except Exception as failure:
        error = f"{failure}" if isinstance(failure, FedprimeError | OSError) else repr(failure)
        raise
    finally:
        write_whole(job.with_name("outcome.json"), json.dumps({"attempt": facts["attempt"], "error": error}))


def _note(path: Path, said: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{said}\n")


def _simulate(grid: Grid, config: Mapping[str, Any]) -> None:
    flags = ["--runtime.kind=simulation", *shlex.split(str(config["flags"]))]
    settings = read_settings(str(config["recipe"]), flags)

    @contextmanager
    def on_grid(experiment: Experiment) -> Iterator[GridClients]:
        num_nodes, num_clients = len(list(grid.get_node_ids())), len(experiment.holders)
        if num_nodes < num_clients:
            raise SettingsError(
                f"the recipe has {num_clients} clients, the simulation {num_nodes}: "
                f'give it --federation-config "num-supernodes={num_clients}"'
            )
        yield GridClients(grid, experiment.method, experiment.settings, num_clients, run_id=token_hex(16))

    output = Path(str(config["output"])).expanduser()
    if not output.is_absolute():
        raise RunError(f"output is {output}: name an absolute folder, --run-config 'output=\"/.../run\"'")
    complete_run(settings, output, opening=on_grid)


app = make_server_app(_main)
