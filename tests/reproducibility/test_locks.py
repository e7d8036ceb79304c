"""A lock that one holds and another is refused."""

from pathlib import Path

import pytest

from fedprime.reproducibility.errors import FedprimeError
from fedprime.reproducibility.locks import held_lock


def test_who_comes_while_a_lock_is_held_is_refused_and_may_have_it_afterwards(tmp_path: Path):
    with held_lock(tmp_path / "lock", FedprimeError("taken")):  # noqa: SIM117 - the refusal is what is tested
        with pytest.raises(FedprimeError, match="taken"), held_lock(tmp_path / "lock", FedprimeError("taken")):
            pass
    with held_lock(tmp_path / "lock", FedprimeError("taken")):
        assert (tmp_path / "lock").exists()


def test_an_error_inside_lets_go_of_the_lock(tmp_path: Path):
    with pytest.raises(KeyError), held_lock(tmp_path / "lock", FedprimeError("taken")):
        raise KeyError
    with held_lock(tmp_path / "lock", FedprimeError("taken")):
        pass
