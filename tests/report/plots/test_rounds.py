"""What happens round by round is drawn over the rounds, mean and deviation over seeds."""

from dataclasses import replace

import numpy as np
import pytest

from fedprime.report.plots.rounds import draw_pools, draw_rounds
from made_runs import drawn, history, made_run, shown_texts


def test_a_line_is_the_mean_over_seeds_with_a_band_of_one_deviation():
    runs = [
        made_run({"method": "a"}, seed, history=history([0.4, value])) for seed, value in enumerate((0.6, 0.7, 0.8))
    ]
    (drawing,) = drawn(draw_rounds, runs)
    (panel,) = drawing.figure.axes
    line, _limit = panel.lines
    assert np.asarray(line.get_xdata()).tolist() == [1, 2]
    assert np.asarray(line.get_ydata()) == pytest.approx([40, 70])
    (band,) = panel.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((40, 80))  # 70 and a deviation of 10


def test_rounds_that_were_not_measured_are_left_out():
    (drawing,) = drawn(draw_rounds, [made_run({"method": "a"}, history=history([None, 0.5, None, 0.6]))])
    assert np.asarray(drawing.figure.axes[0].lines[0].get_xdata()).tolist() == [2, 4]


def test_seeds_that_measured_other_rounds_are_compared_where_both_did():
    runs = [
        made_run({"method": "a"}, seed, history=history(accuracy))
        for seed, accuracy in enumerate(([0.1, 0.2, 0.3], [None, 0.4, 0.5, 0.6]))
    ]
    (drawing,) = drawn(draw_rounds, runs)
    line = drawing.figure.axes[0].lines[0]
    assert np.asarray(line.get_xdata()).tolist() == [2, 3]
    assert np.asarray(line.get_ydata()) == pytest.approx([30, 40])


def test_a_shared_limit_is_drawn_once():
    runs = [made_run({"method": method}, history=history([0.4, 0.5])) for method in ("a", "b", "c")]
    runs.append(made_run({"method": "local-p"}, history=history([0.4, 0.5], limit=0.95)))
    (drawing,) = drawn(draw_rounds, runs)
    styles = [line.get_linestyle() for line in drawing.figure.axes[0].lines]
    assert (styles.count("--"), styles.count(":")) == (1, 1)
    assert {"Bayes limit", "Bayes limit of local-p"} <= set(shown_texts(drawing.figure))


def test_the_limit_of_a_single_round_is_drawn_across_the_plot():
    (drawing,) = drawn(draw_rounds, [made_run({"method": "closed-form"}, history=history([0.4], limit=0.95))])
    (panel,) = drawing.figure.axes
    (limit,) = (line for line in panel.lines if line.get_linestyle() == "--")
    assert limit.get_path().get_extents(limit.get_transform()).width == pytest.approx(panel.bbox.width)
    assert panel.get_ylim()[1] > 95


def test_late_rounds_fill_the_plot():
    accuracy = [0.1, 0.3, *([0.8] * 16)]
    (drawing,) = drawn(draw_rounds, [made_run({"method": "a"}, history=history(accuracy))])
    assert drawing.figure.axes[0].get_ylim()[0] > 70


def test_panels_have_the_same_axes_and_ticks_on_whole_rounds():
    runs = [
        made_run({"rate": "0", "method": "a"}, history=history([0.4, 0.5])),
        made_run({"rate": "1", "method": "a"}, history=history([0.1, 0.2, 0.2, 0.3])),
    ]
    (drawing,) = drawn(draw_rounds, runs)
    one, other = drawing.figure.axes
    assert (one.get_xlim(), one.get_ylim()) == (other.get_xlim(), other.get_ylim())
    (single,) = drawn(draw_rounds, [made_run({"method": "a"}, history=history([0.4]))])
    assert all(tick == round(tick) for panel in (one, single.figure.axes[0]) for tick in panel.get_xticks())


def test_nothing_measured_is_no_plot():
    assert drawn(draw_rounds, [made_run({"method": "a"}, history=history([None, None]))]) == []


def test_units_are_on_the_axes():
    (drawing,) = drawn(draw_rounds, [made_run({"rate": "0", "method": "a"}, history=history([0.4, 0.5]))])
    assert {"round", "validation accuracy, %", "rate 0", "a", "Bayes limit"} <= set(shown_texts(drawing.figure))


def test_the_size_of_every_pool_is_drawn():
    sizes = {"pools.inter": (20, 21, 25), "pools.intra": (20, 20, 20)}
    runs = [
        made_run({"method": "fedprime"}, history=history([0.4] * 3, sizes)),
        made_run({"method": "head-only"}, history=history([0.4] * 3)),
    ]
    (drawing,) = drawn(draw_pools, runs)
    assert drawing.name == "pools"
    assert [np.asarray(line.get_ydata()).tolist() for line in drawing.figure.axes[0].lines] == [
        [20, 21, 25],
        [20, 20, 20],
    ]
    texts = shown_texts(drawing.figure)
    assert {"inter pool", "intra pool", "fedprime", "prompts in the pool"} <= set(texts)
    assert "head-only" not in texts


def test_of_the_start_only_its_end_has_a_pool():
    started = replace(history([0.4] * 4, {"pools.inter": (20, 20, 21, 25)}), start=2)
    (drawing,) = drawn(draw_pools, [made_run({"method": "fedprime"}, history=started)])
    (line,) = drawing.figure.axes[0].lines
    assert np.asarray(line.get_xdata()).tolist() == [0, 1, 2]
    assert np.asarray(line.get_ydata()).tolist() == [20, 21, 25]


def test_without_pools_there_is_no_plot_of_them():
    assert drawn(draw_pools, [made_run({"method": "head-only"})]) == []
