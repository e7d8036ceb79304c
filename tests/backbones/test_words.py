"""Which words a text has, by counting."""

import numpy as np
import pytest

from fedprime.backbones.words import NUM_WORDS, words_of


def test_texts_of_the_same_words_are_alike_whatever_their_order_and_case():
    assert np.array_equal(words_of("Red tea, green tea"), words_of("green TEA red tea"))
    assert words_of("Straße")[:, None].T.tolist() == words_of("STRASSE")[:, None].T.tolist()


def test_a_word_counts_one_and_each_time_more_a_little_more():
    once, twice = words_of("tea"), words_of("soup tea tea")
    [place], [other] = np.flatnonzero(once), np.flatnonzero(words_of("soup"))
    assert abs(once[place]) == 1
    assert twice[place] / twice[other] == pytest.approx(once[place] * words_of("soup")[other] * (1 + np.log(2)))
    assert np.linalg.norm(twice) == pytest.approx(1)


def test_words_are_told_apart():
    places = {int(np.flatnonzero(words_of(f"word{index}"))[0]) for index in range(200)}
    assert 140 < len(places) < 200  # of 200 random places among 512 some coincide: 165 are to be expected
    signs = [words_of(f"word{index}").sum() for index in range(200)]
    assert 60 < signs.count(1.0) < 140


def test_where_no_spaces_divide_words_each_letter_is_one():
    assert np.array_equal(words_of("红茶tea"), words_of("茶 tea 红"))
    assert np.count_nonzero(words_of("漢字かな")) == 4


def test_a_word_of_other_letters_than_latin_ones_counts_by_its_parts_too():
    for word in ("soup", "décor", "straße", "żółw", "phở"):
        assert np.count_nonzero(words_of(word)) == 1
    assert 7 < np.count_nonzero(words_of("сок")) <= 1 + 4 + 3 + 2  # itself, its parts with both ends; some share places
    bent, other = words_of("книга") @ words_of("книги"), words_of("книга") @ words_of("слово")
    assert bent > 0.4 > other


def test_accents_and_vowel_signs_belong_to_words():
    assert np.array_equal(words_of("caf\u00e9"), words_of("cafe\u0301"))
    parts = [words_of(part) for part in ("क", "त", "ब")]
    assert not any(part @ words_of("किताब") for part in parts)


def test_a_text_without_a_word_is_all_zeros():
    assert words_of("").shape == words_of(" !? ").shape == (NUM_WORDS,)
    assert not words_of(" !? ").any()


def test_the_place_of_a_word_is_the_same_in_every_process():
    [place] = np.flatnonzero(words_of("tea"))
    assert (int(place), float(words_of("tea")[place])) == (221, 1.0)
