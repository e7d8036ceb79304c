"""What is wrong with a table, at the level of the command line: one clear line and an exit code, and no traceback."""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import exit_code
from miniatures import table_rows, write_csv

Row = dict[str, object]
COLUMNS = ("image=file_name", "text=title")


def written(folder: Path, change: Callable[[list[Row]], object]) -> Path:
    rows = table_rows(folder)
    change(rows)
    write_csv(folder / "metadata.csv", rows)
    return folder


def set_all(rows: list[Row], name: str, value: object) -> None:
    for row in rows:
        row[name] = value


def run_words(folder: Path, *more: str) -> tuple[object, ...]:
    small = ("--training.rounds=1", "--training.batch_size=8", "--method.num_prompts=2")
    words = ("--data.path", folder, *small, "--partition.num_clients=2", "--backbone=tiny")
    columns = () if any(word.startswith("--data.columns") for word in more) else ("--data.columns", *COLUMNS)
    return ("run", "table/folder", *words, *columns, *more, "--output", folder / "run")


UNUSABLE = {
    "wrong column": (len, ("text=titel",), "has no column 'titel' (data.columns, text=titel); it has"),
    "single class": (lambda rows: set_all(rows, "label", "herb"), COLUMNS, "has only one class, herb"),
    "no training sample": (lambda rows: set_all(rows, "split", "test"), COLUMNS, "has no training sample with a label"),
    "unknown split": (
        lambda rows: set_all(rows, "split", "trian"),
        COLUMNS,
        "has 'trian' (48 rows) in the column split",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_table_that_cannot_be_used_is_refused_by_check_and_run(
    name: str, tmp_path: Path, complaint: Callable[..., str]
):
    change, columns, problem = UNUSABLE[name]
    folder = written(tmp_path, change)
    for words in (("data", "check", folder, "--columns", *columns), run_words(folder, "--data.columns", *columns)):
        said = complaint(*words)
        assert problem in said
        assert said.startswith("fedprime: ")
        assert said.count("\n") == 1
    assert not (folder / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize("flag", ["--data.label", "--data.split", "--data.client"])
def test_each_setting_that_names_a_column_is_checked(flag: str, tmp_path: Path, complaint: Callable[..., str]):
    folder = written(tmp_path, len)
    for words in (run_words(folder, flag, "colur"), ("data", "check", folder, flag.replace("data.", ""), "colur")):
        said = complaint(*words)
        assert f"has no column 'colur' ({flag[2:]}); it has" in said
        assert said.endswith("did you mean colour?\n")
        assert said.count("\n") == 1


def test_another_encoding_is_told_with_its_byte(tmp_path: Path, complaint: Callable[..., str]):
    folder = written(tmp_path, lambda rows: rows[0].update(title="k\u00e4se"))
    file = folder / "metadata.csv"
    file.write_bytes(file.read_text(encoding="utf-8").encode("latin-1"))
    for words in ((*run_words(folder), "--data.encoding=utf-8"), ("data", "check", folder, "--encoding=utf-8")):
        said = complaint(*words)
        assert f"{file} is not in UTF-8 (" in said
        assert said.endswith("save it as CSV in UTF-8\n")
        assert said.count("\n") == 1


def large_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no photo", "it is none of a known form"),
        (large_png(20_000, 10_000), "Image size (200000000 pixels) exceeds limit"),
    ],
    ids=["no image", "200 megapixels"],
)
def test_a_photo_that_cannot_be_read_is_missing_and_named_once(
    content: bytes, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    folder = written(tmp_path, len)
    (folder / "photos" / "4.png").write_bytes(content)
    assert exit_code("data", "check", folder, "--columns", *COLUMNS) == 1
    out = capsys.readouterr().out
    assert "1 with an unreadable image, which counts as missing; mend the files:" in out
    assert sum(problem in line for line in out.splitlines()) == 1
    assert exit_code(*run_words(folder)) == 0
    assert sum(problem in line for line in caplog.messages) == 1


def test_holes_of_every_sort_are_counted_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    def make_holes(rows: list[Row]) -> None:
        rows[0]["file_name"], rows[1]["title"], rows[2]["title"] = "none.png", "NaN", ""

    folder = written(tmp_path, make_holes)
    (folder / "photos" / "3.png").write_bytes(b"")
    assert exit_code("data", "check", folder, "--json", "--columns", *COLUMNS) == 0
    found = json.loads(capsys.readouterr().out)
    assert {name: len(rows) for name, rows in found["missing"].items()} == {"image": 2, "text": 2}
    caplog.clear()
    assert exit_code(*run_words(folder)) == 0
    told = [line for line in caplog.messages if "missing values of 48 rows" in line]
    assert len(told) == 1
    assert told[0].endswith("image: 1 file not there, 1 file of 0 bytes; text: 2 empty")


def test_a_class_that_only_the_test_has_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    folder = written(tmp_path, lambda rows: next(row for row in rows if row["split"] == "test").update(label="rare"))
    assert exit_code("data", "check", folder, "--columns", *COLUMNS) == 1
    assert "1 class that no training sample has and that cannot be learnt: rare" in capsys.readouterr().out
    assert exit_code(*run_words(folder)) == 0
    assert sum("no training sample is of rare" in line for line in caplog.messages) == 1


def test_a_modality_of_another_kind_than_the_backbone_reads_is_told_before_training(
    tmp_path: Path, complaint: Callable[..., str]
):
    folder = written(tmp_path, len)
    said = complaint(*run_words(folder, "--data.columns", "image:audio=audio", "text=title"))
    assert "image:audio=audio is a sound, but the backbone tiny reads image as an image; state other columns" in said
    assert sum(line.startswith("fedprime:") for line in said.splitlines()) == 1
    assert "Traceback" not in said


def test_a_modality_that_the_backbone_reads_and_nothing_is_stated_of_is_told(
    tmp_path: Path, complaint: Callable[..., str]
):
    said = complaint(*run_words(written(tmp_path, len), "--data.columns", "photo=file_name", "text=title"))
    assert "the backbone reads image, text; the data has no image, only photo, text" in said
    assert sum(line.startswith("fedprime:") for line in said.splitlines()) == 1
    assert "Traceback" not in said


def test_a_stated_modality_that_the_backbone_does_not_read_is_told_before_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = written(tmp_path, len)
    assert exit_code(*run_words(folder, "--data.columns", *COLUMNS, "voice=audio")) == 0
    told = (
        "data.columns states voice, which the backbone tiny does not read and which is not used; it reads image, text"
    )
    assert sum(told in line for line in caplog.messages) == 1
