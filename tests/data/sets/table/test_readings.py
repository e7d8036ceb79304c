"""How each column is read, in words."""

from io import BytesIO
from pathlib import Path

import datasets
import pytest
from PIL import Image

from fedprime.data.sets.table.options import TableOptions
from fedprime.data.sets.table.table import Table, open_table

TABLE = """\
text;preis;tag;farbe;label
ein langer Text;3,50;2024-01-02;rot;a
noch ein Text;1.234,5;2024-01-03;blau;b
""" + "".join(f"Text {row};{row},5;2024-02-03;rot;a\n" for row in range(18))


def table_of(folder: Path, *cells: str) -> Table:
    """Writes a column of these cells, again and again, and opens it as a row of numbers and categories."""
    lines = [f'text {row};"{cells[row % len(cells)]}";{"ab"[row % 2]}' for row in range(12 * len(cells))]
    (folder / "metadata.csv").write_text("\n".join(["text;x;label", *lines]) + "\n", encoding="utf-8")
    return open_table(str(folder), TableOptions(columns=("facts:table=x",)))


def test_each_column_is_told_with_examples_and_what_does_not_fit(tmp_path: Path):
    (tmp_path / "metadata.csv").write_text(TABLE + "Text;n/a;;rot;b\nText;teuer;;rot;b\n")
    readings = open_table(str(tmp_path)).readings
    assert readings["preis"] == (
        "numbers with decimal comma (3,50, 1.234,5, 0,5); 1 taken for empty: n/a; "
        "1 taken for empty, being no number: teuer"
    )
    assert readings["tag"] == (
        "dates (year, month, day), read as years since 2000 (2024-01-02, 2024-01-03, 2024-02-03); 2 empty"
    )
    assert readings["farbe"] == "2 categories (rot, blau)"
    assert readings["text"].startswith("texts (ein langer Text, ")


@pytest.mark.parametrize(
    ("cells", "reading", "first"),
    [
        (("12%", "3.5 %"), "numbers, in %", 12),
        (("3,50 €", "1.234,50 €"), "numbers with decimal comma, in €", 3.5),
        (("$4.50", "-$3"), "numbers, in $", 4.5),
        (("3.5 kg", "4kg"), "numbers, in kg", 3.5),
        (("(3.50)", "4"), "numbers", -3.5),
        (("\u22123.5", "4"), "numbers", -3.5),
        (("True", "yes", "0", "nein"), "yes or no", "yes"),
        (("True", "False"), "2 categories", "True"),
        (("+", "-"), "2 categories", "+"),
        (("12:30", "23:59:59"), "times of day, read as hours", 12.5),
        (("1_000", "2_000"), "2 categories", "1_000"),
        (("€3", "$4"), "2 categories", "€3"),
        (("5", "7", "red"), "3 categories, though 24 of 36 are numbers: write all in one way", "5"),
        (
            ("13/1/2024", "1/13/2024", "red"),
            "3 categories, though 24 of 36 are dates: write all in one way",
            "13/1/2024",
        ),
    ],
)
def test_a_column_is_read_as_a_careful_person_would(
    cells: tuple[str, ...], reading: str, first: object, tmp_path: Path
):
    table = table_of(tmp_path, *cells)
    assert table.readings["x"] == f"{reading} ({', '.join(cells[:3])})"
    assert table.read(0, ("facts",)) == {"facts": {"x": first}}


@pytest.mark.parametrize("word", ["NA", "n/a", "N.A.", "-", "?", "#N/A", "#DIV/0!", "null", "<NA>"])
def test_words_that_say_that_nothing_is_there_are_holes_among_numbers_and_categories(word: str, tmp_path: Path):
    for cells, reading in ((("3", word, word), "numbers (3)"), (("red", word, "blue"), "2 categories (red, blue)")):
        table = table_of(tmp_path, *cells)
        count = 12 * cells.count(word)
        assert table.readings["x"] == f"{reading}; {count} taken for empty: {word}"
        assert table.there[:3, 0].tolist() == [cell != word for cell in cells]


@pytest.mark.parametrize(
    ("cells", "reading"), [(("5",), "numbers (5); the same in all rows"), (("5", ""), "numbers (5); 12 empty")]
)
def test_a_column_that_says_the_same_in_all_rows_is_told(cells: tuple[str, ...], reading: str, tmp_path: Path):
    assert table_of(tmp_path, *cells).readings["x"] == reading


def test_row_numbers_are_told(tmp_path: Path):
    reading = "numbers (0, 1, 2); they number or name the rows"
    (tmp_path / "metadata.csv").write_text("x,y,label\n" + "".join(f"{row},{row % 5},{row % 2}\n" for row in range(30)))
    assert open_table(str(tmp_path), TableOptions(columns=("facts:table=*",))).readings["x"] == reading


def test_numbers_that_may_have_decimal_commas_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    table = table_of(tmp_path, "1,234", "2,500")
    doubt = "1,234 may be meant as 1.234: write 1234 or 1.234"
    assert table.readings["x"] == f"numbers with marks between thousands (1,234, 2,500); {doubt}"
    assert f"x: numbers with marks between thousands; {doubt}" in caplog.text


