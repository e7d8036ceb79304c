"""The verb report, and what it leaves out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import exit_code


@pytest.mark.usefixtures("without_plots")
def test_runs_are_reported_beside_each_other(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("report", finished_run, "--output", tmp_path / "report") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"1 run reported in {tmp_path / 'report' / 'README.md'}"
    assert (tmp_path / "report" / "tables.md").is_file()


@pytest.mark.usefixtures("without_plots")
def test_what_a_report_leaves_out_is_said_and_the_rest_is_reported(
    finished_run: Path, stopped_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert exit_code("report", finished_run, stopped_run, "--output", tmp_path / "report") == 1
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith(f"fedprime: left out: the run {stopped_run} is not finished")
    assert said.out.startswith("1 run reported")


def test_runs_that_cannot_be_reported_are_told_apart(stopped_run: Path, tmp_path: Path, complaint: Callable[..., str]):
    assert "is not finished" in complaint("report", stopped_run, "--output", tmp_path / "report")
    assert not (tmp_path / "report").exists()
    assert "name runs to report" in complaint("report")
    assert "--ouput is not a flag of fedprime report" in complaint("report", stopped_run, "--ouput", "x")


def test_the_help_of_report_shows_an_example(capsys: pytest.CaptureFixture[str]):
    assert exit_code("report", "--help") == 0
    assert "For example: fedprime report runs/main --output results/main" in capsys.readouterr().out


@pytest.mark.usefixtures("without_plots")
def test_a_page_is_written_and_opened_when_asked_for(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) is None)
    page = tmp_path / "report" / "report.html"
    assert exit_code("report", finished_run, "--html", "--output", tmp_path / "report") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"1 run reported in {page}"
    assert opened == []
    assert exit_code("report", finished_run, "--open", "--output", tmp_path / "report") == 0
    assert opened == [page.as_uri()]
    assert exit_code("report", finished_run, "--output", tmp_path / "report") == 0
    assert not page.exists()  # of an earlier report


@pytest.mark.usefixtures("without_plots")
def test_where_there_is_no_browser_the_page_is_named(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    assert exit_code("report", finished_run, "--open", "--output", tmp_path) == 0
    assert f"there is no browser here; open {tmp_path / 'report.html'} in one" in capsys.readouterr().err
