"""What Flower starts at the server, around whatever runs the rounds."""

from collections.abc import Callable, Mapping
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp


def make_server_app(main: Callable[[Any, Mapping[str, Any]], None]) -> ServerApp:
    """Returns the app.

    Args:
        main: Given the grid and the settings of the app, runs the rounds.
    """
    app = ServerApp()

    @app.main()
    def run(grid: Grid, context: Context) -> None:
        main(grid, context.run_config)

    return app
