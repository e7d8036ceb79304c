"""Shapes and colours of pictures: by hand where an edge lies straight, and what they shall not notice."""

import numpy as np
import pytest

from fedprime.backbones.shapes import NUM_COLOURS, NUM_SHAPES, look_of, shapes_of
from fedprime.reproducibility.seeding import stream

#: Dark on the left, bright on the right; the edge lies in the middle, between the fourth and the fifth cell of a row.
UPRIGHT = np.repeat(np.array([[0.0] * 32 + [1.0] * 32]), 64, axis=0)


def cells_of(picture: np.ndarray) -> np.ndarray:
    return shapes_of(picture).reshape(9, 8, 8)  # (angle, row, column)


def test_an_upright_edge_by_hand() -> None:
    found = cells_of(UPRIGHT)
    assert not found[1:].any()
    assert np.flatnonzero(found[0].any(axis=0)).tolist() == [3, 4]
    # Both pixels beside the edge have the slope 1/2, of which each of the two cells gets half; 8 rows count for a cell,
    # so it holds 4. It is divided by the norm of the 2 x 2 cells at each of its corners: towards the middle all four
    # hold 4, which makes 8; away from it two do, which makes the root of 32. The mean is taken.
    expected = (4 / (8 + 1e-3) + 4 / (32**0.5 + 1e-3)) / 2
    np.testing.assert_allclose(found[0, 2:6, 3:5], expected, rtol=1e-9)


def test_an_edge_between_two_angles_counts_for_both() -> None:
    found = cells_of(UPRIGHT.T)  # a right angle is four and a half of nine steps
    assert np.flatnonzero(found.any(axis=(1, 2))).tolist() == [4, 5]
    np.testing.assert_allclose(found[4], found[5], atol=1e-12)


def test_bright_on_dark_is_dark_on_bright_and_contrast_hardly_matters() -> None:
    picture = stream(0, "picture").random((64, 64))
    found = shapes_of(picture)
    assert found.shape == (NUM_SHAPES,)
    np.testing.assert_allclose(shapes_of(1 - picture), found, atol=1e-5)
    np.testing.assert_allclose(shapes_of(0.3 * picture + 0.5), found, atol=1e-2)


def test_a_picture_of_nothing_has_no_shapes() -> None:
    assert not shapes_of(np.full((5, 7), 0.4)).any()


def test_colours_by_hand_behind_the_shapes() -> None:
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    image[:16] = (255, 0, 70)  # levels 3, 0 and 1 of 4
    found = look_of(image)
    assert found.shape == (NUM_SHAPES + NUM_COLOURS,)
    colours = found[NUM_SHAPES:].reshape(4, 4, 4)
    assert colours[3, 0, 1] == 0.5  # the root of a quarter
    assert colours[0, 0, 0] == pytest.approx(0.75**0.5)
    assert (colours > 0).sum() == 2


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 400, 3), (700, 500, 3)])
def test_an_image_of_any_shape_has_finite_ones(shape: tuple[int, int, int]) -> None:
    found = look_of(stream(0, "image").integers(0, 256, size=shape, dtype=np.uint8))
    assert found.shape == (NUM_SHAPES + NUM_COLOURS,)
    assert np.isfinite(found).all()
