"""The page that opens a report shows its tables and plots and how it was made."""

from dataclasses import replace

from matplotlib.figure import Figure

from fedprime.report.cells import group_runs
from fedprime.report.comparisons import compare_cells
from fedprime.report.index import index_page, tables_page
from fedprime.report.plots import Drawing
from fedprime.report.tables import accuracy_tables
from made_runs import collected, methods_over_seeds

COLLECTION = collected(methods_over_seeds({"fedprime": [0.5, 0.6], "a|b": [0.4, 0.5]}))
BLOCKS = group_runs(COLLECTION)
TABLES = accuracy_tables(BLOCKS, [compare_cells(block) for block in BLOCKS])


def page() -> str:
    collection = replace(COLLECTION, problems=("x is broken",), notes=("y is there twice",))
    drawings = [Drawing("rounds", "Accuracy over rounds", Figure())]
    reasons = {"prompts": "no run recorded them"}
    return index_page("main_grid", collection, TABLES, "Caption.", drawings, reasons, "fedprime report runs/main")


def test_it_says_what_it_is_of_and_how_it_was_made():
    text = page()
    assert text.startswith("# main\\_grid\n")
    assert "4 run(s). method: fedprime, a\\|b." in text
    assert "`fedprime report runs/main`" in text
    assert "`fedprime report runs.json --output .`" in text


def test_it_shows_tables_and_plots_and_links_every_file():
    text = page()
    assert "| fedprime | 55.0 ± 7.1 |" in text
    assert "![rounds](rounds.svg)" in text
    for file in ("tables.md", "tables.tex", "tables.csv", "runs.csv", "comparisons.md", "comparisons.csv", "runs.json"):
        assert f"[{file}]({file})" in text


def test_it_says_which_plots_are_not_there_and_what_was_left_out():
    text = page()
    assert "- `prompts`: no run recorded them" in text
    assert "## Left out\n\n- x is broken" in text
    assert "## Notes\n\n- y is there twice" in text


def test_the_page_of_tables_has_the_caption_before_them():
    text = tables_page(TABLES, "Caption.")
    assert text.startswith("# Tables\n\nCaption.\n\n| method | full |")
