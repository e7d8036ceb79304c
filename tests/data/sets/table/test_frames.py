"""Frames as tables: whatever holds the cells, a table reads the same of them."""

import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image

from fedprime.data.images import InputError, read_image
from fedprime.data.sets.table.columns import column_forms
from fedprime.data.sets.table.frames import as_samples, frame_columns, frame_part, read_sample
from fedprime.data.sets.table.options import TableOptions
from fedprime.data.sets.table.table import Table, table_of
from fedprime.data.sounds import read_sound
from fedprime.data.sources import DataError, ValueKind
from miniatures import write_photo, write_sound

OPTIONS = TableOptions(("image=photo", "text=title+note", "facts:table=price+colour", "readings:numbers=wave"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    write_photo(tmp_path / "0.jpg", 1)
    return tmp_path / "0.jpg"


def equal(found: Any, expected: Any) -> bool:
    return np.array_equal(found, expected)


def cells(photo: object) -> dict[str, list[Any]]:
    """Twelve rows of three dishes, two of which differ in their holes."""
    return {
        "photo": [photo, None, photo] * 4,
        "title": ["pie", "beef", float("nan")] * 4,
        "note": ["warm", None, " "] * 4,
        "price": [1.5, float("nan"), 3] * 4,
        "colour": ["red", "green", None] * 4,
        "wave": [np.array([0.1, 2.5], dtype=np.float32), None, [1, -3.0]] * 4,
        "label": ["b", "a", "b"] * 4,
        "client": [7, 8, 7] * 4,
    }


def read(frame: object, folder: Path = Path()) -> Table:
    return table_of([frame_part(frame, folder)], "the frame", OPTIONS)


def assert_read(table: Table, photo: Path) -> None:
    assert table.label_names == ("a", "b")
    assert table.site_names == ("7", "8")
    assert table.there[:3].tolist() == [[True] * 4, [False, True, True, False], [True, False, True, True]]
    first, last = (table.read(index, table.modalities) for index in (0, 2))
    assert equal(first.pop("image"), read_image(photo))
    assert equal(first.pop("readings"), np.array([0.1, 2.5], dtype=np.float32))
    assert first == {"text": "pie warm", "facts": {"price": 1.5, "colour": "red"}}
    assert last["facts"] == {"price": 3}
    assert equal(last["readings"], np.array([1, -3], dtype=np.float32))


@pytest.mark.parametrize("form", ["columns", "rows", "pandas", "tuples"])
def test_whatever_holds_the_cells_is_read_alike(form: str, photo: Path):
    columns = cells(photo)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    frames = {"columns": columns, "rows": rows, "pandas": pd.DataFrame(columns), "tuples": tuple(rows)}
    assert_read(read(frames[form]), photo)


def test_photos_are_paths_bytes_images_or_arrays_even_in_one_column(photo: Path):
    pixels = np.asarray(Image.open(photo))
    columns = cells(None)
    stored = {"bytes": photo.read_bytes(), "path": "a.jpg"}
    columns["photo"] = [str(photo), None, Image.open(photo), photo, None, pixels, photo.read_bytes(), None, photo.name]
    columns["photo"] += [{"bytes": None, "path": str(photo)}, None, stored]
    table = read(columns, photo.parent)
    assert_read(table, photo)
    assert [table.there[index, 0] for index in range(12)] == [True, False, True] * 4
    for index in (2, 3, 5, 6, 8, 9, 11):
        assert equal(table.read(index, ["image"])["image"], read_image(photo))


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (Image.new("L", (3, 2), 7), (7, 7, 7)),
        (Image.new("RGBA", (3, 2), (9, 9, 9, 0)), (255, 255, 255)),
        (Image.new("I;16", (3, 2), 257 * 5), (5, 5, 5)),
        (np.full((2, 3), 7, dtype=np.uint8), (7, 7, 7)),
    ],
    ids=["grey", "transparent", "16 bits", "array"],
)
def test_images_of_other_modes_are_shown_as_a_file_of_them_would_be(made: object, shown: tuple[int, ...]):
    (part,) = [frame_part({"photo": [made]})]
    (cell,) = part.column("photo").to_pylist()
    assert equal(read_image(cell["bytes"]), np.full((2, 3, 3), shown))


