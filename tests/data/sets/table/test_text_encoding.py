"""In which encoding a file is written."""

from pathlib import Path

import pytest

from fedprime.data.sets.table.text_encoding import found_encoding
from fedprime.data.sources import DataError


def test_a_letter_that_is_none_does_not_make_a_file_one_in_utf_16(tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_bytes(b"text,label\nwa\0rm,a\ncold,b\n")
    assert found_encoding(file) == "utf-8"


def test_zeros_at_the_end_do_not_make_a_file_one_in_utf_16(tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_bytes(b"text,label\nwarm,a\ncold,b\n" + bytes(4096))  # as after a power cut
    assert found_encoding(file) == "utf-8"
    for encoding in ("utf-16-le", "utf-16-be"):
        file.write_bytes("text,label\nwarm,a\n\0,b\n".encode(encoding))
        assert found_encoding(file) == encoding


def test_an_encoding_that_is_not_that_of_the_west_is_detected_with_a_notice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    file = tmp_path / "rows.csv"
    words = ["привет мир как дела", "хорошая погода сегодня", "мы идем домой вечером", "книга лежит на столе"]
    file.write_bytes(("слово,ответ\n" + "".join(f"{word},да\n" for word in words * 5)).encode("cp1251"))
    assert found_encoding(file) == "cp1251"
    assert "is read as cp1251 (data.encoding says otherwise)" in caplog.text


def test_letters_far_behind_tell_the_encoding_too(tmp_path: Path):
    file = tmp_path / "rows.csv"
    plain = b"text,label\n" + b"red rose,a\n" * 1_000_000
    file.write_bytes(plain + "Grüße für Köln,b\nschön,a\n".encode() + "süß,b\n".encode("cp1252"))
    with pytest.raises(DataError, match="line 1000004: a letter is not in UTF-8, as others of"):
        found_encoding(file)


def test_what_is_usual_stands_in_for_a_guess_if_it_can(tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_bytes("größe\n".encode("cp850"))
    assert found_encoding(file, "cp850") == "cp850"
    file.write_bytes("größe\n".encode("cp1252"))
    assert found_encoding(file, "utf-16") == "cp1252"  # it is not in UTF-16
