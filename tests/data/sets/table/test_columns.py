"""Which column is what, stated and found out."""

from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from fedprime.data.sets.table.columns import choose_columns, column_forms, need_column
from fedprime.data.sets.table.files import open_parts
from fedprime.data.sets.table.parts import Part
from fedprime.data.sources import DataError
from miniatures import write_csv, write_table


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Part]:
    return open_parts(str(write_table(tmp_path_factory.mktemp("table"))))


def chosen(parts: list[Part], *stated: str, without: str = "label") -> list[str]:
    forms = {name: form for name, form in column_forms(parts).items() if name != without}
    return [str(own) for own in choose_columns(stated, parts, forms)]


def test_the_form_of_a_column_is_told_by_its_cells(parts: list[Part]):
    assert column_forms(parts) == {
        "file_name": "image",
        "audio": "audio",
        "title": "text",
        "text": "category",  # three texts, again and again
        "price": "number",
        "colour": "category",
        "label": "category",
        "split": "category",
        "client": "category",
    }


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "Unnamed: 0.1", "__index_level_0__", "rownames", "obs"])
def test_row_numbers_are_no_input_unless_they_are_named(name: str, tmp_path: Path):
    lines = [f"{row},{row % 3},{'ab'[row > 5]}" for row in range(12)]
    (tmp_path / "metadata.csv").write_text("\n".join([f"{name},size,label", *lines]) + "\n")
    parts = open_parts(str(tmp_path))
    assert chosen(parts, "facts:table=*") == ["facts:table=size"]
    assert chosen(parts, f"facts:table={name or '(index)'}+size") == [f"facts:table={name or '(index)'}+size"]


def test_where_all_that_is_left_numbers_rows_this_is_told(tmp_path: Path):
    rows = [{"id": str(3 * row), "label": "ab"[row > 5]} for row in range(12)]
    parts = open_parts(str(write_csv(tmp_path / "metadata.csv", rows)))
    said = (
        r"=\* means all other numbers and categories, and there are none beside what numbers or names the rows \(id\)"
    )
    for stated in (["facts:table=*"], []):  # nobody stated it, perhaps
        with pytest.raises(DataError, match=said):
            chosen(parts, *stated)


@pytest.mark.parametrize("ending", ["jfif", "JPE", "avif", "heic", "ppm", "jp2", "svg"])
def test_files_of_images_are_known_by_rare_endings(ending: str, tmp_path: Path):
    parts = open_parts(str(write_csv(tmp_path / "metadata.csv", [{"file_name": f"{n}.{ending}"} for n in range(9)])))
    assert chosen(parts) == ["image:image=file_name"]


def test_names_of_files_are_no_texts(tmp_path: Path):
    parts = open_parts(str(write_csv(tmp_path / "metadata.csv", [{"file_name": f"{n}.dcm"} for n in range(9)])))
    with pytest.raises(DataError, match="no column that looks like an image, a text or a sound, but file_name; name"):
        chosen(parts)


def test_the_form_of_a_column_is_told_by_its_type(tmp_path: Path):
    image = Image.fromarray(np.zeros((3, 4, 3), dtype=np.uint8))
    rows = datasets.Dataset.from_list([{"photo": image, "size": 1.5, "count": 2, "open": True, "kind": 0, "box": [1]}])
    rows = rows.cast_column("photo", datasets.Image()).cast_column("kind", datasets.ClassLabel(names=["a"]))
    rows.save_to_disk(tmp_path / "saved")
    assert column_forms(open_parts(str(tmp_path / "saved"))) == {
        "photo": "image",
        "size": "number",
        "count": "number",
        "open": "category",
        "kind": "category",
        "box": "numbers",
    }


def test_some_words_among_numbers_are_holes(tmp_path: Path):
    cells = ["1"] * 18 + ["n/a", "2e3"]
    parts = open_parts(str(write_csv(tmp_path / "metadata.csv", [{"price": cell} for cell in cells])))
    assert column_forms(parts) == {"price": "number"}


def test_nothing_stated_takes_columns_with_usual_names(parts: list[Part]):
    assert chosen(parts) == ["image:image=file_name", "text:text=text", "audio:audio=audio"]


def test_a_star_means_all_numbers_and_categories_that_nothing_else_is_stated_of(parts: list[Part]):
    forms = {name: form for name, form in column_forms(parts).items() if name != "label"}
    found = choose_columns(["text=text", "facts=*"], parts, forms, apart=("split", "client"))
    assert [str(own) for own in found] == ["text:text=text", "facts:table=price+colour"]
    with pytest.raises(DataError, match=r"more=\* means all other numbers and categories, and there are none; name"):
        choose_columns(["facts=price+colour+text", "more=*"], parts, forms, apart=("split", "client"))


