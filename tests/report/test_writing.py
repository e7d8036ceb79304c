"""A report is written whole, made again from its own file, and never over something else."""

import csv
import json
from pathlib import Path

import pytest

from fedprime.report.collection import ReportError
from fedprime.report.plots import PLOTS
from fedprime.report.writing import default_output, write_report
from fedprime.runs.run import start_run
from fedprime.settings.plans import dump_plan, read_plan
from fedprime.settings.reading import read_settings
from made_runs import LIMITS, make_run

RESULTS = Path(__file__).parents[2] / "docs" / "results"
STUDIES = sorted(path.parent.name for path in RESULTS.glob("*/runs.json"))
QUICKEST = "alternations"
TEXTS = ("tables.md", "tables.tex", "tables.csv", "runs.csv", "comparisons.md", "comparisons.csv", "runs.json")

PLAN = """
seeds = [0, 1, 2]

[axes."missing rate"]
0.missing.rate = 0.0
0.5.missing.rate = 0.5

[axes.method]
fedprime.method.name = "fedprime"
fedavg-p.method.name = "fedavg-p"
"""


def make_grid(folder: Path) -> Path:
    folder.mkdir()
    (folder / "plan.toml").write_text(PLAN.replace("0.5.missing", '"0.5".missing'))
    plan = read_plan(folder / "plan.toml")
    (folder / "plan.toml").write_text(dump_plan(plan))
    for run in plan.runs:
        is_ours, seed = run.settings.method.name == "fedprime", run.settings.seed
        base = 0.8 if is_ours else 0.7 - 0.01 * seed
        usage = {"intra": {"image": [1, 2], "image+text": [3, 4]}}
        rows = [{"matches": {"inter": [[0, 1], [1, 0]]}, "usage": usage, "pool_sizes": {"inter": 2}}] * 3
        accuracies = dict.fromkeys(LIMITS, base)
        make_run(
            folder / "runs" / run.folder, settings=run.settings, accuracies=accuracies, rows=rows if is_ours else ()
        )
    return folder


@pytest.fixture(scope="session")
def _grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_grid(tmp_path_factory.mktemp("grids") / "grid")


