"""The verb `predict` on modalities of any name, and on tables with holes."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import exit_code
from fedprime.data.sets.table.cells import Cells
from miniatures import table_rows, write_csv, write_table

PARTS = {
    "photo": {"encoder": "pixel_patches", "side": 16, "patch_size": 8},
    "voice": {"encoder": "log_mel", "sampling_rate": 8000, "num_bands": 8, "frames_per_token": 2},
    "facts": {"encoder": "table", "numbers": {"price": [2.5, 1.0]}, "categories": {"colour": ["red", "green", "blue"]}},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on a table with photo, voice and facts, whose natural clients are its shops."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "composite").mkdir()
    composite = {"dim": 16, "num_layers": 1, "num_heads": 2, "modalities": PARTS}
    (folder / "composite" / "composite.json").write_text(json.dumps(composite))
    (folder / "table.toml").write_text(
        f"""
        backbone = {str(folder / "composite")!r}
        data = {{ name = "table", path = {str(write_table(folder / "data"))!r},
            columns = ["photo=file_name", "voice=audio", "facts=price+colour"] }}
        partition = {{ kind = "site", num_clients = 4 }}
        missing = {{ rate = 0.5 }}
        method = {{ num_prompts = 4, pool_size = 4 }}
        training = {{ rounds = 2, batch_size = 8 }}
        """.replace("\n            columns", " columns")
    )
    assert exit_code("run", folder / "table.toml", "--output", folder / "run") == 0
    return folder / "run"


@pytest.fixture
def new_rows(tmp_path: Path) -> Path:
    """A table of four new rows, without labels; the third has nothing, the last photo is none."""
    rows = [{name: row[name] for name in ("file_name", "audio", "price", "colour")} for row in table_rows(tmp_path, 4)]
    rows[1]["audio"] = ""
    rows[2] = dict.fromkeys(rows[2], "")
    (tmp_path / "photos" / "3.png").write_text("no photo")
    write_csv(tmp_path / "metadata.csv", rows)
    return tmp_path


def test_a_run_on_a_table_has_a_scenario_for_each_modality(trained: Path):
    results = json.loads((trained / "results.json").read_text())
    expected = ["like train", "miss any", "full", "photo only", "voice only", "facts only"]
    assert list(results["scenarios"]) == expected
    assert results["scenarios"]["full"]["num_samples"] == 12


def test_rows_of_a_table_are_predicted_holes_included(
    trained: Path, new_rows: Path, capsys: pytest.CaptureFixture[str]
):
    assert exit_code("predict", trained, "--table", new_rows) == 1
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["row"], row["name"], row["present"]) for row in rows] == [
        ("1", "photos/0.png", "photo+voice+facts"),
        ("2", "photos/1.png", "photo+facts"),
        ("3", "row 3", ""),
        ("4", "photos/3.png", "voice+facts"),
    ]
    assert [bool(row["label"]) for row in rows] == [True, True, False, True]
    assert "1 row without a prediction, with nothing to predict from" in err


def test_predictions_are_written_to_a_file(trained: Path, new_rows: Path, tmp_path: Path):
    assert exit_code("predict", trained, "--table", new_rows, "--json", "--output", tmp_path / "out.jsonl") == 1
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["row"] for line in lines] == [1, 2, 3, 4]
    assert lines[2] == {"row": 3, "name": "row 3", "label": None, "probabilities": {}, "present": []}
    assert sum(lines[0]["probabilities"].values()) == pytest.approx(1)


def test_a_model_alone_knows_its_columns(
    trained: Path, new_rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(trained / "model", tmp_path / "m")
    for place in (trained, tmp_path / "m"):
        assert exit_code("predict", place, "--table", new_rows, "--output", tmp_path / f"{place.name}.csv") == 1
    assert (tmp_path / "run.csv").read_text() == (tmp_path / "m.csv").read_text()
    capsys.readouterr()
    write_csv(tmp_path / "new.csv", [{"price": "2.5", "colour": "red", "label": "?"}])
    assert exit_code("predict", tmp_path / "m", "--table", tmp_path / "new.csv") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["present"] == "facts"


def test_a_run_on_all_numbers_and_categories_predicts_rows_that_have_others_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "c").mkdir()
    composite = {"dim": 16, "num_layers": 1, "num_heads": 2, "modalities": {"facts": {"encoder": "hashed_table"}}}
    (tmp_path / "c" / "composite.json").write_text(json.dumps(composite))
    rows = [{"price": f"{row % 9}.5", "colour": ["red", "blue"][row % 2], "label": "ab"[row % 2]} for row in range(60)]
    data = ("--data.name=table", f"--data.path={write_csv(tmp_path / 'metadata.csv', rows)}", "--data.columns=facts=*")
    rest = ("--partition.num_clients=2", "--training.rounds=1", "--output", tmp_path / "run")
    assert exit_code("run", "table/folder", f"--backbone={tmp_path / 'c'}", *data, *rest) == 0
    new = write_csv(tmp_path / "new.csv", [{"seen": "3", "colour": "red", "price": "2.5"}])
    capsys.readouterr()
    answers = []
    for place in (tmp_path / "run", tmp_path / "run" / "model"):
        assert exit_code("predict", place, "--table", new) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1]
    assert ",facts" in answers[0]


@pytest.mark.parametrize(
    ("content", "flags"),
    [
        ("price;colour\n2,5;grün\n".encode(), ()),
        ("price\tcolour\n2,5\tgrün\n".encode("utf-16"), ()),
        ("price^colour\n2,5^grün\n".encode("cp850"), ("--encoding=cp850", "--delimiter=^")),
    ],
)
def test_a_new_table_is_read_as_it_is_written_and_not_as_that_of_training(
    content: bytes, flags: tuple[str, ...], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "new.csv").write_bytes(content)
    read: list[object] = []

    def remember(self: Cells, row: int) -> object:
        read.append(value := reads(self, row))
        return value

    reads = Cells.read
    monkeypatch.setattr(Cells, "read", remember)
    assert exit_code("predict", trained, "--table", tmp_path / "new.csv", *flags) == 0
    assert {"price": 2.5, "colour": "grün"} in read


def test_columns_of_another_name_are_stated(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_csv(tmp_path / "new.csv", [{"price": "1.5", "colour": "red", "sound": ""}])
    assert exit_code("predict", trained, "--table", tmp_path / "new.csv", "--columns", "facts=price+colour") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["present"] == "facts"


def test_one_sample_of_modalities_of_any_name_is_predicted(
    trained: Path, new_rows: Path, capsys: pytest.CaptureFixture[str]
):
    words = [f"photo={new_rows / 'photos' / '0.png'}", f"voice={new_rows / 'sounds' / '0.wav'}", 'facts={"price": 1.5}']
    assert exit_code("predict", trained, "--values", *words) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["present"] == "photo+voice+facts"


def test_every_line_is_answered_by_one_and_a_bad_one_costs_that_line_alone(
    trained: Path, new_rows: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    photo = str(new_rows / "photos" / "0.png")
    lines = [
        {"photo": photo, "facts": {"price": 1.5}},
        {"photo": "none.png"},
        {"smell": "x"},
        {"facts": '{"price": 1.5}'},
    ]
    spoken = [json.dumps(lines[0]), "no json, and no UTF-8: \udcff", *map(json.dumps, lines[1:]), json.dumps(lines[0])]
    content = "\n".join(spoken).encode(errors="surrogateescape")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
    assert exit_code("predict", trained, "--watch") == 0
    first, *bad, facts, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (first["row"], first["present"], facts["present"]) == (1, ["photo", "facts"], ["facts"])
    assert first | {"row": 6} == last
    assert [line["row"] for line in bad] == [2, 3, 4]
    assert "there is no image none.png" in bad[1]["error"]
    assert bad[2]["error"] == "line 4: the model reads photo, voice, facts; it cannot use smell"


def test_a_second_time_no_row_of_a_table_is_read_or_embedded_even_where_it_was_moved(
    trained: Path, new_rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FEDPRIME_CACHE", str(tmp_path / "cache"))
    exit_code("predict", trained, "--table", new_rows)
    expected = capsys.readouterr().out
    moved = Path(shutil.move(new_rows, tmp_path.parent / f"{tmp_path.name} moved"))
    monkeypatch.setenv("FEDPRIME_CACHE", str(moved / "cache"))
    read: list[Path] = []
    monkeypatch.setattr("fedprime.data.sets.table.cells.read_image", lambda file, _: read.append(file) or 1 / 0)
    exit_code("predict", trained, "--table", moved)
    assert capsys.readouterr().out == expected
    assert [file.name for file in read] == ["3.png"]  # what cannot be read is tried again


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--watch", "--text", "a"], "--watch reads standard input"),
        (["--values", "smell=x"], "--values has 'smell=x'; expected NAME=VALUE, with a name of photo, voice, facts"),
        (["--values", "facts=3"], "a row is '3', expected a JSON object such as"),
        (["--table", "nowhere/at/all"], "nowhere/at/all is not there; expected a table"),
        (["--text", "soup"], "the model reads photo, voice, facts; it cannot use text"),
        (["--audio", "none.wav"], "there is no sound none.wav"),
        (["--text", "soup", "--output", "."], "--output . is a folder; name a file"),
        (["--columns", "photo=a"], "--columns, --encoding and --delimiter go with --table"),
        (["--table", "a", "--text", "b"], "or --table FILE or FOLDER, not both"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_predicted_gives_one_line(
    words: list[str], problem: str, trained: Path, complaint: Callable[..., str]
):
    words = words if words[0] != "--columns" else [*words, "--values", "facts={}"]
    said = complaint("predict", trained, *words)
    assert problem in said
    assert said.strip().count("\n") == 0


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.fromarray(np.full((64, 64, 3), (200, 30, 30), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize("modalities", [["text"], ["image"], ["image", "text"]], ids="+".join)
def test_any_subset_of_modalities_is_predicted_from(
    modalities: list[str], finished_run: Path, picture: Path, capsys: pytest.CaptureFixture[str]
):
    values = {"text": "tomato soup", "image": picture}
    flags = [word for modality in modalities for word in (f"--{modality}", values[modality])]
    assert exit_code("predict", finished_run, *flags) == 0
    header, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header == ["row", "label", "probability", "present"]
    assert (row[0], row[3]) == ("1", "+".join(modalities))
    assert row[1].startswith("dish-0")
    assert 1 / 3 <= float(row[2]) <= 1


def test_a_prediction_in_json_has_the_probability_of_every_label(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
):
    assert exit_code("predict", finished_run, "--text", "tomato soup", "--json") == 0
    prediction = json.loads(capsys.readouterr().out)
    assert prediction["row"] == 1
    assert prediction["present"] == ["text"]
    assert prediction["probabilities"].keys() == {"dish-00", "dish-01", "dish-02"}
    assert sum(prediction["probabilities"].values()) == pytest.approx(1)


def test_a_saved_model_alone_is_enough_to_predict(finished_run: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("predict", finished_run, "--text", "tomato soup", "--json") == 0
    from_run = capsys.readouterr().out
    assert exit_code("predict", finished_run / "model", "--text", "tomato soup", "--json") == 0
    assert capsys.readouterr().out == from_run


def test_a_table_with_holes_is_predicted_row_by_row(
    finished_run: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "samples.csv").write_text(f"text,image\ntomato soup,\n,{picture.name}\nsoup,{picture.name}\n")
    assert exit_code("predict", finished_run, "--csv", tmp_path / "samples.csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["row"], row["present"]) for row in rows] == [("1", "text"), ("2", "image"), ("3", "image+text")]


def test_a_table_in_json_is_one_object_per_line(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "samples.csv").write_text("text\nsoup\ncake\n")
    assert exit_code("predict", finished_run, "--csv", tmp_path / "samples.csv", "--json") == 0
    assert [json.loads(line)["row"] for line in capsys.readouterr().out.splitlines()] == [1, 2]


def test_numbers_may_be_negative(
    recipe: Path, small_flags: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = [*small_flags, "--data.modalities", "readings", "--missing.rate=0"]
    assert exit_code("run", recipe, *words, "--output", tmp_path / "run") == 0
    capsys.readouterr()
    numbers = ["0.5", "-1.25", "-3e-1", "2", "0", "-0"]
    assert exit_code("predict", tmp_path / "run", "--json", "--readings", *numbers) == 0
    assert json.loads(capsys.readouterr().out)["present"] == ["readings"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "give a sample (--image FILE, --text TEXT, --audio FILE, --readings NUMBERS, --values NAME=VALUE, any of"),
        (["--text", "soup", "--csv", "samples.csv"], "give a sample"),
        (["--image", "none.png"], "there is no image none.png"),
        (["--image", "empty.png"], "cannot read empty.png as an image"),
        (["--image", "folder"], "folder is no file; name an image file"),
        (["--readings", "1", "2"], "the model reads image, text; it cannot use readings"),
        (["--csv=none.csv"], "none.csv is not there"),
        (["--text", "soup", "--prior", "estimate"], "--prior estimate needs many samples; it goes with --table"),
        (
            ["--text", "soup", "--prior", "none.json"],
            "--prior is 'none.json': No such file or directory; ",
        ),
        (["--text", "soup", "--prior", "columns.csv"], "--prior: columns.csv: "),
        (["--table", "columns.csv"], "columns.csv has the columns price; expected some called image, text; rename"),
        (
            ["--table", "empty.png"],
            "empty.png is no table: expected a file that ends in .csv, .tsv, ",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_sample_that_cannot_be_used_gives_one_line_and_exits_with_2(
    words: list[str],
    problem: str,
    finished_run: Path,
    complaint: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    Path("empty.png").touch()
    Path("folder").mkdir()
    Path("columns.csv").write_text("price\n3\n")
    said = complaint("predict", finished_run, *words)
    assert problem in said
    assert said.strip().count("\n") == 0
