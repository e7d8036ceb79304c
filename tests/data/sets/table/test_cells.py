"""The cells of one modality: holes that are found without opening a file, and values."""

import os
from collections.abc import Mapping
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from fedprime.data.images import InputError
from fedprime.data.sets.table.cells import Cells
from fedprime.data.sets.table.columns import Form, ModalityColumns, column_forms
from fedprime.data.sets.table.files import open_parts
from fedprime.data.sets.table.frames import frame_part
from miniatures import write_csv, write_photo, write_sound


def cells_of(folder: Path, columns: ModalityColumns, rows: list[dict[str, object]]) -> Cells:
    parts = open_parts(str(write_csv(folder / "metadata.csv", rows)))
    return Cells(columns, parts, column_forms(parts))


def test_texts_are_joined_and_a_hole_is_a_row_without_any(tmp_path: Path):
    rows: list[dict[str, object]] = [
        {"title": "a  cake", "text": "sweet\nand round"},
        {"title": "", "text": "only this"},
        {"title": " ", "text": "NaN"},
    ]
    cells = cells_of(tmp_path, ModalityColumns("text", "text", ("title", "text")), rows)
    assert cells.there.tolist() == [True, True, False]
    assert cells.holes == {"empty": 1}
    assert [cells.read(row) for row in (0, 1)] == ["a cake sweet and round", "only this"]
    assert cells.named(0) == ""


def test_the_words_of_a_list_are_joined(tmp_path: Path):
    rows = datasets.Dataset.from_dict({"text": [["A dog  runs", "a brown dog"], []]})
    rows.save_to_disk(tmp_path)
    parts = open_parts(str(tmp_path))
    cells = Cells(ModalityColumns("text", "text", ("text",)), parts, column_forms(parts))
    assert cells.read(0) == "A dog runs a brown dog"


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        ({"a": "1 234", "b": "5"}, [1234, 5]),
        ({"a": "1,5", "b": "6,25"}, [1.5, 6.25]),
        ({"a": "12 %", "b": "$4"}, [12, 4]),
        ({"a": "[0.5, 2]"}, [0.5, 2]),
        ({"a": "[0.5 2.\n 1.]"}, [0.5, 2, 1]),
        ({"a": "1 234"}, [1, 234]),  # a cell of a single column is an array
    ],
)
def test_numbers_of_several_columns_are_read_as_those_of_tables_are(
    cells: dict[str, object], numbers: list[float], tmp_path: Path
):
    found = cells_of(tmp_path, ModalityColumns("readings", "numbers", tuple(cells)), [cells] * 12)
    value = found.read(0)
    assert isinstance(value, np.ndarray)
    assert value.tolist() == numbers


def test_the_holes_of_a_wide_table_are_in_their_rows(tmp_path: Path):
    names = [f"x{column}" for column in range(101)]
    rows: list[dict[str, object]] = [dict.fromkeys(names, "" if row in (99, 100, 205) else row) for row in range(206)]
    found = cells_of(tmp_path, ModalityColumns("facts", "table", tuple(names)), rows)
    assert np.flatnonzero(~found.there).tolist() == [99, 100, 205]


def test_a_word_among_numbers_of_several_columns_is_a_hole(tmp_path: Path):
    rows: list[dict[str, object]] = [{"a": "1,5", "b": "2"}] * 20 + [{"a": "much", "b": "2"}]
    found = cells_of(tmp_path, ModalityColumns("readings", "numbers", ("a", "b")), rows)
    assert found.holes == {"no number": 1}


def test_a_row_of_numbers_and_categories_has_its_filled_cells(tmp_path: Path):
    rows: list[dict[str, object]] = [
        {"price": "1.5", "size": "3", "colour": "red"},
        {"price": "nan", "size": "", "colour": "red"},
        {"price": "n/a", "size": "", "colour": ""},
        {"price": "", "size": "", "colour": " "},
        {"price": "-2e1", "size": "inf", "colour": "blue"},
        *({"price": "1", "size": "1", "colour": "red"} for _ in range(20)),
    ]
    cells = cells_of(tmp_path, ModalityColumns("facts", "table", ("price", "size", "colour")), rows)
    assert cells.there[:5].tolist() == [True, True, False, False, True]
    assert cells.holes == {"empty": 2}
    assert [cells.read(row) for row in (0, 1, 4)] == [
        {"price": 1.5, "size": 3, "colour": "red"},
        {"colour": "red"},
        {"price": -20.0, "colour": "blue"},
    ]


@pytest.mark.parametrize(
    ("style", "form", "given", "read"),
    [
        ("", "category", [12.0, None], ["12", None]),  # as pandas writes whole numbers beside a hole
        ("numbers", "number", [True, False], [1, 0]),
        ("dates (year, month, day), read as years since 2000", "number", [2024, 2001], [None, None]),
    ],
)
def test_cells_of_another_type_are_read_as_in_training(
    style: str, form: Form, given: list[object], read: list[object], caplog: pytest.LogCaptureFixture
):
    own = ModalityColumns("facts", "table", ("x", "word"))
    parts = [frame_part({"x": given, "word": ["a", "b"]})]
    cells = Cells(own, parts, {"x": form, "word": "category"}, {"x": style})
    found = [cells.read(row) for row in (0, 1)]
    filled = [{} if cell is None else {"x": cell} for cell in read]
    assert [repr(own) for own in found] == [repr({**own, "word": word}) for own, word in zip(filled, "ab", strict=True)]
    assert ("taken for empty" in caplog.text) == (read == [None, None])


