"""Plots look alike, and their files are the same each time."""

import math
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from fedprime.methods import METHODS
from fedprime.report.plots.canvas import Drawing, LimitLines, add_legend, house_style, marks_of, pages, save, slug


def simple_drawing() -> Drawing:
    figure = Figure(figsize=(8, 3), layout="constrained")
    figure.subplots().plot([1, 2], [3, 4])
    return Drawing("plot", "A line", figure)


def test_a_method_looks_the_same_whoever_stands_beside_it():
    alone, among = marks_of(["fedavg-p"]), marks_of(["mine", "fedprime", "fedavg-p", "head-only"])
    assert alone["fedavg-p"] == among["fedavg-p"]


def test_all_methods_can_be_told_apart_by_colour_and_by_form():
    marks = marks_of([*METHODS, "first of mine", "second of mine"])
    assert len({mark.color for mark in marks.values()}) == len(marks)
    assert len({mark.marker for mark in marks.values()}) == len(marks)


def test_where_colours_run_out_lines_and_forms_differ():
    marks = marks_of([f"label {number}" for number in range(40)])
    assert len({(mark.color, mark.marker, mark.dashes) for mark in marks.values()}) == 40


def test_colours_differ_also_in_brightness_or_for_a_red_green_blind_eye():
    # Machado et al. 2009, full deuteranopia: what of red and green is left to see.
    matrix = ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969))
    seen = [
        tuple(sum(factor * part for factor, part in zip(row, to_rgb(mark.color), strict=True)) for row in matrix)
        for mark in marks_of(list(METHODS)).values()
    ]
    distances = [math.dist(one, other) for number, one in enumerate(seen) for other in seen[:number]]
    assert min(distances) > 0.08


def test_files_are_the_same_each_time(tmp_path: Path):
    for folder in ("one", "two"):
        with house_style():
            save(simple_drawing(), tmp_path / folder)
    for name in ("plot.svg", "plot.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_plot_is_saved_in_every_format_large_enough_to_read(tmp_path: Path):
    with house_style():
        paths = save(simple_drawing(), tmp_path)
    assert [path.name for path in paths] == ["plot.svg", "plot.png", "plot.pdf"]
    with Image.open(tmp_path / "plot.png") as image:
        assert image.width == 1200
    assert "<dc:date>" not in (tmp_path / "plot.svg").read_text()
    assert b"CreationDate" not in (tmp_path / "plot.pdf").read_bytes()


def test_the_style_of_others_is_left_alone():
    before = dict(mpl.rcParams)
    with house_style():
        assert mpl.rcParams["font.size"] != before["font.size"]
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("number", range(1, 14))
def test_a_legend_is_no_wider_than_its_figure_however_many_labels_there_are(number: int):
    labels = [
        "closed-form",
        "head-only",
        "fedavg-p",
        "fedprime",
        *(f"{name} as in its paper" for name in ("pfpt", "us")),
    ]
    with house_style():
        figure = simple_drawing().figure
        add_legend(figure, marks_of([*labels, *map(str, range(7))][:number]), lines=True)
        figure.draw_without_rendering()
        legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.x1


def test_a_legend_lies_outside_the_panels():
    with house_style():
        figure = simple_drawing().figure
        add_legend(figure, marks_of([f"a rather long label {number}" for number in range(12)]), lines=True)
        figure.draw_without_rendering()
        legend = figure.legends[0].get_window_extent()
        panel = figure.axes[0].get_window_extent()
    assert not legend.overlaps(panel)
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.x1


def test_a_legend_shows_limits_as_they_are_drawn():
    limits, panel = LimitLines(), Figure().subplots()
    limits.draw(panel, {"site 0": [(0.0, 0.5), (1.0, 0.5)], "site 1": [(0.0, 0.9), (1.0, 0.9)]})
    drawn = [line.get_linestyle() for line in panel.lines]
    assert [entry.get_linestyle() for entry in limits.entries()] == drawn
    assert len(set(drawn)) == 2


def test_panels_are_divided_among_figures_in_their_order():
    assert pages([1, 2, 3], 4) == [("", [1, 2, 3])]
    assert pages([], 4) == []


def test_names_of_files_hold_nothing_strange():
    assert slug("../a b/c: 50 %") == "a-b-c-50"
    assert slug("???") == "-"
