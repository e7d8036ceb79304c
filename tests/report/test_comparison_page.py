"""The page of comparisons states the test and shows every pair."""

from fedprime.report.cells import group_runs
from fedprime.report.comparison_page import comparisons_page
from fedprime.report.comparisons import compare_cells
from fedprime.report.finished_runs import FinishedRun
from made_runs import collected, made_run, methods_over_seeds


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
