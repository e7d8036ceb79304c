"""What Flower starts at the server hands the grid and the app's settings on."""

from typing import Any

from flwr.app import Context, RecordDict
from flwr.serverapp import Grid

from fake_grid import FakeGrid
from fedprime.runtime.flower.server_app import make_server_app


def test_the_grid_and_the_settings_are_handed_on():
    seen: list[Any] = []
    app = make_server_app(lambda grid, config: seen.extend([grid, config]))
    Grid.register(FakeGrid)
    grid = FakeGrid(0)
    app(grid, Context(0, 1, {}, RecordDict(), {"recipe": "builtin/quickstart"}))
    assert seen == [grid, {"recipe": "builtin/quickstart"}]
