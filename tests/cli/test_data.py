"""The verb `data`, called in this process: what it prints, its exit codes, its errors."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from command_line import exit_code
from fedprime.data import inspection
from fedprime.reproducibility import plugins
from miniatures import table_rows, write_csv, write_food101, write_hateful_memes, write_mmimdb, write_table
from outside_package import install


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_food101(tmp_path / "photos")


def test_a_check_says_what_there_is_and_what_is_wrong(photos: Path, capsys: pytest.CaptureFixture[str]):
    (photos / "images" / "train" / "sushi" / "sushi_3.jpg").write_bytes(b"not a photo")
    assert exit_code("data", "check", photos, "--format", "food101") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["  image:image=file_name", "  text:text=text", "  3 classes of label"]
    assert lines[3] == "57 samples: 36 train, 9 validation, 12 test"
    assert lines[4].split() == ["apple_pie", "12", "train", "3", "validation", "4", "test"]
    assert lines[7] == "its authors count 90,840: some are not here; a part can be trained on, too"
    assert lines[8] == "1 with an unreadable image, which counts as missing; mend the files:"
    said = f"row 28: cannot read {photos}/images/train/sushi/sushi_3.jpg as an image"
    assert lines[9].startswith(f"  images/train/sushi/sushi_3.jpg: {said}")
    assert len(lines) == 10


@pytest.mark.parametrize(
    ("name", "write"), [("food101", write_food101), ("mmimdb", write_mmimdb), ("hateful_memes", write_hateful_memes)]
)
def test_a_check_of_sound_data_ends_with_0(
    name: str,
    write: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    folder = write(tmp_path / "data")
    num_samples = {"food101": 57, "mmimdb": 45, "hateful_memes": 38}[name]
    monkeypatch.setattr(inspection, "EXPECTED", {name: num_samples})
    assert exit_code("data", "check", folder, "--format", name) == 0
    assert capsys.readouterr().out.endswith("nothing is wrong\n")


def test_a_check_can_be_read_by_programs(photos: Path, capsys: pytest.CaptureFixture[str]):
    (photos / "images" / "test" / "sushi" / "sushi_17.jpg").unlink()
    assert exit_code("data", "check", photos, "--format=food101", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["samples"] == {"train": 36, "validation": 9, "test": 12}
    assert found["no_file"] == {"image": ["images/test/sushi/sushi_17.jpg"]}
    assert found["expected"] == 90_840


def test_what_an_error_says_of_settings_may_be_typed_as_it_stands(
    tmp_path: Path, complaint: Callable[..., str], capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "rows.csv").write_text("text,genres\n" + "a,Action|Drama\nb,Drama\n" * 5)
    said = complaint("data", "check", tmp_path / "rows.csv", "--data.label=genres")
    assert "say so by --data.several-labels;" in said
    assert exit_code("data", "check", tmp_path / "rows.csv", "--data.label=genres", "--data.several-labels") == 0
    assert "2 labels of genres" in capsys.readouterr().out


def test_samples_are_shown(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    sheet = tmp_path / "sheet.png"
    assert exit_code("data", "show", photos, "--format", "food101", "--output", sheet, "--count", 7) == 0
    assert capsys.readouterr().out == f"7 of 57 samples are drawn in {sheet}\n"
    with Image.open(sheet) as image:
        assert image.format == "PNG"


def test_no_samples_cannot_be_shown(photos: Path, complaint: Callable[..., str]):
    said = complaint("data", "show", photos, "--format", "food101", "--count", 0)
    assert said == "fedprime: --count is 0; show at least 1 sample\n"


def test_a_folder_is_no_file_to_draw_into(photos: Path, tmp_path: Path, complaint: Callable[..., str]):
    said = complaint("data", "show", photos, "--format", "food101", "--count", 1, "--output", tmp_path)
    assert said.endswith(f"fedprime: {tmp_path} is a folder; name a file\n")


def test_a_folder_of_something_else_is_told(tmp_path: Path, complaint: Callable[..., str]):
    said = complaint("data", "check", tmp_path, "--format", "mmimdb")
    problem = "is not there; put it back, or name another folder with --data.path"
    assert said == f"fedprime: {tmp_path / 'split.json'} {problem}\n"


@pytest.mark.parametrize(("words", "code"), [((), 2), (("--help",), 0)])
def test_without_check_or_show_the_usage_is_told(words: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]):
    assert exit_code("data", *words) == code
    assert "usage: fedprime data check PATH" in capsys.readouterr().out


def test_counts_of_classes_stand_below_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    names = ("a", "a name of more than twenty letters")
    rows = [{"text": f"dish {number}", "label": names[number % 2]} for number in range(8)]
    exit_code("data", "check", write_csv(tmp_path / "metadata.csv", rows), "--columns", "text=text")
    places = {line.index("4 train") for line in capsys.readouterr().out.splitlines() if line.endswith("4 train")}
    assert len(places) == 1


def test_a_sound_table_is_checked_and_found_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("data", "check", write_table(tmp_path), "--columns", "image=file_name", "text=title+text") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["  image:image=file_name", "  text:text=title+text"]
    assert "48 samples: 36 train, 12 test" in lines
    assert "natural clients: shop 0 12, shop 1 12, shop 2 12, shop 3 12" in lines
    assert lines[-1] == "nothing is wrong"


def test_what_is_wrong_with_a_table_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = table_rows(tmp_path)
    rows[3]["file_name"] = ""
    rows[0]["label"] = "rare"
    rows[5]["label"] = ""
    (tmp_path / "photos" / "7.png").write_text("no photo")
    write_csv(tmp_path / "metadata.csv", rows)
    assert exit_code("data", "check", tmp_path, "--format", "table") == 1
    said = capsys.readouterr().out
    assert "1 sample without image: sounds/3.wav" in said
    assert "1 with an unreadable image, which counts as missing; mend the files:" in said
    assert "1 class that no training sample has and that cannot be learnt: rare" in said
    assert "1 row without a label: left out" in said
    assert exit_code("data", "check", tmp_path, "--json", "--columns", "image=file_name") == 1
    found = json.loads(capsys.readouterr().out)
    assert list(found["unreadable"]["image"]) == ["photos/7.png"]
    assert found["only_measured"] == ["rare"]


def test_inputs_that_give_the_label_away_and_equal_rows_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [{"size": str(row % 5), "code": str(row % 4), "label": "ab"[row % 2]} for row in range(40)]
    write_csv(tmp_path / "metadata.csv", rows)
    assert exit_code("data", "check", tmp_path, "--columns", "table=*") == 0
    said = capsys.readouterr().out
    assert "1 input of which each value has one label; leave out what says the label in other words: code\n" in said
    assert "groups of equal samples within a split; keep one of each where these are copies: row 1 = row 21" in said
    assert "nothing is wrong" not in said


def test_words_of_a_table_do_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [
        {"file_name": f"{row}\x1b[2J.png", "text": f"\x1b[31mred {row}", "label": "ab"[row % 2]} for row in range(10)
    ]
    write_csv(tmp_path / "metadata.csv", rows)
    assert exit_code("data", "check", tmp_path) == 1
    said = capsys.readouterr()
    assert "0 [2J.png" in said.out
    assert "\x1b" not in said.out + said.err


def test_a_name_with_a_line_break_stands_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_csv(tmp_path / "rows.csv", [{"a\nfirst": row % 7, "b": row % 3, "label": "xy"[row % 2]} for row in range(40)])
    assert exit_code("data", "check", tmp_path / "rows.csv") == 0
    said = capsys.readouterr()
    assert "  a first: numbers (0, 1, 2)" in said.out.splitlines()
    assert "first+b; 2 classes of label" in said.err
    assert all(line.startswith("INFO: ") for line in said.err.splitlines())


def test_a_row_without_a_file_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "rows.csv").write_text("text,n,label\na,x,p\nb,y,q\n" + "c,1,p\nd,2,q\n" * 5)
    assert exit_code("data", "check", tmp_path / "rows.csv", "--columns", "text=text", "readings:numbers=n") == 1
    assert "\n  row 1: readings are 'x', expected numbers" in capsys.readouterr().out


@pytest.mark.parametrize(("num_rows", "split"), [(2, "test"), (3, "validation")])
def test_too_few_rows_to_set_some_apart_are_refused_as_by_a_run(
    num_rows: int, split: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(f"{row},{'ab'[row % 2]}\n" for row in range(num_rows)))
    assert exit_code("data", "check", tmp_path / "rows.csv", "--columns", "text=text") == 2
    said = capsys.readouterr()
    assert f"0 of 2 training samples would be set apart for {split} (data.{split}_share is 0." in said.err
    assert f"{num_rows} samples: {num_rows} train" in said.out
    assert "nothing is wrong" not in said.out


def test_larger_shares_are_set_apart_of_few_rows(tmp_path: Path):
    (tmp_path / "rows.csv").write_text("text,label\n0,a\n1,b\n2,a\n")
    shares = ("--test-share", "0.4", "--validation-share", "0.5")
    assert exit_code("data", "check", tmp_path / "rows.csv", "--columns", "text=text", *shares) == 0


def test_a_table_is_shown_without_a_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("data", "show", write_table(tmp_path), "--output", tmp_path / "sheet.png", "--count", 5) == 0
    assert capsys.readouterr().out == f"5 of 48 samples are drawn in {tmp_path / 'sheet.png'}\n"


def test_a_wrong_column_is_told_with_the_nearest_name(tmp_path: Path, complaint: Callable[..., str]):
    said = complaint("data", "check", write_table(tmp_path), "--label", "lable")
    assert said.startswith(
        f"fedprime: {tmp_path / 'metadata.csv'} has no column 'lable' (data.label); it has file_name"
    )
    assert said.endswith("; did you mean label?\n")


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that is not fedprime's own is installed, and brings the data set "colours"."""
    monkeypatch.syspath_prepend(install(tmp_path / "site-packages"))
    plugins._plugins.cache_clear()
    plugins._of_group.cache_clear()
    yield
    plugins._plugins.cache_clear()
    plugins._of_group.cache_clear()


