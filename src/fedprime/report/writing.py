"""From finished runs to the folder of a report."""

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedprime.report.collection import Collection, ReportError, collect_runs
from fedprime.report.compare import Block, compare_cells, group_runs
from fedprime.report.exports import cells_csv, comparisons_csv, latex_document, runs_csv
from fedprime.report.html import PAGE, html_page
from fedprime.report.html_data import page_data
from fedprime.report.load import has_runs, is_run_folder
from fedprime.report.page import comparisons_page, index_page, tables_page
from fedprime.report.plots import PLOTS, Drawing, house_style, save
from fedprime.report.runs_file import is_runs_file, write_runs_file
from fedprime.report.tables import accuracy_tables, caption, client_tables, traffic_tables
from fedprime.reproducibility.atomic_files import write_whole

_RUNS = "runs.json"
_FOLDER = "report"


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        problems: One line on everything that was left out.
        notes: One line on everything else worth knowing.
    """

    folder: Path
    num_runs: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def default_output(paths: Sequence[Path]) -> Path:
    """Returns where a report goes when nobody says: a folder in what the runs have in common.

    A report that is made from its own ``runs.json`` stays where it is.
    """
    holders = [path.parent if path.is_file() or is_run_folder(path) else path for path in paths]
    if len(paths) == 1 and not is_run_folder(paths[0]) and is_runs_file(holders[0] / _RUNS) and not has_runs(paths[0]):
        return holders[0]
    common = Path(os.path.commonpath([holder.absolute() for holder in holders]))
    here = Path.cwd()
    return (common.relative_to(here) if common.is_relative_to(here) else common) / _FOLDER


def write_report(paths: Sequence[str | Path], output: str | Path | None = None, *, html: bool = False) -> Report:
    """Turns finished runs into tables, comparisons and plots; each file is there whole or not at all.

    Args:
        paths: Run folders, folders that contain some at any depth, grid folders, and ``runs.json`` files of reports.
        output: The folder to write to; an older report in it is replaced.
        html: Whether to write a page for browsers as well.

    Raises:
        ReportError: If nothing can be reported, runs do not belong together, or there is something else at `output`.
    """
    if not paths:
        raise ReportError("name runs to report, for example: fedprime report runs/main")
    sources = [Path(path) for path in paths]
    there = [path for path in sources if path.exists()]
    folder = default_output(there or sources) if output is None else Path(output)
    _refuse_foreign(folder)
    collection = collect_runs(sources)
    blocks = group_runs(collection)
    comparisons = [compare_cells(block) for block in blocks]
    tables = [*accuracy_tables(blocks, comparisons), *client_tables(blocks), *traffic_tables(blocks)]
    says = caption(collection, blocks)
    write_runs_file(folder / _RUNS, collection.kept)  # first: it is what a report is known by
    drawings, reasons = _draw_all(folder, collection, blocks)
    full = folder.absolute()
    name = full.parent.name if full.name == _FOLDER else full.name
    flags = ["--html"] * html
    command = shlex.join(["fedprime", "report", *map(str, sources), "--output", str(folder), *flags])
    for file, text in {
        "tables.md": tables_page(tables, says),
        "tables.tex": latex_document(tables, says),
        "tables.csv": cells_csv(collection, blocks),
        "runs.csv": runs_csv(collection),
        "comparisons.md": comparisons_page(collection.compared, blocks, comparisons),
        "comparisons.csv": comparisons_csv(blocks, comparisons),
        "README.md": index_page(name, collection, tables, says, drawings, reasons, command),
    }.items():
        write_whole(folder / file, text)
    if html:
        again = shlex.join(["fedprime", "report", str(folder / _RUNS), "--output", str(folder), *flags])
        commands = list(dict.fromkeys([command, again]))
        write_whole(folder / PAGE, html_page(page_data(name, collection, blocks, says, commands)))
    else:
        (folder / PAGE).unlink(missing_ok=True)  # of an earlier report
    return Report(folder, len(collection.runs), collection.problems, collection.notes)


def _refuse_foreign(folder: Path) -> None:
    """Refuses to write among files that no report has made."""
    if folder.exists() and not folder.is_dir():
        raise ReportError(f"{folder} is a file; name a folder with --output")
    foreign = (path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else ()
    if any(foreign) and not is_runs_file(folder / _RUNS):
        raise ReportError(
            f"{folder} holds files that no report has made, and is not written to; name another folder with --output"
        )


def _draw_all(folder: Path, collection: Collection, blocks: Sequence[Block]) -> tuple[list[Drawing], dict[str, str]]:
    """Draws every plot for which there is data; returns them, and why others are not there."""
    drawings: list[Drawing] = []
    reasons: dict[str, str] = {}
    written: set[Path] = set()
    with house_style():
        for kind, (draw, reason) in PLOTS.items():
            found = list(draw(collection, blocks))
            drawings += found
            if not found:
                reasons[kind] = reason
            written.update(path for drawing in found for path in save(drawing, folder))
    ours = re.compile(rf"({'|'.join(PLOTS)})(-.+)?\.(svg|png|pdf)")
    for path in folder.iterdir():
        if ours.fullmatch(path.name) and path not in written:
            path.unlink()  # of an earlier report, for which there is no data any more
    return drawings, reasons