@pytest.mark.parametrize(
    ("early", "late", "reading", "first"),
    [
        ("3", "2,5", "numbers with decimal comma", 3),
        (
            "02/01/2024",
            "13/01/2024",
            "dates (day, month, year), read as years since 2000",
            24.00323,
        ),  # 1 January + 1 day
        ("7", "A7", "2 categories, though 500 of 1,000 are numbers: write all in one way", "7"),
    ],
)
def test_the_last_rows_of_a_long_table_tell_how_a_column_is_written_too(
    early: str, late: str, reading: str, first: object, tmp_path: Path
):
    cells = [early] * 1500 + [late] * 1500
    lines = [f'text {row};"{cell}";{"ab"[row % 2]}' for row, cell in enumerate(cells)]
    (tmp_path / "metadata.csv").write_text("\n".join(["text;x;label", *lines]) + "\n")
    table = open_table(str(tmp_path), TableOptions(columns=("facts:table=x",)))
    assert table.readings["x"] == f"{reading} ({early}, {late})"
    assert table.there.all()
    value = table.read(0, ("facts",))["facts"]
    assert value == {"x": pytest.approx(first, abs=1e-4) if isinstance(first, float) else first}


@pytest.mark.parametrize(
    ("other", "reading", "numbers"),
    [
        ("3,50", "numbers with decimal comma", [1.234, 1234]),
        ("3.50", "numbers with marks between thousands", [1234, 1.234]),
    ],
)
def test_other_columns_tell_what_a_comma_or_a_point_before_three_digits_is(
    other: str, reading: str, numbers: list[float], tmp_path: Path
):
    lines = [f"text {row};1,234;1.234;{other};{'ab'[row % 2]}" for row in range(12)]
    (tmp_path / "metadata.csv").write_text("\n".join(["text;x;y;z;label", *lines]) + "\n")
    table = open_table(str(tmp_path), TableOptions(columns=("facts:table=x+y",)))
    assert table.readings["x"].startswith(f"{reading} (1,234)")
    assert table.read(0, ("facts",)) == {"facts": dict(zip("xy", numbers, strict=True))}


def test_a_single_cell_tells_a_decimal_comma(tmp_path: Path):
    lines = [f"text {row};{row % 9};{'ab'[row % 2]}" for row in range(2000)]
    lines[777] = "text;2,5;a"
    (tmp_path / "metadata.csv").write_text("\n".join(["text;x;label", *lines]) + "\n")
    table = open_table(str(tmp_path), TableOptions(columns=("facts:table=x",)))
    assert [table.read(row, ("facts",))["facts"] for row in (776, 777)] == [{"x": 2}, {"x": 2.5}]


def test_an_unclear_order_of_day_and_month_is_told_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    table = table_of(tmp_path, "1/2/2024", "3/4/2024")
    assert table.readings["x"] == (
        "dates (month, day, year), read as years since 2000 (1/2/2024, 3/4/2024); day and month may be meant the other "
        "way round: write 2024-01-31"
    )
    assert sum("day and month may be meant the other way round" in line for line in caplog.messages) == 1


def test_the_words_of_several_spellings_of_yes_are_one_class(tmp_path: Path):
    words = ["True", "true", "1", "FALSE", "no", "NA"] * 4
    rows = "".join(f"text {number},{word}\n" for number, word in enumerate(words))
    (tmp_path / "metadata.csv").write_text("text,label\n" + rows)
    table = open_table(str(tmp_path))
    assert (table.label_names, table.num_unlabelled) == (("no", "yes"), 4)
    assert table.readings["label"] == "yes or no (True, true, 1); 4 taken for empty: NA"


def test_a_class_of_a_name_like_a_hole_can_be_stated(tmp_path: Path):
    (tmp_path / "metadata.csv").write_text("text,label\n" + "a b,NA\nc d,EU\n" * 8)
    table = open_table(str(tmp_path), TableOptions(classes=("EU", "NA")))
    assert (table.label_names, table.num_unlabelled) == (("EU", "NA"), 0)


def test_a_class_of_a_name_like_a_hole_is_one_where_the_data_set_names_its_classes(tmp_path: Path):
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["NA", "EU"]))
    datasets.Dataset.from_dict({"text": ["a b", "c d"], "label": [0, 1]}, features).save_to_disk(tmp_path)
    table = open_table(str(tmp_path))
    assert (table.label_names, table.labels.tolist()) == (("EU", "NA"), [1, 0])
    assert table.readings["label"] == "2 categories (NA, EU)"


def test_lists_of_classes_are_called_by_their_names(tmp_path: Path):
    features = datasets.Features(
        text=datasets.Value("string"), labels=datasets.List(datasets.ClassLabel(names=["red", "warm"]))
    )
    datasets.Dataset.from_dict({"text": ["a b", "c d"], "labels": [[0, 1], [1]]}, features).save_to_disk(tmp_path)
    table = open_table(str(tmp_path), TableOptions(several_labels=True))
    assert (table.label_names, table.labels.tolist()) == (("red", "warm"), [[1, 1], [0, 1]])


def test_what_lies_in_a_table_is_told_by_names_and_not_by_its_bytes(tmp_path: Path):
    features = datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=["red", "blue"]),
        size=datasets.List(datasets.Value("int8")),
    )
    picture = BytesIO()
    Image.new("RGB", (3, 3)).save(picture, "PNG")
    cells = {"image": [{"bytes": picture.getvalue(), "path": None}] * 4, "label": [0, 1] * 2, "size": [[1, 2]] * 4}
    datasets.Dataset.from_dict(cells, features=features).save_to_disk(tmp_path / "saved")
    assert open_table(str(tmp_path / "saved")).readings == {
        "image": "files of images, in the table",
        "label": "2 categories (red, blue)",
        "size": "rows of numbers, an input if stated as vector=size",
    }


def test_words_that_are_stated_as_categories_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    table_of(tmp_path, *(f"0x{number:x}" for number in range(300)))
    assert "x: words, of which each is taken for a category; write numbers all in one way" in caplog.text