def test_pixels_of_any_library_and_bytes_of_any_kind_are_a_photo(photo: Path):
    pixels, part = read_image(photo), frame_part({"x": [bytearray(photo.read_bytes()), memoryview(photo.read_bytes())]})
    assert [read_image(cell["bytes"]).tolist() for cell in part.rows["x"].to_pylist()] == [pixels.tolist()] * 2
    shown = [torch.from_numpy(pixels.copy()), pixels[..., :1]]
    red, gray = (read_image(cell["bytes"]) for cell in frame_part({"x": shown}).rows["x"].to_pylist())
    assert equal(red, pixels)
    assert equal(gray, np.repeat(pixels[..., :1], 3, axis=2))
    assert frame_part({"x": [torch.tensor(2), torch.tensor(3)]}).rows["x"].to_pylist() == [2, 3]
    with pytest.raises(InputError, match=r"^row 1, column x: Tensor cannot be read as an array: .*requires grad"):
        frame_part({"x": [torch.ones(2, requires_grad=True)]})


def test_a_sound_at_hand_is_kept_to_the_bit(tmp_path: Path):
    write_sound(tmp_path / "a.wav", 0)
    sound = read_sound(tmp_path / "a.wav")
    part = frame_part({"voice": [sound, None]})
    assert column_forms([part]) == {"voice": "audio"}
    again = read_sound(part.column("voice").to_pylist()[0]["bytes"])
    assert again["sampling_rate"] == sound["sampling_rate"]
    assert equal(again["array"], sound["array"])


def test_cells_have_the_form_that_a_file_of_them_would_have():
    part = frame_part(
        {
            "count": [1, np.int64(2), None],
            "price": [1, 2.5, np.float32(3)],
            "mixed": [1, "two", Decimal("3.5")],
            "given": [True, False, None],
            "tags": [["a", "b"], "c", []],
            "facts": [{"price": 1.5, "age": float("nan")}, None, None],
            "none": [None, pd.NA, pd.NaT],
        }
    )
    columns = {name: part.column(name).to_pylist() for name in part.rows.column_names}
    assert columns == {
        "count": [1, 2, None],
        "price": [1.0, 2.5, 3.0],
        "mixed": ["1", "two", "3.5"],
        "given": [True, False, None],
        "tags": [["a", "b"], ["c"], None],
        "facts": ['{"price": 1.5}', None, None],
        "none": [None, None, None],
    }
    forms = column_forms([part])
    assert (forms["count"], forms["given"], forms["none"]) == ("number", "category", "text")


def test_a_frame_of_arrow_is_read():
    assert frame_columns(pa.table({"a": [1, None]})) == {"a": [1, None]}


class LazyFrame:
    """What polars calls a plan of a frame."""

    columns = ("a",)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("abc", "found str; expected a data frame"),
        (LazyFrame(), "found a LazyFrame, which holds no rows yet; call .collect() first"),
        ([{"a": 1}, 2], "row 2 is of int; expected a mapping"),
        ({"a": "abc"}, "column a is of str; expected a list of cells"),
        ({"a": [1], "b": []}, "differ in length: {'a': 1, 'b': 0}"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "has the column 'a' twice"),
    ],
)
def test_what_is_no_frame_is_told(frame: object, said: str):
    with pytest.raises(DataError) as told:
        frame_columns(frame)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ([None, np.zeros((2, 2))], "row 2, column x: found an array of float64 and shape (2, 2); expected an image"),
        ([b"", 3.5], "row 2, column x: 3.5 is no file, as others of the column are"),
        ([{"array": [], "sampling_rate": 8000}], "row 1, column x: no sound"),
        ([Image.new("F", (2, 2))], "row 1, column x: its numbers have 32 bits"),
        ([np.zeros((2, 2))], "(255 * array).round().astype('uint8') makes it of 0 to 1"),
        ([[1, None]], "row 1, column x: [1, None] is no array of numbers"),
        ([[list(range(9))]], "row 1, column x: [[0, 1, 2, 3, 4, 5, ...]] is no array of numbers"),
        ([object()], "row 1, column x: found object; expected a path, an image, an array, text or a number"),
    ],
)
def test_a_cell_that_cannot_be_used_is_told_with_its_row(column: list[object], said: str):
    with pytest.raises(InputError) as told:
        frame_part({"x": column})
    assert said in str(told.value)


KINDS: Mapping[str, ValueKind] = {"image": "image", "note": "text", "voice": "audio"}


