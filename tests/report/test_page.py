"""Pages show labels as they are, tables, plots and every pair, and say how they were made."""

from dataclasses import replace

from matplotlib.figure import Figure

from fedprime.report.compare import compare_cells, group_runs
from fedprime.report.finished_runs import FinishedRun
from fedprime.report.page import (
    comparisons_page,
    index_page,
    markdown_table,
    tables_page,
)
from fedprime.report.plots import Drawing
from fedprime.report.tables import accuracy_tables
from made_runs import ODD_TABLE, collected, made_run, methods_over_seeds

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
    assert "4 runs. method: fedprime, a\\|b." in text
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


def page_of(runs: list[FinishedRun]) -> str:
    blocks = group_runs(collected(runs))
    return comparisons_page("method", blocks, [compare_cells(block) for block in blocks])


def test_the_test_is_stated_in_words():
    page = page_of(methods_over_seeds({"a": [0.5] * 3, "b": [0.5] * 3}))
    for part in ("two-sided paired t-test", "95 % confidence interval", "Holm", "fewer than 3 common seeds"):
        assert part in page


def test_every_pair_is_there_with_its_numbers():
    page = page_of(methods_over_seeds({"a": [0.52, 0.64, 0.76], "b": [0.51, 0.62, 0.73]}))
    # Differences 1, 2, 3 points: 2 with an interval of 2.48 to either side, p 0.074.
    assert "| a | b | +2.00 | -0.48 to +4.48 | 0.074 | 0.074 | 3 | not significant |" in page


def test_the_overview_counts_who_is_better_than_how_many():
    accuracies = {"a": [0.91, 0.92, 0.93], "b": [0.80, 0.82, 0.81], "c": [0.70, 0.73, 0.71]}
    page = page_of(methods_over_seeds(accuracies))
    assert "| a | +2 -0 |" in page
    assert "| b | +1 -1 |" in page
    assert "| c | +0 -2 |" in page


def test_a_tiny_p_is_not_shown_as_zero():
    page = page_of(methods_over_seeds({"a": [0.9, 0.9001, 0.9], "b": [0.1, 0.1, 0.1]}))
    assert "| < 0.001 |" in page


def test_without_enough_seeds_the_page_says_so():
    page = page_of(methods_over_seeds({"a": [0.9, 0.8], "b": [0.1, 0.2]}))
    assert "| a | no test |" in page
    assert "no test: fewer than 3 common seeds" in page


def test_a_group_of_one_has_nothing_to_compare():
    runs = [made_run({"rate": rate, "method": "a"}) for rate in ("0", "1")]
    page = page_of(runs)
    assert page.count("There is nothing to compare.") == 2
    assert "## Rate 0" in page


def test_a_markdown_table_has_heads_a_rule_and_as_many_places_in_every_row():
    lines = markdown_table(ODD_TABLE).splitlines()
    assert lines == [
        r"| method | a\_b | full | n |",
        "| :-- | --: | --: | --: |",
        r"| x\|y & z | **83.1 ± 0.5** | 90.0 | 5 |",
        "| Bayes limit | 98.0 | 99.0 |  |",
    ]