@pytest.mark.usefixtures("outside")
def test_a_data_set_of_a_package_is_checked_with_its_own_options(capsys: pytest.CaptureFixture[str]):
    assert exit_code("data", "check", "", "--format", "colours", "--options", "samples=75") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "75 samples: 60 train, 12 validation, 3 test"
    assert lines[-1] == "nothing is wrong"


@pytest.mark.usefixtures("outside")
def test_data_sets_of_packages_are_known_and_their_options_checked(tmp_path: Path, complaint: Callable[..., str]):
    assert "did you mean colours?" in complaint("data", "check", tmp_path, "--format", "colour")
    said = complaint("data", "check", "", "--format", "colours", "--options", "sample=75")
    assert "--options.sample: the data set colours has no such setting; it has samples, shades" in said
    assert "expected NAME=VALUE" in complaint("data", "check", "", "--format", "colours", "--options", "samples")
    assert "lies in no folder" in complaint("data", "check", tmp_path, "--format", "builtin")


def test_natural_clients_that_are_spelled_in_two_ways_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [
        {"text": f"word {row}", "label": "ab"[row % 2], "client": ["Berlin", "berlin"][row // 6]} for row in range(12)
    ]
    write_csv(tmp_path / "metadata.csv", rows)
    assert exit_code("data", "check", tmp_path) == 1
    assert "1 group of natural clients that differ only by case, spaces or zeros in front" in capsys.readouterr().out


def test_a_check_takes_the_backbones_that_a_run_takes(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    complaint: Callable[..., str],
):
    folder = write_table(tmp_path / "table")
    for backbone in ("auto", "tiny"):
        exit_code("data", "check", folder, "--columns", "text=title", "--backbone", backbone)
        assert "3 classes" in capsys.readouterr().out
    assert "the data has no image; the backbone tiny reads text alone" in caplog.messages
    numbers = ("--columns", "facts:table=price+colour", "--backbone", "tiny")
    assert "take a backbone that reads these: --backbone small" in complaint("data", "check", folder, *numbers)