def test_the_only_column_of_texts_needs_no_usual_name(tmp_path: Path):
    rows = [{"headline": f"news of day {day}", "label": str(day % 2)} for day in range(8)]
    assert chosen(open_parts(str(write_csv(tmp_path / "metadata.csv", rows)))) == ["text:text=headline"]


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("image=file_name", "image:image=file_name"),
        ("text=title+text", "text:text=title+text"),
        ("photo=file_name", "photo:image=file_name"),
        ("voice=audio", "voice:audio=audio"),
        ("facts=price+colour", "facts:table=price+colour"),
        ("story=title", "story:text=title"),
        ("mixed=title+price", "mixed:text=title+price"),
        ("colour:text=colour", "colour:text=colour"),
        ("table=title", "table:table=title"),
    ],
)
def test_the_kind_of_a_modality_follows_from_its_name_or_columns_unless_stated(
    stated: str, expected: str, parts: list[Part]
):
    assert chosen(parts, stated) == [expected]


@pytest.mark.parametrize("written", ["{0} {1}.5", "[{0}, {1}.5]", "[{0} {1}.5]", "({0}, nan)"])
def test_rows_of_numbers_are_no_texts(written: str, tmp_path: Path):
    rows = [{"embedding": written.format(day, 7 - day), "note": f"news of day {day}"} for day in range(8)]
    parts = open_parts(str(write_csv(tmp_path / "metadata.csv", rows)))
    assert chosen(parts) == ["text:text=note"]
    assert chosen(parts, "vector=embedding") == ["vector:numbers=embedding"]


def test_rows_of_numbers_alone_have_to_be_named(tmp_path: Path):
    parts = open_parts(str(write_csv(tmp_path / "metadata.csv", [{"embedding": f"{day} 1.5"} for day in range(8)])))
    with pytest.raises(DataError, match=r"but embedding; name those to use in data\.columns, as vector=embedding"):
        chosen(parts)


@pytest.mark.parametrize("name", ["age+sex", "age\n(years)", "a=b", "a:b", "0"])
def test_a_column_with_an_odd_name_can_be_stated(name: str, tmp_path: Path):
    parts = open_parts(str(write_csv(tmp_path / "metadata.csv", [{name: "40", "label": "a"}])))
    assert chosen(parts, f"who={name}") == [f"who:table={name}"]


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        (("image=filename",), r"has no column 'filename' \(data.columns, image=filename\); .*did you mean file_name\?"),
        (("image",), r"states 'image'; expected MODALITY=COLUMN, as image=file_name"),
        (("1st=title",), "states '1st=title'; expected MODALITY=COLUMN"),
        (("photo:picture=file_name",), "'picture' is not one of the kinds image, text, audio, table"),
        (("image=file_name+title",), "images are in one column; make a modality of each"),
        (("image=price",), r"'price' has no images \(number\)"),
        (("audio=file_name",), r"'file_name' has no audios \(image\)"),
        (("text=title", "text=text"), r"states 'text' twice; join several columns as text=title\+text"),
        (("text=label",), "label is the label; an input cannot be the answer"),
    ],
)
def test_what_cannot_be_is_told(stated: tuple[str, ...], problem: str, parts: list[Part]):
    with pytest.raises(DataError, match=problem):
        chosen(parts, *stated)


def test_several_columns_of_images_have_to_be_named(tmp_path: Path):
    parts = open_parts(str(write_csv(tmp_path / "metadata.csv", [{"front": "a.png", "back": "b.png"}])))
    with pytest.raises(DataError, match="has several columns of images, front, back; name those to use in"):
        chosen(parts)


def test_numbers_and_categories_alone_are_a_table(tmp_path: Path):
    rows = [{"id": str(100 + n * n), "price": str(n % 7), "size": "ab"[n % 2], "shop": "x"} for n in range(20)]
    parts = open_parts(str(write_csv(tmp_path / "metadata.csv", rows)))
    found = choose_columns([], parts, column_forms(parts), apart=["shop"])
    assert list(map(str, found)) == ["table:table=price+size"]


@pytest.mark.parametrize("other", [{"file_name": "{}.dcm"}, {"first": "a word of {}", "second": "another {}"}])
def test_numbers_beside_what_may_be_meant_have_to_be_named(other: dict[str, str], tmp_path: Path):
    rows = [{"price": str(n % 7)} | {name: word.format(n) for name, word in other.items()} for n in range(20)]
    parts = open_parts(str(write_csv(tmp_path / "metadata.csv", rows)))
    with pytest.raises(DataError, match=r"no column that looks like an image.*as table=\*, which means all numbers"):
        chosen(parts)


def test_many_words_that_come_ten_times_each_are_categories(tmp_path: Path):
    rows = [{"state": f"state {n % 60}", "note": f"note {n % 200}"} for n in range(600)]
    parts = open_parts(str(write_csv(tmp_path / "metadata.csv", rows)))
    assert column_forms(parts) == {"state": "category", "note": "text"}


def test_a_column_that_is_needed_is_missed_with_its_nearest_name(parts: list[Part]):
    need_column("split", parts, "data.split")
    with pytest.raises(DataError, match=r"has no column 'spilt' \(data.split\); .*; did you mean split\?$"):
        need_column("spilt", parts, "data.split")