def test_a_sample_is_a_file_an_image_a_mapping_or_a_row_of_a_frame():
    image = Image.new("RGB", (2, 2))
    assert as_samples("a.png", KINDS) == [{"image": "a.png"}]
    assert as_samples(Path("a.wav"), KINDS) == [{"voice": Path("a.wav")}]
    assert as_samples([image, {"note": "x"}], KINDS) == [{"image": image}, {"note": "x"}]
    assert as_samples(pd.DataFrame({"note": ["x", "y"], "other": [1, 2]}), KINDS) == [{"note": "x"}, {"note": "y"}]
    with pytest.raises(InputError, match="the model reads note, none of which is of the kind image"):
        as_samples("a.png", {"note": "text"})
    with pytest.raises(
        DataError,
        match="no column called as what the model reads: image, note, voice; rename columns, or let FederatedPredictor",
    ):
        as_samples(pd.DataFrame({"other": [1]}), KINDS)


def test_what_cannot_be_read_of_a_sample_is_told_with_its_row(photo: Path):
    assert equal(read_sample({"image": str(photo)}, KINDS, "row 1")["image"], read_image(photo))
    for value, said in (("none.png", "there is no image none.png"), (3.5, "found float; expected an image")):
        with pytest.raises(InputError, match=f"row 5: {said}"):
            read_sample({"image": value}, KINDS, "row 5")


def test_the_words_of_a_row_are_read_as_in_training():
    kinds: dict[str, ValueKind] = {"facts": "table"}
    row = {"facts": {"price": "1,5", "size": 2, "colour": "red"}}
    forms = {"price": "number", "size": "number", "colour": "category"}
    about = {"forms": forms, "styles": {"price": "numbers with decimal comma"}}
    assert read_sample(row, kinds, "row 1", about) == {"facts": {"price": 1.5, "size": 2, "colour": "red"}}
    assert read_sample({"facts": {"size": "2.5"}}, kinds, "row 1", about) == {"facts": {"size": 2.5}}
    with pytest.raises(InputError, match="row 3: price is 'dear'; expected numbers with decimal comma, as in training"):
        read_sample({"facts": {"price": "dear"}}, kinds, "row 3", about)
    with pytest.raises(InputError, match="row 3: size is 'large'; expected numbers, as in training"):
        read_sample({"facts": {"size": "large"}}, kinds, "row 3", about)
    with pytest.raises(InputError, match=r"prize is no column that the model was trained on: .*did you mean price\?"):
        read_sample({"facts": {"prize": 3}}, kinds, "row 3", about)
    assert read_sample({"facts": {"any": 3}}, kinds, "row 3", {"forms": {"facts": "text"}}) == {"facts": {"any": 3}}


def test_half_of_a_character_costs_that_character():
    rows = frame_part({"text": ["warm \ud83d\ude00", "cold \ud800"], "label": ["a", "b"]}).rows
    assert rows["text"].to_pylist() == ["warm \U0001f600", "cold \ufffd"]


def test_a_frame_with_the_columns_of_training_is_read_by_modality():
    frame = pd.DataFrame(
        {
            "photo": ["a.png", None],
            "title": ["soup", "tea"],
            "body": ["hot", float("nan")],
            "price": [1.0, float("nan")],
            "ward": ["A", ""],
            "x": [1.0, 2.0],
            "y": [3.0, float("nan")],
        }
    )
    kinds: dict[str, ValueKind] = {"image": "image", "text": "text", "facts": "table", "place": "numbers"}
    trained = ("image:image=photo", "text:text=title+body", "facts:table=price+ward", "place:numbers=x+y")
    first, second = as_samples(frame, kinds, trained)
    assert list(first.pop("place")) == [1.0, 3.0]  # pyright: ignore
    assert first == {"image": "a.png", "text": "soup hot", "facts": {"price": 1.0, "ward": "A"}}
    assert second == {"image": None, "text": "tea", "facts": None, "place": None}
    first, _ = as_samples(frame.drop(columns=["body", "ward", "y"]), kinds, trained)  # as if these were empty
    assert first == {"image": "a.png", "text": "soup", "facts": {"price": 1.0}, "place": None}
    with pytest.raises(DataError, match="no column called as what the model reads: image"):
        as_samples(frame[["x"]], {"image": "image"}, trained[:1])


def test_a_whole_number_that_is_too_large_is_infinite_and_so_a_hole():
    part = frame_part({"n": [10**400, -(10**5000), 2**70, 1.5]}, Path())
    assert part.column("n").to_pylist() == [math.inf, -math.inf, 2.0**70, 1.5]
    with pytest.raises(InputError, match=r"row 1, column n: .* is no array of numbers"):
        frame_part({"n": [[10**400, 1]]}, Path())
