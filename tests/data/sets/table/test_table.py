"""Any table as a data set: samples, splits, natural clients, holes, and what is told about them."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedprime.data.images import InputError
from fedprime.data.sets.table.options import TableOptions
from fedprime.data.sets.table.table import Table, open_table
from fedprime.data.sources import DataError, SampleSource
from miniatures import DISHES, table_rows, write_csv, write_table

Row = dict[str, object]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = write_table(tmp_path_factory.mktemp("table"))
    return open_table(str(folder), TableOptions(columns=("image=file_name", "text=title+text", "facts=price+colour")))


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Table]:
    """Opens a table of which some rows were changed."""

    def open_changed(change: Callable[[list[Row]], object], options: TableOptions | None = None) -> Table:
        rows = table_rows(tmp_path)
        change(rows)
        write_csv(tmp_path / "metadata.csv", rows)
        return open_table(str(tmp_path), options)

    return open_changed


def test_a_table_says_how_others_are_to_be_read(table: Table):
    assert table.about() == {
        "columns": ["image:image=file_name", "text:text=title+text", "facts:table=price+colour"],
        "labels": ["label"],
        "forms": {
            "file_name": "image",
            "title": "text",
            "text": "category",
            "price": "number",
            "colour": "category",
        },
    }


def set_cells(rows: list[Row], column: str, *cells: object) -> None:
    for row, cell in zip(rows, cells, strict=False):
        row[column] = cell


def test_a_table_is_a_source_of_samples(table: Table):
    assert isinstance(table, SampleSource)
    assert (len(table), table.modalities, table.task) == (48, ("image", "text", "facts"), "one_class")
    assert table.label_names == DISHES
    assert table.labels[:4].tolist() == [0, 1, 2, 0]
    assert table.there.all()
    assert {name: len(own) for name, own in table.splits.items()} == {"train": 36, "test": 12}
    assert table.splits["test"][:4].tolist() == [0, 1, 2, 12]


def test_a_sample_has_the_values_of_its_row_and_only_what_is_asked_for(table: Table):
    values = table.read(4, ("text", "facts"))
    assert values == {"text": "dish 4 raw beef with capers", "facts": {"price": 2.5, "colour": "green"}}
    image = table.read(4, ("image",))["image"]
    assert isinstance(image, np.ndarray)
    assert image.shape == (32, 40, 3)
    assert table.name_of(4) == "photos/4.png"


def test_natural_clients_are_numbered_by_name(table: Table):
    assert table.site_names == ("shop 0", "shop 1", "shop 2", "shop 3")
    assert table.sites[:5].tolist() == [0, 1, 2, 3, 0]


def test_another_column_of_clients_or_none_can_be_stated(
    changed: Callable[..., Table], caplog: pytest.LogCaptureFixture
):
    table = changed(lambda rows: set_cells(rows, "colour", ""), TableOptions(client="colour"))
    assert table.site_names == ("(none)", "blue", "green", "red")
    assert "without a client: they are a client of their own, (none)" in caplog.text
    assert changed(len, TableOptions(client="none")).sites.max() == 0


def test_what_was_taken_for_what_is_told_once(changed: Callable[..., Table], caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, logger="fedprime"):
        changed(len)
    (said,) = caplog.messages
    assert (
        "48 samples (36 train, 12 test); image:image=file_name; text:text=text; audio:audio=audio; 3 classes of label"
        in said
    )
    assert said.endswith("not used as input: title, price, colour, split, client (data.columns names inputs)")


def test_real_holes_are_missing_and_counted_once(
    changed: Callable[..., Table], caplog: pytest.LogCaptureFixture, tmp_path: Path
):
    def damage(rows: list[Row]) -> None:
        set_cells(rows, "file_name", "", "photos/none.png")
        set_cells(rows, "price", "nan", "", "")
        set_cells(rows, "colour", "", "")
        (tmp_path / "photos" / "2.png").write_bytes(b"")

    table = changed(damage, TableOptions(columns=("image=file_name", "facts=price+colour")))
    assert table.there[:4].tolist() == [[False, False], [False, False], [False, True], [True, True]]
    assert table.there[4:].all()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [
        f"{tmp_path}: missing values of 48 rows: image: 1 empty, 1 file not there, 1 file of 0 bytes; facts: 2 empty"
    ]
    assert (table.name_of(0), table.name_of(1)) == ("row 1", "photos/none.png")


def test_a_file_that_cannot_be_read_is_told_and_a_sample_is_found_by_file_and_row(
    changed: Callable[..., Table], tmp_path: Path
):
    table = changed(lambda _: (tmp_path / "photos" / "3.png").write_text("no photo"))
    with pytest.raises(InputError, match=r"cannot read .*3.png as an image"):
        table.read(3, ("image", "audio"))
    assert list(table.read(3, ("audio",))) == ["audio"]
    assert table.place_of(3) == f"{tmp_path}: photos/3.png (row 4)"


def test_rows_without_a_label_are_left_out_and_counted(changed: Callable[..., Table], caplog: pytest.LogCaptureFixture):
    table = changed(lambda rows: set_cells(rows, "label", "", "", ""))
    assert len(table) == 45
    assert table.name_of(0) == "photos/3.png"
    assert "left out without a label: 3 rows" in caplog.text


def test_only_the_rows_that_are_asked_for_are_samples(changed: Callable[..., Table]):
    table = changed(len, TableOptions(rows=("client=shop 1,shop 3", "colour=red,blue")))
    assert len(table) == 16
    assert table.site_names == ("shop 1", "shop 3")


def test_without_a_column_of_splits_all_rows_are_for_training(changed: Callable[..., Table]):
    assert {name: len(own) for name, own in changed(len, TableOptions(split="none")).splits.items()} == {"train": 48}


def test_splits_go_by_other_names_too(changed: Callable[..., Table]):
    table = changed(lambda rows: set_cells(rows, "split", "Dev", "training", "testing"))
    assert table.splits["validation"].tolist() == [0]
    assert table.splits["test"][0] == 2


@pytest.mark.parametrize(
    ("change", "options", "problem"),
    [
        (
            lambda rows: set_cells(rows, "split", "trian", "", ""),
            {},
            r"has 'trian' \(1 row\), an empty cell \(2 rows\) in",
        ),
        (lambda rows: set_cells(rows, "split", *["test"] * 48), {}, "has no training sample with a label$"),
        (lambda rows: rows.clear() or rows.append({"label": "a"}), {}, "only one class, a"),
        (len, {"split": "fold"}, r"has no column 'fold' \(data.split\)"),
        (len, {"client": "shop"}, r"has no column 'shop' \(data.client\)"),
        (len, {"rows": ("client",)}, "data.rows states 'client'; expected COLUMN=VALUE,VALUE"),
        (len, {"rows": ("client=shop 9",)}, r"no 'shop 9' in the column client \(data.rows\); did you mean shop"),
        (len, {"rows": ("split=test",)}, "has no training sample with a label among the rows with split=test"),
    ],
)
def test_a_table_that_cannot_be_used_gives_one_clear_line(
    change: Callable[[list[Row]], object], options: dict[str, object], problem: str, changed: Callable[..., Table]
):
    with pytest.raises(DataError, match=problem) as caught:
        changed(change, TableOptions(**options))  # pyright: ignore[reportArgumentType]
    assert "\n" not in str(caught.value)


def test_a_table_with_a_header_alone_is_refused(tmp_path: Path):
    (tmp_path / "metadata.csv").write_text("file_name,label\n")
    with pytest.raises(DataError, match="has no rows; expected one for each sample"):
        open_table(str(tmp_path))


def test_how_columns_are_written_is_known_to_who_reads_other_rows(tmp_path: Path):
    rows: list[dict[str, object]] = [{"x": "3,50 €", "n": "2", "label": label} for label in ("a", "b") * 5]
    write_csv(tmp_path / "metadata.csv", rows)
    table = open_table(str(tmp_path), TableOptions(columns=("facts:table=x+n",)))
    assert table.about()["styles"] == {"x": "numbers with decimal comma, in €"}


def test_files_in_another_folder_than_the_table_says_are_found_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "pictures").mkdir()
    rows: list[Row] = []
    for number in range(6):
        (tmp_path / "pictures" / f"{number:03}.jpg").write_bytes(b"1")
        rows.append({"id": f"{number:03}", "label": "ab"[number % 2], "split": "train"})
    write_csv(tmp_path / "metadata.csv", rows)
    found = open_table(str(tmp_path), TableOptions(columns=("image=id",)))
    assert found.there.all()
    assert "id: files are found in pictures/, not where the table says" in caplog.text
