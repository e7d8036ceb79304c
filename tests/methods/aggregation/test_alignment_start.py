"""Where alignment starts: the same order, scale and first centres however clients and prompts come."""

import torch

from fedprime.methods.aggregation.alignment_start import (
    canonical_order,
    ordered_pools,
    origin_and_unit,
    starting_centres,
)
from fedprime.methods.aggregation.mixture import Prompts
from fedprime.reproducibility.seeding import torch_stream


def test_pools_are_ordered_by_their_content_also_where_first_coordinates_are_the_same() -> None:
    pools = [torch.randn(4, 3, generator=torch_stream(0, "tied", client)) for client in range(5)]
    for pool in pools:
        pool[:, 0] = 0.5
    mixed = [pools[client].flip(0) for client in (3, 0, 4, 2, 1)]
    ordered = [list(ordered_pools(given, canonical_order(given))) for given in (pools, mixed)]
    assert all(torch.equal(here, there) for here, there in zip(*ordered, strict=True))


def test_the_unit_is_the_distance_of_two_prompts_of_a_client() -> None:
    pool = torch.tensor([[0.0, 0.0], [3.0, 4.0]]).double()  # 5 apart, in 2 coordinates
    origin, unit = origin_and_unit([pool, pool], rounding=0.0)
    assert origin.tolist() == [1.5, 2.0]
    torch.testing.assert_close(unit, 5 / 2**0.5)


def test_a_centre_starts_amid_the_prompts_within_its_reach_and_not_on_one_of_them() -> None:
    points = torch.tensor([[0.0], [0.2], [1.0]], dtype=torch.float64)
    centres, _ = starting_centres(Prompts(points, [1, 2], 1.0), warm=points[:0], max_centres=4)
    torch.testing.assert_close(centres.flatten().sort().values, torch.tensor([0.1, 1.0]).double())
