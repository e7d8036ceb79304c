"""What generated samples look and read like."""

import itertools

import numpy as np
import pytest

from fedprime.data.sets.scenes import CELL_SIZE, FILLERS, INGREDIENTS, Style, draw_image, draw_style, write_title
from fedprime.reproducibility.seeding import stream


@pytest.fixture
def style() -> Style:
    return draw_style(stream(0, "style"))


def changed_cells(one: np.ndarray, other: np.ndarray) -> int:
    """In how many cells two pictures differ."""
    side = len(one) // CELL_SIZE
    difference = (one != other).any(axis=2).reshape(side, CELL_SIZE, side, CELL_SIZE)
    return int(difference.any(axis=(1, 3)).sum())


def test_every_ingredient_has_names_of_its_own() -> None:
    words = [*itertools.chain(*INGREDIENTS), *FILLERS]
    assert len(set(words)) == len(words)


def test_a_picture_shows_its_glyphs_on_a_background_and_nothing_else(style: Style) -> None:
    background = draw_image([], style, stream(0, "picture"))
    assert changed_cells(draw_image([3, 3, 30], style, stream(0, "picture")), background) == 3


def test_a_picture_has_room_for_sixteen_glyphs(style: Style) -> None:
    background = draw_image([], style, stream(0, "picture"))
    assert changed_cells(draw_image(range(16), style, stream(0, "picture")), background) == 16


def test_a_background_has_the_tint_of_its_style(style: Style) -> None:
    background = np.mean([draw_image([], style, stream(0, "picture", index)) for index in range(50)], axis=(0, 1, 2))
    assert np.abs(background - style.tint).max() < 3


def test_a_title_names_ingredients_in_the_order_given(style: Style) -> None:
    words = write_title([4, 9, 4], style, stream(0, "title")).split()
    named = [next((i for i, names in enumerate(INGREDIENTS) if word in names), None) for word in words]
    assert [ingredient for ingredient in named if ingredient is not None] == [4, 9, 4]


def test_a_title_without_ingredients_is_at_most_one_filler(style: Style) -> None:
    titles = {write_title([], style, stream(0, "title", index)) for index in range(50)}
    assert titles <= {"", *FILLERS}


@pytest.mark.parametrize(("second_name", "expected"), [(0.0, 0), (1.0, 1)])
def test_a_style_prefers_one_of_two_names(style: Style, second_name: float, expected: int) -> None:
    choosy = Style(style.tint, style.noise, second_name, style.fillers)
    for index in range(20):
        assert INGREDIENTS[7][expected] in write_title([7], choosy, stream(0, "title", index)).split()


def test_the_same_stream_draws_the_same(style: Style) -> None:
    for _ in range(2):
        pictures = [draw_image([1, 2], style, stream(5, "picture")) for _ in range(2)]
        assert np.array_equal(*pictures)
    assert write_title([1, 2], style, stream(5, "t")) == write_title([1, 2], style, stream(5, "t"))
