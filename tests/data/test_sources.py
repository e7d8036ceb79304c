"""What counts as a data set, and how much it can tell."""

from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.data.sets.table.table import Table
from fedprime.data.sources import DataError, IdentifiedSource, KnownWorld, SampleSource
from fedprime.reproducibility.errors import FedprimeError


def test_the_built_in_world_knows_its_limit_and_tells_its_samples_apart() -> None:
    world = BuiltinWorld(num_samples=4)
    assert isinstance(world, SampleSource)
    assert isinstance(world, KnownWorld)


def test_a_table_tells_its_samples_apart_and_knows_no_limit() -> None:
    assert callable(Table.identity)
    assert not hasattr(Table, "posterior")
    assert not isinstance(object(), IdentifiedSource)


def test_a_data_set_that_cannot_be_used_is_an_error_of_the_user() -> None:
    assert issubclass(DataError, FedprimeError)
