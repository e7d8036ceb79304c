"""Clients are shown one by one, sorted by what their samples have."""

from collections.abc import Sequence

import numpy as np
import pytest

from fedprime.methods import METHODS
from fedprime.report.finished_runs import FinishedRun, Scores
from fedprime.report.plots.canvas import Drawing
from fedprime.report.plots.clients import draw_clients
from made_runs import drawn, made_run, overlapping_ticks, shown_texts

#: Three clients: half and half, images alone, texts alone.
PATTERNS = {"image": (5, 10, 0), "text": (5, 0, 20)}


def scores(accuracy: float, limit: float | None = 0.9) -> Scores:
    return Scores(accuracy=accuracy, macro_f1=0.5, num_samples=20, bayes_accuracy=limit)


def run_of(label: str, clients: Sequence[Scores | None], seed: int = 0, **labels: str) -> FinishedRun:
    by_client = {str(client): entry for client, entry in enumerate(clients)}
    return made_run({**labels, "method": label}, seed, clients=by_client, patterns=PATTERNS)


def images(drawing: Drawing) -> list[np.ndarray]:
    return [np.ma.filled(panel.images[0].get_array(), np.nan) for panel in drawing.figure.findobj() if has_image(panel)]


def has_image(artist: object) -> bool:
    return bool(getattr(artist, "images", None))


def test_clients_are_sorted_by_their_patterns_and_shown_as_shares():
    (drawing,) = drawn(draw_clients, [run_of("a", [scores(0.5)] * 3)])
    shares, _ = images(drawing)
    assert shares == pytest.approx(np.array([[100, 0], [50, 50], [0, 100]]))


def test_patterns_that_no_sample_has_are_not_drawn():
    clients = {str(client): scores(0.5) for client in range(2)}
    runs = [
        made_run(
            {"method": "a", "rate": str(number)},
            clients=clients,
            patterns={"image": (5, 5), "both": both, "text": (0, 0)},
        )
        for number, both in enumerate([(0, 0), (0, 3)])
    ]
    (drawing,) = drawn(draw_clients, runs)
    assert {"image", "both"} <= set(texts := shown_texts(drawing.figure))
    assert "text" not in texts


def test_accuracies_are_differences_to_the_limit_in_the_same_order():
    (drawing,) = drawn(
        draw_clients, [run_of("a", [scores(0.5), scores(0.6), scores(0.95)]), run_of("b", [scores(0.9)] * 3)]
    )
    _, differences = images(drawing)
    assert differences == pytest.approx(np.array([[-30, 0], [-40, 0], [5, 0]]))
    assert {"a", "b", "points to Bayes limit", "seed 0"} <= set(shown_texts(drawing.figure))


def test_without_limits_accuracies_are_shown():
    (drawing,) = drawn(draw_clients, [run_of("a", [scores(0.5, None)] * 3)])
    assert images(drawing)[1] == pytest.approx(np.full((3, 1), 50))
    assert "accuracy, %" in shown_texts(drawing.figure)


def test_a_client_without_test_samples_stays_blank():
    (drawing,) = drawn(draw_clients, [run_of("a", [scores(0.5), None, scores(0.5)])])
    assert np.isnan(images(drawing)[1]).tolist() == [[True], [False], [False]]


def test_more_than_ten_clients_are_in_the_order_of_their_numbers():
    accuracies = [number / 20 for number in range(12)]
    clients = {str(client): scores(accuracy) for client, accuracy in enumerate(accuracies)}
    clients = dict(sorted(clients.items()))  # "10" before "2"
    patterns = {"image": tuple(range(12, 0, -1)), "text": tuple(range(12))}
    (drawing,) = drawn(draw_clients, [made_run({"method": "a"}, clients=clients, patterns=patterns)])
    assert images(drawing)[1][:, 0] == pytest.approx([100 * (accuracy - 0.9) for accuracy in accuracies])


def test_seeds_are_not_mixed():
    (drawing,) = drawn(draw_clients, [run_of("a", [scores(0.5)] * 3, seed=0), run_of("a", [scores(0.9)] * 3, seed=1)])
    assert images(drawing)[1] == pytest.approx(np.full((3, 1), -40))


def test_combinations_are_drawn_below_each_other():
    runs = [run_of("a", [scores(0.5)] * 3, rate=rate) for rate in ("0", "1")]
    (drawing,) = drawn(draw_clients, runs)
    assert len(images(drawing)) == 4
    assert {"rate 0, seed 0", "rate 1, seed 0"} <= set(shown_texts(drawing.figure))


def test_many_methods_have_names_that_do_not_overlap():
    runs = [run_of(method, [scores(0.5)] * 3) for method in METHODS]
    (drawing,) = drawn(draw_clients, runs)
    assert overlapping_ticks(drawing.figure) == []


def test_nothing_known_per_client_is_no_plot():
    assert drawn(draw_clients, [made_run({"method": "a"})]) == []


def test_all_panels_have_one_colour_scale():
    runs = [
        run_of("a", [scores(0.2), scores(0.3), scores(0.4)], rate="0"),
        run_of("a", [scores(0.6), scores(0.7), scores(0.8)], rate="1"),
    ]
    (drawing,) = drawn(draw_clients, runs)
    scales = [panel.images[0].get_clim() for panel in drawing.figure.findobj() if has_image(panel)]
    # The shares of patterns, and points to the limit of 90 %: from 20 - 90 to 80 - 90.
    assert scales == [(0, 100), pytest.approx((-70, -10))] * 2


def test_clients_without_test_samples_are_no_picture():
    assert drawn(draw_clients, [run_of("a", [None, None, None])]) == []
