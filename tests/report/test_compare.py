"""Runs are grouped by their labels; comparisons are paired by seed, corrected, and never claim more than they can."""

import warnings

import pytest

from fedprime.report.compare import (
    Block,
    Comparison,
    compare_cells,
    group_runs,
    holm,
    mean_and_deviation,
    paired_t_test,
    significantly_best,
)
from fedprime.report.finished_runs import FinishedRun
from made_runs import collected, made_run, methods_over_seeds

#: Student's own example: additional hours of sleep by one drug over another. R's documentation of t.test gives
#: t = -4.0621, df = 9, p = 0.002833, and 95 % from -2.4598858 to -0.7001142 for the opposite sign.
SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]


def grid() -> list[FinishedRun]:
    return [
        made_run({"rate": rate, "method": method}, seed, {"full": 0.8})
        for rate in ("0", "0.5")
        for method in ("fedprime", "pfpt")
        for seed in (0, 1)
    ]


def test_methods_are_compared_wherever_their_axis_stands_else_the_first_axis():
    for axes, compared in (("rate", "method", "sites"), "method"), (("quirk", "rate"), "quirk"):
        collection = collected([made_run(dict.fromkeys(axes, "a"), 0, {"full": 0.8})])
        assert collection.compared == compared
        assert [block.compared for block in group_runs(collection)] == [compared]


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


def block_of(accuracies: dict[str, list[float]]) -> Block:
    (block,) = group_runs(collected(methods_over_seeds(accuracies)))
    return block


def best_of(accuracies: dict[str, list[float]]) -> dict[str, str]:
    block = block_of(accuracies)
    return dict(significantly_best(block, compare_cells(block)))


def test_the_t_test_gives_what_student_and_r_found():
    low, high, p = paired_t_test(SLEEP)
    assert low == pytest.approx(0.7001142, abs=1e-6)
    assert high == pytest.approx(2.4598858, abs=1e-6)
    assert p == pytest.approx(0.002833, abs=1e-6)


def test_with_three_seeds_the_t_test_gives_the_closed_form():
    # t = 2 / (1 / sqrt(3)); with 2 degrees of freedom p = 1 - t / sqrt(2 + t^2); the quantile of 97.5 % is 4.302653.
    low, high, p = paired_t_test([1.0, 2.0, 3.0])
    assert p == pytest.approx(1 - 12**0.5 / 14**0.5)
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-5)


def test_identical_results_have_p_one_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert paired_t_test([0.0, 0.0, 0.0]) == (0.0, 0.0, 1.0)


def test_a_difference_without_spread_is_not_tested():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert paired_t_test([0.5, 0.5, 0.5]) == (0.5, 0.5, None)


def test_the_rounding_of_floats_is_no_spread():
    assert paired_t_test([0.6 - 0.5, 0.5 - 0.4, 0.3 - 0.2])[2] is None
    assert paired_t_test([0.1 + 0.2 - 0.3, 0.0, 0.0])[2] == 1.0


def test_holm_corrects_step_by_step_and_never_lets_a_larger_p_become_smaller():
    # 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04, which may not come below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_stays_below_one_and_keeps_a_single_p():
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_runs_are_paired_by_seed_whatever_their_order():
    runs = [
        *(made_run({"method": "a"}, seed, {"full": value}) for seed, value in ((0, 0.5), (1, 0.6), (2, 0.9))),
        *(made_run({"method": "b"}, seed, {"full": value}) for seed, value in ((1, 0.58), (0, 0.49), (2, 0.87))),
    ]
    (block,) = group_runs(collected(runs))
    (found,) = compare_cells(block)
    # Seed by seed, a is better by 1, 2 and 3 points: the closed form above. Unpaired, p would be near 0.9.
    assert found.num_seeds == 3
    assert found.difference == pytest.approx(0.02)
    assert found.p == pytest.approx(1 - (12 / 14) ** 0.5)


def test_only_seeds_that_both_have_are_compared():
    runs = [
        *methods_over_seeds({"a": [0.5, 0.6, 0.7, 0.8]}),
        *(made_run({"method": "b"}, seed, {"full": 0.4}) for seed in (1, 3)),
    ]
    (block,) = group_runs(collected(runs))
    (found,) = compare_cells(block)
    assert found.num_seeds == 2
    assert found.difference == pytest.approx(0.3)
    assert found.p is None
    assert found.verdict == "no test: fewer than 3 common seeds"


def test_without_a_common_seed_there_is_no_difference():
    runs = [made_run({"method": "a"}, 0), made_run({"method": "b"}, 1)]
    (block,) = group_runs(collected(runs))
    (found,) = compare_cells(block)
    assert (found.num_seeds, found.difference, found.better) == (0, None, None)
    assert found.verdict == "no common seed"


def test_the_correction_is_over_the_pairs_of_one_scenario():
    block = block_of({"a": [0.91, 0.92, 0.93], "b": [0.80, 0.82, 0.81], "c": [0.70, 0.73, 0.71]})
    found = compare_cells(block)
    assert [entry.p_holm for entry in found] == pytest.approx(holm([entry.p or 0 for entry in found]))
    assert [(entry.first, entry.second) for entry in found] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_a_comparison_with_an_upper_reference_does_not_cost_the_others_anything():
    methods = {"a": [0.91, 0.92, 0.93], "b": [0.80, 0.82, 0.81]}
    (alone,) = compare_cells(block_of(methods))
    among = compare_cells(block_of(methods | {"centralized-p": [0.95, 0.96, 0.95]}))
    assert among[0] == alone
    assert [entry.with_reference for entry in among] == [False, True, True]


def test_better_is_the_one_with_the_higher_accuracy():
    (found,) = compare_cells(block_of({"a": [0.80, 0.82, 0.81], "b": [0.91, 0.92, 0.93]}))
    assert found.better == "b"
    assert found.verdict == "b is better"


@pytest.mark.parametrize(
    ("p_holm", "verdict"), [(0.0499, "a is better"), (0.05, "not significant"), (0.9, "not significant")]
)
def test_the_level_is_five_per_cent_after_correction(p_holm: float, verdict: str):
    found = Comparison("a", "b", "full", 3, 0.1, 0.05, 0.15, 0.001, p_holm)
    assert found.verdict == verdict


def test_the_best_must_be_better_than_every_other():
    clearly_worse, nearly_the_same = [0.70, 0.73, 0.71], [0.91, 0.93, 0.92]
    assert best_of({"a": [0.91, 0.92, 0.93], "b": clearly_worse}) == {"full": "a"}
    assert best_of({"a": [0.91, 0.92, 0.93], "b": clearly_worse, "c": nearly_the_same}) == {}


def test_an_upper_reference_neither_wins_nor_keeps_another_from_winning():
    methods = {"a": [0.91, 0.92, 0.93], "b": [0.80, 0.82, 0.81]}
    assert best_of(methods | {"centralized-p": [0.99, 0.98, 0.99]}) == {"full": "a"}
    assert best_of({"a": [0.91, 0.92, 0.93], "centralized-p": [0.5, 0.52, 0.51]}) == {}


def test_alone_nobody_is_best():
    assert best_of({"a": [0.91, 0.92, 0.93]}) == {}


def test_with_two_seeds_nobody_is_best():
    assert best_of({"a": [0.91, 0.92], "b": [0.1, 0.1]}) == {}


def test_a_constant_advantage_is_no_significant_one():
    block = block_of({"a": [0.9, 0.8, 0.7], "b": [0.8, 0.7, 0.6]})
    (found,) = compare_cells(block)
    assert found.verdict == "no test: the same difference with every seed"
    assert significantly_best(block, [found]) == {}