def test_files_that_are_not_there_or_empty_are_holes(tmp_path: Path):
    write_photo(tmp_path / "photos" / "a.png", 0)
    (tmp_path / "photos" / "empty.png").touch()
    (tmp_path / "photos" / "text.png").write_text("no image")
    names = ["photos/a.png", "photos/empty.png", "photos/none.png", "", "elsewhere/b.png", "photos/text.png"]
    cells = cells_of(
        tmp_path, ModalityColumns("image", "image", ("file_name",)), [{"file_name": name} for name in names]
    )
    assert cells.there.tolist() == [True, False, False, False, False, True]
    assert cells.holes == {"file of 0 bytes": 1, "file not there": 2, "empty": 1}
    assert cells.named(0) == "photos/a.png"
    image = cells.read(0)
    assert isinstance(image, np.ndarray)
    assert image.shape == (32, 40, 3)
    with pytest.raises(InputError, match=r"cannot read .*photos/text\.png as an image"):
        cells.read(5)


def test_an_image_of_200_megapixels_is_refused_without_decoding_it(tmp_path: Path):
    # One colour: a few kilobytes of file for 600 megabytes of pixels.
    Image.new("1", (20_000, 10_000)).save(tmp_path / "huge.png")
    cells = cells_of(tmp_path, ModalityColumns("image", "image", ("file_name",)), [{"file_name": "huge.png"}])
    with pytest.raises(InputError, match=r"huge\.png as an image: Image size \(200000000 pixels\) exceeds limit"):
        cells.read(0)


def test_a_sound_has_samples_and_a_rate(tmp_path: Path):
    write_sound(tmp_path / "a.wav", 0)
    cells = cells_of(tmp_path, ModalityColumns("voice", "audio", ("sound",)), [{"sound": "a.wav"}])
    sound = cells.read(0)
    assert isinstance(sound, Mapping)
    assert sound["sampling_rate"] == 8000
    assert np.asarray(sound["array"]).shape == (800,)


def test_images_and_classes_inside_a_saved_data_set_are_read_by_row_over_all_parts(tmp_path: Path):
    def part(*greys: int | None) -> datasets.Dataset:
        images = [None if grey is None else Image.new("L", (4, 3), grey) for grey in greys]
        rows = [{"image": image, "kind": number % 2} for number, image in enumerate(images)]
        features = datasets.Features({"image": datasets.Image(), "kind": datasets.ClassLabel(names=["cake", "soup"])})
        return datasets.Dataset.from_list(rows, features=features)

    datasets.DatasetDict({"train": part(10, None), "test": part(30)}).save_to_disk(tmp_path / "saved")
    parts = open_parts(str(tmp_path / "saved"))
    images = Cells(ModalityColumns("image", "image", ("image",)), parts, column_forms(parts))
    assert images.there.tolist() == [True, False, True]
    assert images.holes == {"empty": 1}
    assert [int(np.asarray(images.read(row)).mean()) for row in (0, 2)] == [10, 30]
    kinds = Cells(ModalityColumns("kind", "table", ("kind",)), parts, column_forms(parts))
    assert [kinds.read(row) for row in range(3)] == [{"kind": "cake"}, {"kind": "soup"}, {"kind": "cake"}]


def test_what_tells_values_apart_is_the_value_itself_or_the_state_of_its_file(tmp_path: Path):
    write_photo(tmp_path / "a.png", 0)
    rows: list[dict[str, object]] = [
        {"file_name": "a.png", "text": "red"},
        {"file_name": "none.png", "text": "red"},
        {"file_name": "a.png", "text": "blue"},
    ]
    texts = cells_of(tmp_path, ModalityColumns("text", "text", ("text",)), rows)
    assert texts.identity(0) == texts.identity(1) != texts.identity(2)
    photos = cells_of(tmp_path, ModalityColumns("image", "image", ("file_name",)), rows)
    before = photos.identity(0)
    assert before == photos.identity(2) is not None
    assert photos.identity(1) is None
    write_photo(tmp_path / "a.png", 1)
    os.utime(tmp_path / "a.png", ns=(1, 1))
    assert photos.identity(0) != before


def test_bytes_in_a_table_are_told_apart_by_content(tmp_path: Path):
    for place, colour in (("a", 0), ("b", 0), ("c", 1)):
        write_photo(tmp_path / f"{place}.png", colour)
    photos = [{"path": None, "bytes": (tmp_path / f"{place}.png").read_bytes()} for place in "abc"]
    rows = datasets.Dataset.from_dict({"photo": photos, "label": [0, 1, 1]})
    rows.cast_column("photo", datasets.Image()).save_to_disk(tmp_path / "saved")
    parts = open_parts(str(tmp_path / "saved"))
    cells = Cells(ModalityColumns("image", "image", ("photo",)), parts, column_forms(parts))
    assert cells.identity(0) == cells.identity(1) != cells.identity(2)
