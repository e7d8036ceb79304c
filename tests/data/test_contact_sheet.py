"""A contact sheet shows every sample's colour where it belongs, and grey where the image is missing."""

from pathlib import Path

import numpy as np
from PIL import Image

from fedprime.data.contact_sheet import draw_contact_sheet
from fedprime.data.sets.food101 import open_food101
from fedprime.data.sets.pairs import Pair, open_pairs
from fedprime.data.sets.table.options import TableOptions
from fedprime.data.sets.table.table import open_table
from miniatures import write_food101, write_table


def centre(sheet: Image.Image, row: int, column: int) -> np.ndarray:
    """The mean colour around the middle of a sample's image, which is 180 pixels wide, with 8 between and 66 below."""
    left, top = 8 + 188 * column + 85, 8 + 254 * row + 85
    return np.asarray(sheet.crop((left, top, left + 10, top + 10))).mean(axis=(0, 1))


def test_images_stand_in_rows_and_a_missing_one_is_grey(tmp_path: Path):
    source = open_food101(write_food101(tmp_path / "data"), 3)
    names = [source.name_of(index) for index in range(len(source))]
    apple, sushi = (names.index(f"images/train/{dish}/{dish}_0.jpg") for dish in ("apple_pie", "sushi"))
    source.there[apple + 1, 0] = False
    draw_contact_sheet(source, [apple, sushi, apple + 1], tmp_path / "sheet.png", columns=2)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (2 * 188 + 8, 2 * 254 + 8)
        assert abs(centre(sheet, 0, 0) - [200, 60, 40]).max() < 40
        assert abs(centre(sheet, 0, 1) - [50, 80, 200]).max() < 40
        corner = np.asarray(sheet.crop((12, 8 + 254 + 4, 20, 8 + 254 + 12))).mean(axis=(0, 1))
        assert corner.tolist() == [0xE4] * 3


def test_several_labels_and_texts_in_any_script_are_drawn(tmp_path: Path):
    texts = ("日本語のあらすじ", "a story", "")
    pairs = [Pair("train", text, "none.png", text, ("a", "b")) for text in texts]
    source = open_pairs("films", tmp_path, pairs, ("a", "b"), several_labels=True)
    draw_contact_sheet(source, range(3), tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_letters_with_marks_are_drawn_and_those_of_no_font_are_question_marks(tmp_path: Path):
    def drawn(label: str) -> bytes:
        source = open_pairs("films", tmp_path, [Pair("train", "a", "none.png", "", (label,))], (label,))
        draw_contact_sheet(source, [0], tmp_path / "sheet.png")
        return (tmp_path / "sheet.png").read_bytes()

    assert len({drawn(letter) for letter in ("é", "è", "e", "ő", "ж", "λ", "?")}) == 7  # boxes would all be alike
    assert drawn("日") == drawn("?")


def test_a_sound_is_drawn_as_a_wave_where_there_is_no_image(tmp_path: Path):
    options = TableOptions(columns=("voice=audio", "facts=price+colour"))
    source = open_table(str(write_table(tmp_path / "data")), options)
    source.there[1, 0] = False
    draw_contact_sheet(source, [0, 1], tmp_path / "sheet.png", columns=2)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.getpixel((12, 12)) == (0xEE, 0xF2, 0xF7)  # the tone swings half as far as there is space
        assert (0x30, 0x60, 0xA0) in {sheet.getpixel((8 + 90, row)) for row in range(8, 188)}
        corner = np.asarray(sheet.crop((8 + 188 + 4, 12, 8 + 188 + 12, 20))).mean(axis=(0, 1))
        assert corner.tolist() == [0xE4] * 3
