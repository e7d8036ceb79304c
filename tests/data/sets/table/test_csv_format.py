"""CSV files as programs and countries write them."""

from pathlib import Path

import pytest

from fedprime.data.batches import DataError
from fedprime.data.sets.table.csv_format import CsvFormat, read_csv_format

ROWS = "name;preis;größe\nÄpfel;3,50;groß\nBirnen;4,25;klein\n"


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("latin-1", "cp1252"),
        ("cp1252", "cp1252"),
    ],
)
def test_the_encoding_is_found_out(encoding: str, found: str, tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_bytes(ROWS.encode(encoding))
    assert read_csv_format(file) == CsvFormat(found, ";", ["name", "preis", "größe"])


def test_an_encoding_that_is_not_that_of_the_west_is_detected_with_a_notice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    file = tmp_path / "rows.csv"
    words = ["привет мир как дела", "хорошая погода сегодня", "мы идем домой вечером", "книга лежит на столе"]
    file.write_bytes(("слово,ответ\n" + "".join(f"{word},да\n" for word in words * 5)).encode("cp1251"))
    assert read_csv_format(file).header == ["слово", "ответ"]
    assert "is read as cp1251 (data.encoding says otherwise)" in caplog.text


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(delimiter: str, tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text("\n".join(delimiter.join(row) for row in (["a", "b"], ['"x, y; z"', "1"], ["u", "2"])) + "\n")
    assert read_csv_format(file).delimiter == delimiter


def test_commas_in_texts_do_not_divide_cells(tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text("text;label\none, two, three;a\nfour, five;b\n")
    assert read_csv_format(file).header == ["text", "label"]


def test_what_somebody_states_is_taken(tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_bytes("a;b,c\nä;x,y\n".encode("cp850"))
    assert read_csv_format(file, "cp850", ",").header == ["a;b", "c"]
    assert read_csv_format(file, "cp850", "tab").header == ["a;b,c"]


@pytest.mark.parametrize(
    ("encoding", "delimiter", "message"),
    [
        ("utf-9", "", "data.encoding is 'utf-9', which is none"),
        ("ascii", "", "is not in ASCII"),
        ("", ";;", "data.delimiter is ';;'; expected one character, or tab"),
    ],
)
def test_what_is_stated_wrongly_is_one_line(encoding: str, delimiter: str, message: str, tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text("a,b\nä,1\n", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_csv_format(file, encoding, delimiter)


def test_a_column_of_row_numbers_without_a_name_gets_one(tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text(",text,\n0,hello,1\n")
    assert read_csv_format(file).header == ["(index)", "text", "(column 3)"]


def test_a_table_that_is_too_wide_is_one_line(tmp_path: Path):
    file = tmp_path / "rows.csv"
    row = ",".join(str(column) for column in range(20_000))
    file.write_text(f"{row}\n{row}\n")
    with pytest.raises(DataError, match="has 20,000 columns, more than 5,000"):
        read_csv_format(file)