@pytest.fixture(scope="session")
def reported(_grid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a grid; only for reading."""
    folder = tmp_path_factory.mktemp("reports") / "report"
    assert write_report([_grid], folder).problems == ()
    return folder


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize(
    "study", [pytest.param(name, marks=() if name == QUICKEST else pytest.mark.slow) for name in STUDIES]
)
def test_the_tables_of_a_committed_study_are_made_again_from_its_runs(study: str, tmp_path: Path):
    report = write_report([RESULTS / study / "runs.json"], tmp_path / "again")
    assert (report.problems, report.notes) == ((), ())
    for file in ("tables.md", "comparisons.md"):
        assert (report.folder / file).read_text() == (RESULTS / study / file).read_text()


def test_there_are_committed_studies():
    assert QUICKEST in STUDIES
    assert len(STUDIES) > 20


def test_everything_is_there(reported: Path):
    plots = ("scenarios", "rounds", "curve-missing-rate", "clients", "pools", "prompts-fedprime")
    expected = {*TEXTS, "README.md", *(f"{plot}.{ending}" for plot in plots for ending in ("svg", "png", "pdf"))}
    assert {path.name for path in reported.iterdir()} == expected


def test_what_the_index_links_is_there(reported: Path):
    text = (reported / "README.md").read_text()
    links = [part.partition(")")[0] for part in text.split("](")[1:]]
    assert len(links) > 10
    assert [link for link in links if not (reported / link).is_file()] == []


def test_significance_reaches_the_tables(reported: Path):
    # 10, 11, 12 points over three seeds: t = 11 / (1 / sqrt(3)) = 19.05, p = 1 - t / sqrt(2 + t^2) = 0.0027.
    text = (reported / "tables.md").read_text()
    assert "| 0 | fedprime | **80.0 ± 0.0** |" in text
    rows = list(csv.DictReader((reported / "comparisons.csv").read_text().splitlines()))
    assert len(rows) == 2 * len(LIMITS)
    assert {row["verdict"] for row in rows} == {"fedprime is better"}
    assert float(rows[0]["p"]) == pytest.approx(1 - 363**0.5 / 365**0.5, rel=1e-4)


@pytest.mark.parametrize(
    "drawn", [("rounds", "prompts"), pytest.param(tuple(PLOTS), marks=pytest.mark.slow)], ids=["two plots", "all plots"]
)
def test_a_report_is_made_again_from_its_own_file(
    drawn: tuple[str, ...], reported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("fedprime.report.writing.PLOTS", {kind: PLOTS[kind] for kind in drawn})
    write_report([reported / "runs.json"], tmp_path / "again")
    again = {path.name for path in (tmp_path / "again").iterdir()}
    assert again == {path.name for path in reported.iterdir() if path.suffix not in (".svg", ".png", ".pdf")} | {
        path.name
        for path in reported.iterdir()
        if path.name.startswith(drawn) and path.suffix in (".svg", ".png", ".pdf")
    }
    for name in again - {"README.md"}:  # it names the command
        assert (tmp_path / "again" / name).read_bytes() == (reported / name).read_bytes(), name


@pytest.mark.usefixtures("without_plots")
def test_a_report_in_its_own_folder_is_made_anew_without_what_is_out_of_date(tmp_path: Path):
    folder = tmp_path / "report"
    write_report([make_run(tmp_path / "runs" / "a")], folder)
    (folder / "curve-old.svg").write_text("of an earlier plan")
    (folder / "mine.svg").write_text("somebody's own")
    report = write_report([folder])
    assert report.folder == folder
    assert not (folder / "curve-old.svg").exists()
    assert (folder / "mine.svg").exists()


def test_a_folder_of_something_else_is_not_written_to(tmp_path: Path):
    run = make_run(tmp_path / "run")
    for folder in (run, tmp_path):
        with pytest.raises(ReportError, match="holds files that no report has made"):
            write_report([run], folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="is a file; name a folder"):
        write_report([run], tmp_path / "file")


def test_a_folder_with_a_foreign_runs_json_is_not_written_to(tmp_path: Path):
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "runs.json").write_text("{}")
    with pytest.raises(ReportError, match="holds files that no report has made"):
        write_report([make_run(tmp_path / "run")], folder)
    assert json.loads((folder / "runs.json").read_text()) == {}


@pytest.mark.usefixtures("without_plots")
def test_a_folder_with_nothing_but_what_a_killed_report_began_is_written_to(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".runs.json.4711.tmp").touch()
    assert write_report([make_run(tmp_path / "run")], tmp_path / "empty").num_runs == 1


def test_nothing_is_written_when_nothing_can_be_reported(tmp_path: Path):
    with pytest.raises(ReportError, match="nothing is left to report"):
        write_report([tmp_path / "nowhere"], tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_no_runs_at_all_is_an_error():
    with pytest.raises(ReportError, match="name runs to report"):
        write_report([])


@pytest.mark.usefixtures("without_plots")
def test_what_is_left_out_is_in_the_index(tmp_path: Path, stopped_run: Path):
    report = write_report([make_run(tmp_path / "run"), stopped_run], tmp_path / "report")
    assert len(report.problems) == 1
    assert "## Left out" in (tmp_path / "report" / "README.md").read_text()


@pytest.mark.usefixtures("without_plots")
def test_a_report_is_called_by_its_folder_or_by_what_it_lies_in(tmp_path: Path):
    write_report([make_run(tmp_path / "main" / "run")])
    write_report([str(tmp_path / "main" / "run")], str(tmp_path / "results"))
    assert (tmp_path / "main" / "report" / "README.md").read_text().startswith("# main\n")
    assert (tmp_path / "results" / "README.md").read_text().startswith("# results\n")


def test_a_report_lies_where_its_runs_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = make_run(tmp_path / "runs" / "a" / "one")
    other = make_run(tmp_path / "runs" / "b" / "two")
    assert default_output([tmp_path / "runs"]) == tmp_path / "runs" / "report"
    assert default_output([run]) == tmp_path / "runs" / "a" / "report"
    assert default_output([run, other]) == tmp_path / "runs" / "report"
    monkeypatch.chdir(tmp_path)
    assert default_output([Path("runs")]) == Path("runs/report")


@pytest.mark.usefixtures("without_plots")
def test_a_report_beside_its_runs_does_not_count_itself(tmp_path: Path):
    make_run(tmp_path / "runs" / "a")
    for _ in range(2):
        report = write_report([tmp_path / "runs"])
        assert report.folder == tmp_path / "runs" / "report"
        assert (report.num_runs, report.problems, report.notes) == (1, (), ())


def test_runs_that_were_really_trained_are_reported(
    finished_run: Path, small_flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # The other plots need nothing that made runs do not have as well.
    monkeypatch.setattr("fedprime.report.writing.PLOTS", {kind: PLOTS[kind] for kind in ("clients", "prompts")})
    start_run(read_settings(None, [*small_flags, "--method.name=head-only"]), tmp_path / "head-only")
    report = write_report([finished_run, tmp_path / "head-only"], tmp_path / "report")
    assert (report.num_runs, report.problems, report.notes) == (2, (), ())
    text = (report.folder / "README.md").read_text()
    for part in ("| fedprime |", "| head-only |", "| Bayes limit |", "like train", "![clients](clients.svg)"):
        assert part in text
    assert (report.folder / "prompts-fedprime.svg").is_file()
