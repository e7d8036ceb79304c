"""Work in threads: the order of items, few at a time, errors where they belong."""

import threading
import time

import pytest

from fedprime.data.in_order import in_order


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_results_come_in_the_order_of_items_however_long_each_takes(num_threads: int) -> None:
    def slow(item: int) -> int:
        time.sleep(0.001 * (7 * item % 5))
        return item * item

    assert list(in_order(slow, range(20), num_threads)) == [item * item for item in range(20)]


def test_several_are_worked_on_at_a_time() -> None:
    both = threading.Barrier(2, timeout=10)
    assert len(list(in_order(lambda _: both.wait(), range(6), num_threads=2))) == 6


def test_little_more_is_begun_than_was_asked_for() -> None:
    taken = []
    results = in_order(lambda item: item, (taken.append(item) or item for item in range(100)), num_threads=2)
    next(results)
    assert len(taken) <= 5
    results.close()


def test_an_error_comes_in_its_place() -> None:
    results = in_order(lambda item: 1 / item, (2, 0, 1), num_threads=2)
    assert next(results) == 0.5
    with pytest.raises(ZeroDivisionError):
        next(results)
