"""A page follows a run while it is made, and is its report at the end."""

import json
from pathlib import Path

import pytest

from fedprime.experiment.run_folder import RunFolder
from fedprime.report.html import html_page
from fedprime.runs.live import LIVE, LivePage
from fedprime.runs.metrics import progress_after
from made_runs import make_run
from page_content import content_of


@pytest.fixture
def page(tmp_path: Path) -> tuple[LivePage, Path]:
    return LivePage(tmp_path / "run"), make_run(tmp_path / "run", accuracies={"full": 0.6})


def test_after_a_round_the_page_shows_its_curves_and_is_read_again(page: tuple[LivePage, Path]):
    live, run = page
    live.round_finished(progress_after(RunFolder(run).metrics(), 5, 0, 1.0))
    text = (run / LIVE).read_text()
    assert '<meta http-equiv="refresh" content="3">' in text
    data = content_of(text)
    assert data["live"].startswith("3 of 5 rounds made")
    (cell,) = data["cells"]
    assert cell["curves"]["training loss"][:2] == [[1, 2, 3], [2, 1, 0.66667]]
    assert cell["curves"]["validation accuracy, %"][1] == [20, 40, 60]


def test_at_the_end_the_page_is_the_report_of_the_run(page: tuple[LivePage, Path]):
    live, run = page
    live.run_finished(json.loads((run / "results.json").read_text()))
    text = (run / LIVE).read_text()
    assert 'http-equiv="refresh"' not in text
    data = content_of(text)
    assert data["cells"][0]["scores"]["full"]["accuracy"] == [60, None]
    assert text == html_page(data)
