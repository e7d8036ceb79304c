"""The verb ``report`` of the command line: tables, comparisons and plots of finished runs."""

import sys
import webbrowser
from pathlib import Path

from fedprime.cli.stopping import importing
from fedprime.reproducibility.errors import counted
from fedprime.settings.flags import take_folder, take_switch
from fedprime.settings.problems import SettingsError

_HELP = """\
usage: fedprime report RUNS ... [--output FOLDER] [--html] [--open]

Turns finished runs into tables (Markdown, LaTeX, CSV), pairwise comparisons and plots (SVG, PNG, PDF).

  RUNS              run folders, folders that contain some at any depth, folders of grids, and runs.json files of
                    earlier reports, from which a report can be made again without its runs
  --output FOLDER   where to: FOLDER/README.md shows everything; if not given, a folder named report in the folder
                    that the runs have in common
  --html            one HTML file more, FOLDER/report.html, that needs nothing beside it: tables to sort and filter,
                    curves, clients, pairs, and how to reproduce all of it
  --open            the same, and shows it in the browser

Runs of a grid are called by the labels of its plan, other runs by the settings in which they differ.

For example: fedprime report runs/main --output results/main

Exit code: 0 when all is reported, 1 when something had to be left out, 2 when nothing could be reported."""


def report_runs(words: list[str]) -> int:
    """Reports runs, as asked for on a command line, and returns the exit code."""
    if "--help" in words or "-h" in words:
        print(_HELP)
        return 0
    output = take_folder(words, "--output")
    opens, html = (take_switch(words, flag) for flag in ("--open", "--html"))
    unknown = [word for word in words if word.startswith("-")]
    if unknown:
        raise SettingsError(f"{unknown[0]} is not a flag of fedprime report (--output, --html, --open)")
    with importing():
        from fedprime.report.html import PAGE
        from fedprime.report.writing import write_report
    paths = [Path(word) for word in words]
    report = write_report(paths, None if output is None else Path(output), html=html or opens)
    for problem in report.problems:
        print(f"fedprime: left out: {problem}", file=sys.stderr)
    for note in report.notes:
        print(note)
    page = (report.folder / PAGE).absolute()
    if opens and not webbrowser.open(page.as_uri()):
        print(f"fedprime: there is no browser here; open {page} in one", file=sys.stderr)
    shown = PAGE if html or opens else "README.md"
    print(f"{counted(report.num_runs, 'run')} reported in {report.folder / shown}")
    return 1 if report.problems else 0
