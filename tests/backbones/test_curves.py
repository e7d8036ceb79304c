"""Curves: a linear model reads from them what it cannot read from a number itself."""

import numpy as np
import pytest

from fedprime.backbones.curves import NUM_CURVES, curves_of


def test_a_row_is_the_sum_of_its_cells():
    whole = curves_of({"price": 3.0, "brand": "acme"})
    np.testing.assert_allclose(whole, curves_of({"price": 3.0}) + curves_of({"brand": "acme"}))
    assert whole.shape == (NUM_CURVES,)


def test_a_linear_model_of_them_tells_what_lies_between_from_both_ends():
    numbers = np.linspace(1, 100, 200)
    is_between = (numbers > 20) & (numbers < 60)
    rows = np.array([[*curves_of({"age": number}), 1] for number in numbers])
    half = np.arange(200) % 2 == 0
    fitted = np.linalg.solve(rows[half].T @ rows[half] + 0.1 * np.eye(NUM_CURVES + 1), rows[half].T @ is_between[half])
    assert np.mean((rows[~half] @ fitted > 0.5) == is_between[~half]) > 0.95


def test_the_same_number_or_word_of_another_column_is_another():
    assert not np.allclose(curves_of({"age": 3}), curves_of({"size": 3}))
    assert not np.array_equal(curves_of({"maker": "acme"}), curves_of({"seller": "acme"}))


def test_yes_and_no_are_words_and_whole_numbers_are_numbers():
    assert np.array_equal(curves_of({"member": True}), curves_of({"member": "True"}))
    assert np.array_equal(curves_of({"size": 1}), curves_of({"size": np.float64(1)}))


def test_neighbours_are_near_each_other_and_far_numbers_are_not():
    here, near, far = (curves_of({"age": age}) for age in (40.0, 40.1, 60.0))
    assert np.linalg.norm(here - near) < 0.3 * np.linalg.norm(here - far)


def test_places_and_waves_are_the_same_in_every_process():
    word, number = curves_of({"brand": "acme"}), curves_of({"age": 40})
    assert {int(place): float(word[place]) for place in np.flatnonzero(word)} == {
        173: 0.5,
        182: -0.5,
        191: 0.5,
        217: 0.5,
    }
    assert number[[3, 9, 22]] == pytest.approx([-0.72453571, 0.01245844, 0.54342685])
