"""The prompt map shows who met where, who moved, and what is chosen."""

import numpy as np
import pytest
from matplotlib.text import Text

from fedprime.report.finished_runs import PromptRecord
from fedprime.report.plots.canvas import Drawing
from fedprime.report.plots.prompts import draw_prompts
from made_runs import drawn, made_run, overlapping_ticks, shown_texts

NOBODY, STAYED, CAME = 0, 1, 2


def images(drawing: Drawing) -> list[np.ndarray]:
    return [np.asarray(panel.images[0].get_array()) for panel in drawing.figure.axes if panel.images]


def test_a_map_shows_whose_prompts_met_in_which_centre():
    # Prompt 1 of the third client goes to a centre of its own.
    record = PromptRecord(matches={"inter": ((0, 1), (0, 1), (0, 2))}, moved={"inter": (0.0, 1 / 6)})
    (drawing,) = drawn(draw_prompts, [made_run({"method": "pfpt"}, prompts=record)])
    assert drawing.name == "prompts-pfpt"
    (met,) = images(drawing)
    assert met.tolist() == [[STAYED, STAYED, NOBODY], [STAYED, STAYED, NOBODY], [STAYED, NOBODY, CAME]]


def test_the_share_that_moved_is_a_line_over_rounds():
    record = PromptRecord(matches={"inter": ((0,),)}, moved={"inter": (0.5, None, 0.25)})
    (drawing,) = drawn(draw_prompts, [made_run({"method": "pfpt"}, prompts=record)])
    (line,) = [line for panel in drawing.figure.axes for line in panel.lines if not panel.images]
    assert np.asarray(line.get_xdata()).tolist() == [1, 3]
    assert np.asarray(line.get_ydata()) == pytest.approx([50, 25])


def test_where_no_prompt_moved_there_is_no_line():
    record = PromptRecord(matches={"inter": ((0,), (0,))}, moved={"inter": (0.0, 0.0)})
    (drawing,) = drawn(draw_prompts, [made_run({"method": "pfpt"}, prompts=record)])
    assert [panel for panel in drawing.figure.axes if not panel.images] == []


def test_nothing_overlaps_where_there_are_few_clients_and_long_patterns():
    usage = {"inter": {"image+text+brand+price": (3, 1), "image+text+price": (1, 3)}}
    record = PromptRecord(matches={"inter": ((0, 1),) * 5}, moved={"inter": (0.5, 0.25)}, usage=usage)
    (drawing,) = drawn(draw_prompts, [made_run({"method": "pfpt"}, prompts=record)])
    drawing.figure.canvas.draw()
    first = drawing.figure.axes[0]
    legend = first.get_legend()
    assert legend is not None
    assert not legend.get_window_extent().overlaps(first.xaxis.label.get_window_extent())
    ends = [text.get_window_extent().x1 for text in drawing.figure.findobj(Text) if text.get_text().startswith("moved")]
    assert 0 < max(ends) <= drawing.figure.bbox.x1


def test_choices_are_shares_of_each_pattern():
    record = PromptRecord(usage={"intra": {"image": (3, 1), "image+text": (0, 0)}})
    (drawing,) = drawn(draw_prompts, [made_run({"method": "fed-intra"}, prompts=record)])
    (shares,) = images(drawing)
    assert shares.tolist() == [[75, 25], [0, 0]]
    assert {"image", "image+text", "of choices, %"} <= set(shown_texts(drawing.figure))


def test_there_is_a_map_for_each_method_that_has_a_record_in_the_first_combination():
    record = PromptRecord(usage={"intra": {"image": (3, 1)}})
    runs = [
        made_run({"rate": rate, "method": method}, prompts=record if method != "head-only" else None)
        for rate in ("0", "1")
        for method in ("fedprime", "head-only", "fed intra")
    ]
    drawings = drawn(draw_prompts, runs)
    assert [drawing.name for drawing in drawings] == ["prompts-fedprime", "prompts-fed-intra"]
    assert all("rate 0" in drawing.says for drawing in drawings)


def test_clients_with_pools_of_different_sizes_can_be_drawn():
    record = PromptRecord(matches={"inter": ((0, 1, 2), (0,))})
    (drawing,) = drawn(draw_prompts, [made_run({"method": "pfpt"}, prompts=record)])
    assert images(drawing)[0].tolist() == [[STAYED, STAYED, STAYED], [STAYED, NOBODY, NOBODY]]


def test_a_large_map_fits_without_overlap():
    rng = np.random.default_rng(0)
    matches = tuple(tuple(rng.permutation(40)[:20].tolist()) for _ in range(100))
    record = PromptRecord(
        matches={"inter": matches},
        moved={"inter": (0.1,) * 50},
        usage={pool: {"image": (1,) * 40, "text": (2,) * 40, "image+text": (3,) * 40} for pool in ("inter", "intra")},
    )
    (drawing,) = drawn(draw_prompts, [made_run({"method": "fedprime"}, prompts=record)])
    assert overlapping_ticks(drawing.figure) == []
    legend = drawing.figure.axes[0].get_legend()
    assert legend is not None
    boxes = [panel.get_window_extent() for panel in drawing.figure.axes]
    assert not any(legend.get_window_extent().overlaps(box) for box in boxes)


def test_without_a_record_there_is_no_map():
    assert drawn(draw_prompts, [made_run({"method": "fedprime"})]) == []


def test_a_prompt_that_was_left_unmatched_met_nobody():
    record = PromptRecord(matches={"inter": ((0, 1), (None, 1))})
    (drawing,) = drawn(draw_prompts, [made_run({"method": "pfpt"}, prompts=record)])
    assert images(drawing)[0].tolist() == [[STAYED, STAYED], [NOBODY, STAYED]]
