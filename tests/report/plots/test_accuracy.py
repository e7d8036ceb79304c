"""Accuracies stand where they belong, beside the Bayes limit."""

from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from fedprime.methods import METHODS
from fedprime.report.finished_runs import FinishedRun
from fedprime.report.plots.accuracy import draw_curves, draw_scenarios
from fedprime.report.plots.canvas import LIMIT_COLOR, marks_of
from made_runs import LIMITS, drawn, made_run, overlapping_ticks, shown_texts


def points(panel: Axes) -> list[tuple[float, float]]:
    """The points drawn with a marker."""
    lines = [line for line in panel.lines if line.get_marker() not in ("None", "", None, "_")]
    return [
        (float(x), float(y))
        for line in lines
        for x, y in zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True)
    ]


def test_every_scenario_shows_the_mean_of_every_method():
    runs = [
        made_run({"method": method}, seed, {"full": value + seed / 10, "text only": value})
        for method, value in (("fedprime", 0.7), ("pfpt", 0.5))
        for seed in (0, 1)
    ]
    (drawing,) = drawn(draw_scenarios, runs)
    (panel,) = drawing.figure.axes
    assert [y for _, y in points(panel)] == pytest.approx([75, 70, 55, 50])
    assert [round(x) for x, _ in points(panel)] == [0, 1, 0, 1]
    texts = shown_texts(drawing.figure)
    assert {"full", "text only", "fedprime", "pfpt", "Bayes limit", "accuracy, %"} <= set(texts)


def test_the_limit_lies_over_the_points_of_its_scenario():
    (drawing,) = drawn(draw_scenarios, [made_run({"method": "a"}, 0, {"full": 0.5, "text only": 0.4})])
    segments = [
        segment
        for lines in drawing.figure.axes[0].collections
        for segment in lines.get_segments()  # pyright: ignore[reportAttributeAccessIssue]
        if segment[0][0] != segment[1][0]  # the others are deviations
    ]
    assert [(round(float(s[:, 0].mean())), float(s[0][1])) for s in segments] == [
        (0, pytest.approx(98)),
        (1, pytest.approx(70)),
    ]


def test_limits_that_are_not_those_of_most_are_told_apart():
    made = [made_run({"method": method}, 0, {"full": 0.5}) for method in ("a", "b", "c")]
    made.append(made_run({"method": "local-p"}, 0, {"full": 0.5}, {"full": 0.99}))
    (drawing,) = drawn(draw_scenarios, made)
    colors = {
        round(float(lines.get_segments()[0][0][1]), 6): to_hex(lines.get_color()[0])  # pyright: ignore
        for lines in drawing.figure.axes[0].collections
        if len(lines.get_segments()) == 1 and lines.get_segments()[0][0][0] != lines.get_segments()[0][1][0]  # pyright: ignore
    }
    assert colors == {round(100 * LIMITS["full"], 6): LIMIT_COLOR, 99.0: marks_of(["local-p"])["local-p"].color}
    assert {"Bayes limit", "Bayes limit of its own, in its colour"} <= set(shown_texts(drawing.figure))
    (drawing,) = drawn(draw_scenarios, [made[0], made[3]])  # neither is that of most
    assert "Bayes limit" not in shown_texts(drawing.figure)


def test_without_limits_the_legend_does_not_name_them():
    (drawing,) = drawn(draw_scenarios, [made_run({"method": "a"}, limits={})])
    assert "Bayes limit" not in shown_texts(drawing.figure)


def test_there_is_a_panel_per_combination_and_so_many_in_a_figure():
    drawings = drawn(draw_scenarios, [made_run({"rate": str(rate), "method": "a"}) for rate in range(6)])
    assert [drawing.name for drawing in drawings] == ["scenarios", "scenarios-2"]
    assert [len(drawing.figure.axes) for drawing in drawings] == [4, 2]
    assert "rate 5" in shown_texts(drawings[1].figure)


def test_a_main_grid_fits_without_overlap():
    runs = [
        made_run({"trained on": label, "method": method}, seed, dict.fromkeys(LIMITS, 0.8))
        for label in ("miss text", "miss image", "miss both")
        for method in [*METHODS, "fedprime with anchors"]
        for seed in (0, 1)
    ]
    (drawing,) = drawn(draw_scenarios, runs)
    assert overlapping_ticks(drawing.figure) == []
    legend = drawing.figure.legends[0].get_window_extent()
    assert not any(legend.overlaps(panel.get_tightbbox()) for panel in drawing.figure.axes)


def rates(labels: Sequence[str]) -> list[FinishedRun]:
    return [
        made_run(
            {"missing rate": label, "method": method},
            seed,
            {"like train": 0.9 - number / 10, "full": 0.95},
            limits={"like train": 0.95 - number / 20, "full": 0.98},
        )
        for number, label in enumerate(labels)
        for method in ("fedprime", "pfpt")
        for seed in (0, 1)
    ]


def test_an_axis_of_numbers_has_a_curve_like_train_and_full():
    (drawing,) = drawn(draw_curves, rates(["0", "0.25", "1"]))
    assert drawing.name == "curve-missing-rate"
    like_train, full = drawing.figure.axes
    assert like_train.get_title(loc="left") == "tested on like train"
    assert full.get_title(loc="left") == "tested on full"
    assert points(like_train)[:3] == [(0, pytest.approx(90)), (0.25, pytest.approx(80)), (1, pytest.approx(70))]
    assert like_train.get_xlabel() == "missing rate"
    dashed = [line for line in like_train.lines if line.get_linestyle() == "--"]
    assert np.asarray(dashed[0].get_ydata()) == pytest.approx([95, 90, 85])


def test_points_are_in_the_order_of_numbers_not_of_labels():
    (drawing,) = drawn(draw_curves, rates(["1", "0", "0.5"]))
    assert [x for x, _ in points(drawing.figure.axes[0])][:3] == [0, 0.5, 1]


def test_per_cent_are_numbers_too():
    (drawing,) = drawn(draw_curves, rates(["10 %", "50 %"]))
    assert drawing.figure.axes[0].get_xlabel() == "missing rate, %"
    assert [x for x, _ in points(drawing.figure.axes[0])][:2] == [10, 50]


def test_numbers_far_apart_are_spread_by_their_logarithm():
    (drawing,) = drawn(draw_curves, rates(["0.1", "1", "100"]))
    assert drawing.figure.axes[0].get_xscale() == "log"
    assert [label.get_text() for label in drawing.figure.axes[0].get_xticklabels()] == ["0.1", "1", "100"]


@pytest.mark.parametrize("labels", [["none", "0.5"], ["0.5"], ["nan", "1"]])
def test_an_axis_that_is_not_of_several_numbers_has_no_curve(labels: list[str]):
    assert drawn(draw_curves, rates(labels)) == []


def test_an_axis_of_numbers_alone_has_one_line():
    runs = [made_run({"pool size": label}, seed, {"full": 0.8}) for label in ("10", "20") for seed in (0, 1)]
    (drawing,) = drawn(draw_curves, runs)
    assert drawing.name == "curve-pool-size"
    assert "fedprime" in shown_texts(drawing.figure)
    assert len(points(drawing.figure.axes[0])) == 2
