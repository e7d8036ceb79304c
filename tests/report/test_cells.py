"""Runs are grouped by their labels, and the Bayes limit stands for the cells that share it."""

import pytest

from fedprime.report.cells import compared_axis, group_runs, in_words, mean_and_deviation
from fedprime.report.finished_runs import FinishedRun
from made_runs import collected, made_run


def grid() -> list[FinishedRun]:
    return [
        made_run({"rate": rate, "method": method}, seed, {"full": 0.8})
        for rate in ("0", "0.5")
        for method in ("fedprime", "pfpt")
        for seed in (0, 1)
    ]


def test_methods_are_compared_wherever_their_axis_stands():
    assert compared_axis(["rate", "method", "sites"]) == "method"


def test_without_methods_the_first_axis_is_compared():
    assert compared_axis(["quirk", "rate"]) == "quirk"


def test_a_block_has_the_cells_that_differ_in_one_label():
    blocks = group_runs(collected(grid()))
    assert [dict(block.labels) for block in blocks] == [{"rate": "0"}, {"rate": "0.5"}]
    assert [[cell.label for cell in block.cells] for block in blocks] == [["fedprime", "pfpt"]] * 2
    assert [cell.seeds for cell in blocks[0].cells] == [(0, 1), (0, 1)]
    assert dict(blocks[1].cells[0].labels) == {"rate": "0.5", "method": "fedprime"}


def test_combinations_without_runs_are_no_cells():
    runs = [run for run in grid() if run.labels != {"rate": "0.5", "method": "pfpt"}]
    blocks = group_runs(collected(runs))
    assert [[cell.label for cell in block.cells] for block in blocks] == [["fedprime", "pfpt"], ["fedprime"]]


def test_scores_are_by_seed_and_leave_out_what_is_not_known():
    runs = [made_run({"method": "a"}, 0, {"full": 0.5}), made_run({"method": "a"}, 3, {"text only": 0.7}, limits={})]
    ((cell,),) = (block.cells for block in group_runs(collected(runs)))
    assert cell.scores("full") == {0: 0.5}
    assert cell.scores("full", "macro_f1") == {0: 0.25}
    assert cell.scores("text only", "bayes_accuracy") == {}
    assert cell.scores("nowhere") == {}


def test_one_limit_stands_for_all_that_share_it():
    runs = [
        made_run({"method": method}, seed, limits={"full": limit})
        for method in ("a", "b")
        for seed, limit in enumerate((0.96, 0.98))
    ]
    ((limit,),) = (block.limits for block in group_runs(collected(runs)))
    assert limit.cells == ("a", "b")
    assert limit.by_scenario == pytest.approx({"full": 0.97})


def test_methods_with_models_of_their_own_have_a_limit_of_their_own():
    runs = [
        made_run({"method": method}, seed, limits={"full": limit})
        for method, limit in (("a", 0.9), ("b", 0.9), ("local-p", 0.95))
        for seed in (0, 1)
    ]
    (block,) = group_runs(collected(runs))
    assert [(limit.cells, limit.by_scenario["full"]) for limit in block.limits] == [
        (("a", "b"), pytest.approx(0.9)),
        (("local-p",), pytest.approx(0.95)),
    ]


def test_a_missing_seed_does_not_make_a_limit_another():
    runs = [made_run({"method": "a"}, seed, limits={"full": 0.9 + seed / 100}) for seed in (0, 1)]
    runs.append(made_run({"method": "b"}, 0, limits={"full": 0.9}))
    (block,) = group_runs(collected(runs))
    assert [limit.cells for limit in block.limits] == [("a", "b")]


def test_where_no_limit_is_known_there_is_none():
    (block,) = group_runs(collected([made_run({"method": "a"}, limits={})]))
    assert block.limits == ()


def test_a_centralized_method_is_a_reference_also_under_another_label():
    runs = [made_run({"method": label}, method="centralized-p") for label in ("all data", "centralized-p")]
    runs.append(made_run({"method": "fedprime"}))
    (block,) = group_runs(collected(runs))
    assert [cell.is_reference for cell in block.cells] == [True, True, False]


def test_the_deviation_is_that_of_a_sample():
    # Of 2, 4, 4, 4, 5, 5, 7, 9 the squared distances from the mean 5 sum up to 32, divided by 7.
    mean, deviation = mean_and_deviation([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
    assert (mean, deviation) == (5.0, pytest.approx((32 / 7) ** 0.5))


def test_one_value_has_no_deviation():
    assert mean_and_deviation([0.5]) == (0.5, None)


def test_no_labels_are_no_words():
    assert in_words({}) == ""
