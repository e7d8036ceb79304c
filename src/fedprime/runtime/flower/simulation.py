"""Flower's simulation engine: clients in several processes on this machine."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from secrets import randbits

from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.proto.task_pb2 import Task
from flwr.server.superlink.fleet import vce
from flwr.server.superlink.fleet.vce.metrics import VceMetrics
from flwr.server.superlink.linkstate import InMemoryLinkState, LinkStateFactory
from flwr.server.superlink.linkstate.in_memory_linkstate import RunRecord
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME, NOOP_FEDERATION_ID
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.federation import NoOpFederationManager
from flwr.superlink.grid import InMemoryGrid

from fedprime.reproducibility.errors import FedprimeError
from fedprime.runtime.flower.client_app import app


class SimulationError(FedprimeError):
    """The simulation engine has stopped."""


@contextmanager
def simulated_grid(num_clients: int, processes: int) -> Iterator[tuple[InMemoryGrid, Callable[[], None]]]:
    """Runs the engine beside the block, which stays in the main thread, so that Ctrl-C ends it like any other.

    Args:
        processes: How many of them work at the same time, each in a process of its own.

    Yields:
        The grid, and a function that raises a `SimulationError` if the engine has stopped.
    """
    logging.getLogger("flwr").setLevel(logging.CRITICAL)  # what a client reports comes with its reply
    states = LinkStateFactory(FLWR_IN_MEMORY_DB_NAME, NoOpFederationManager(), ObjectStoreFactory())
    grid, run = _registered(states)
    stop = threading.Event()
    failures: list[BaseException] = []
    backend = {
        "init_args": {"num_cpus": processes, "logging_level": logging.CRITICAL, "log_to_driver": False},
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        "actor": {"tensorflow": 0},
    }

    def run_engine() -> None:
        try:
            vce.start_vce(
                num_supernodes=num_clients,
                client_app=app,
                backend_name="ray",
                backend_config_json_stream=json.dumps(backend),
                app_dir="",
                is_app=False,
                state_factory=states,
                f_stop=stop,
                run=run,
                metrics=VceMetrics(),
            )
        except BaseException as error:
            failures.append(error)

    def check() -> None:
        if failures:
            raise SimulationError(f"the simulation engine has stopped: {failures[0]}") from failures[0]

    engine = threading.Thread(target=run_engine, name="simulation", daemon=True)
    engine.start()
    try:
        yield grid, check
    finally:
        stop.set()
        engine.join()


def _registered(states: LinkStateFactory) -> tuple[InMemoryGrid, Run]:
    """Registers a run as the engine's own entry point does, which cannot be used: it takes the main thread."""
    run_id, task_id = randbits(62), randbits(62)
    run = Run.create_empty(run_id=run_id)
    run.primary_task_id = task_id
    run.federation_id = NOOP_FEDERATION_ID
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = task_id, run_id, SUPERLINK_NODE_ID
    state = states.state()
    if not isinstance(state, InMemoryLinkState):
        raise SimulationError(f"the engine's state is {type(state).__name__}, expected it in memory")
    state.run_ids[run_id] = RunRecord(run=run)
    state.task_store[task_id] = Task(task_id=task_id, run_id=run_id)
    grid = InMemoryGrid(state_factory=states)
    grid.set_run(run)
    return grid, run
