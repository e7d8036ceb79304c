"""CSV files as programs and countries write them."""

from pathlib import Path

import pytest

from fedprime.data.sets.table.csv_format import CsvFormat, CsvOptions, read_csv_format
from fedprime.data.sources import DataError

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


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(delimiter: str, tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text("\n".join(delimiter.join(row) for row in (["a", "b"], ['"x, y; z"', "1"], ["u", "2"])) + "\n")
    assert read_csv_format(file).delimiter == delimiter


def test_commas_in_texts_do_not_divide_cells(tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text("text;label\none, two, three;a\nfour, five;b\n")
    assert read_csv_format(file).header == ["text", "label"]


def test_a_header_with_a_comma_does_not_hide_what_divides_cells(tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text("Preis, netto;Titel;label\n3,5;Birne;a\n4,25;Apfel;b\n")
    assert read_csv_format(file).header == ["Preis, netto", "Titel", "label"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("a;b\nä;1\n".encode(), ("utf-8", ";")),  # what a file tells of itself comes first
        ("a^b\nä^1\n".encode("cp850"), ("cp850", "^")),  # what it does not tell is as it is usual
        ("a,b\nä,1\n".encode("utf-16"), ("utf-16", ",")),
    ],
)
def test_what_is_usual_stands_in_for_a_guess(content: bytes, found: tuple[str, str], tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_bytes(content)
    read = read_csv_format(file, CsvOptions("cp850", "^", are_usual=True))
    assert ((read.encoding, read.delimiter), read.header) == (found, ["a", "b"])


def test_what_somebody_states_is_taken(tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_bytes("a;b,c\nä;x,y\n".encode("cp850"))
    assert read_csv_format(file, CsvOptions("cp850", ",")).header == ["a;b", "c"]
    assert read_csv_format(file, CsvOptions("cp850", "tab")).header == ["a;b,c"]


@pytest.mark.parametrize(
    ("encoding", "delimiter", "message"),
    [
        ("utf-9", "", "the encoding is 'utf-9', which is none"),
        ("ascii", "", "is not in ASCII"),
        ("", ";;", "the delimiter is ';;'; expected one character, or tab"),
    ],
)
def test_what_is_stated_wrongly_is_one_line(encoding: str, delimiter: str, message: str, tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text("a,b\nä,1\n", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_csv_format(file, CsvOptions(encoding, delimiter))


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\3\4" + bytes(50), "is no CSV file but an Excel file or an archive; save its table as CSV in UTF-8"),
        (b"\x1f\x8b\x08\0" + bytes(50), "is no CSV file but compressed; unpack it"),
        (b"\x28\xb5\x2f\xfd" + bytes(50), "is no CSV file but compressed; unpack it"),
        (b"SQLite format 3\0" + bytes(50), "is no CSV file but a database"),
        (b"PAR1\x15\x04" + bytes(50), "is no CSV file but a parquet file"),
        (b"<!doctype html>\n<p>404</p>\n", "is no CSV file but a page of the web"),
        (b"<?xml version='1.0'?>\n<a/>\n", "is no CSV file but XML"),
        (b'[{"text": "a"}]', "is no CSV file but JSON"),
        (b"<!DOCTYPE html>\n<p>404</p>\n", "is no CSV file but a page of the web"),
        (b'{"text": "a"}\n{"text": "b"}\n', "is no CSV file but JSON; let its name end in .jsonl"),
        ("text,label\nblau,a\nschön,b".encode()[:-3] + b"\xc3", "ends within a letter of UTF-8; if it was cut off"),
        ("text,label\nschön,b\nsüß,a\n".encode() + b"gr\xfcn,b\n", "line 4: a letter is not in UTF-8, as others of"),
        (b"text,label\na,b\ntext,x\n\xef\xbb\xbftext , label\n", "line 4, names the columns once more"),
        (b"text,label\na,b\ntext, label\nc,d\n", "line 3, names the columns once more; leave it out, as well as where"),
        (b"   \n \n", "is empty; expected a header"),
        (b"text,label\n,\n", "has no rows; expected one for each sample"),
        (b"# made by me\ntext,label\na,b\n", "line 2: 2 cells under 1 column; .*let the first line name the columns"),
        (b'text,label\n"a" b,c\n', r"cannot be read as CSV: .* \(line 2\); close each quote"),
    ],
)
def test_what_is_no_table_is_told_in_one_line(content: bytes, message: str, tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_csv_format(file)
    assert "\n" not in str(caught.value)


def test_what_programs_write_before_the_header_is_skipped(tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text("sep=;\ntext;label\na,b;c\n")
    assert read_csv_format(file) == CsvFormat("utf-8", ";", ["text", "label"], num_skipped=1)
    file.write_text(" \n\n;;\n\ntext;label\na,b;c\n")
    assert read_csv_format(file) == CsvFormat("utf-8", ";", ["text", "label"], num_skipped=1)
    file.write_text("\ufeff\ufeff\n\ntext, label\u200b\na,b\n", encoding="utf-8")
    assert read_csv_format(file).header == ["text", "label"]


@pytest.mark.parametrize("header", ["PAR1,PAR2,label", "par1,par2,label"])
def test_columns_called_as_a_parquet_file_begins_are_columns(header: str, tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text(f"{header}\n1,2,a\n3,4,b\n")
    assert read_csv_format(file).header == header.split(",")


def test_rows_that_are_too_short_are_counted_with_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = tmp_path / "rows.csv"
    file.write_text("text,price,label\na,1,b\n\nc,d\n,\n")
    read_csv_format(file)
    assert "2 lines with fewer cells than there are columns, first line 4: their last cells" in caplog.text
