"""The simulation engine beside the block: it is ended with it, and its failure is noticed. Really run in tests/slow."""

import threading
import time
from collections.abc import Callable

import pytest

from fedprime.runtime.flower import simulation
from fedprime.runtime.flower.simulation import SimulationError, simulated_grid


def engine(monkeypatch: pytest.MonkeyPatch, work: Callable[[threading.Event], None]) -> list[int]:
    """Puts something else in the place of the engine; returns how many clients it was asked for."""
    asked: list[int] = []

    def start_vce(*, num_supernodes: int, f_stop: threading.Event, **_: object) -> None:
        asked.append(num_supernodes)
        work(f_stop)

    monkeypatch.setattr(simulation.vce, "start_vce", start_vce)
    return asked


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ZeroDivisionError])
def test_the_engine_ends_with_the_block_however_that_ends(
    error: type[BaseException] | None, monkeypatch: pytest.MonkeyPatch
):
    ended: list[bool] = []
    asked = engine(monkeypatch, lambda stop: ended.append(stop.wait(60)))
    if error is None:
        with simulated_grid(7, 2) as (grid, check):
            check()
            assert list(grid.get_node_ids()) == []  # the engine connects them
    else:
        with pytest.raises(error), simulated_grid(7, 2):
            raise error
    assert asked == [7]
    assert ended == [True]


def test_an_engine_that_fails_is_noticed(monkeypatch: pytest.MonkeyPatch):
    failed = threading.Event()

    def fail(_: threading.Event) -> None:
        failed.set()
        raise RuntimeError("no room for a client")

    engine(monkeypatch, fail)
    with pytest.raises(SimulationError, match="has stopped: no room for a client"), simulated_grid(1, 1) as (_, check):
        _wait_for_the_failure(failed, check)


def _wait_for_the_failure(failed: threading.Event, check: Callable[[], None]) -> None:
    failed.wait(60)
    for _ in range(600):  # it has been raised, but perhaps not yet been noted
        check()
        time.sleep(0.1)
