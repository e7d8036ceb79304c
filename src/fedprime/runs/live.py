"""A page to look at while a run is made: it is written again after each round, and the browser reads it again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedprime.experiment.run_folder import RunFolder
from fedprime.report.collection import collect_runs
from fedprime.report.compare import group_runs
from fedprime.report.html import html_page, live_data
from fedprime.report.html_data import page_data
from fedprime.report.tables import caption
from fedprime.reproducibility.atomic_files import write_whole
from fedprime.reproducibility.errors import as_word
from fedprime.runs.callbacks import Callback
from fedprime.runs.metrics import Progress
from fedprime.settings.reading import flat_settings, read_saved_settings

#: How the file is called, in the folder of the run.
LIVE = "live.html"
_SECONDS = 3


class LivePage(Callback):
    """Keeps a page about a run in its folder: curves while it is made, a report of it at the end."""

    def __init__(self, path: Path) -> None:
        """Names the run.

        Args:
            path: Its folder, which need not be there yet.
        """
        self._path = path

    def round_finished(self, progress: Progress) -> None:
        """Writes the curves so far, from ``metrics.jsonl``."""
        settings = flat_settings(read_saved_settings(self._path / "settings.toml"))
        rows = RunFolder(self._path).metrics()
        data = live_data(self._path.name, settings["method.name"], rows, progress.num_rounds)
        write_whole(self._path / LIVE, html_page(data, refresh=_SECONDS))

    def run_finished(self, results: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Writes the report of the run in the place of the curves; the browser has no need to read it again."""
        collection = collect_runs([self._path])
        blocks = group_runs(collection)
        commands = [f"fedprime report {as_word(self._path)} --html"]
        data = page_data(self._path.name, collection, blocks, caption(collection, blocks), commands)
        write_whole(self._path / LIVE, html_page(data))
