"""Of what kind values are: told by the data set, and of rows how long they are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedprime.backbones.blocks import block_widths
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.data.sets.table.options import TableOptions
from fedprime.data.sets.table.table import open_table
from fedprime.experiment.build import build_experiment
from fedprime.experiment.reading_kinds import reading_kinds
from fedprime.settings.reading import read_settings

LABELS = [f"class {number % 2}" for number in range(30)]


def kinds_of(folder: Path, column: str) -> dict[str, str]:
    return reading_kinds(open_table(str(folder), TableOptions(columns=(column,), label=("label",), split="none")))


@pytest.mark.parametrize(("num_columns", "kind"), [(100, "table"), (101, "wide table")])
def test_a_row_of_more_than_a_hundred_columns_is_wide(tmp_path: Path, num_columns: int, kind: str) -> None:
    numbers = np.random.default_rng(0).normal(size=(30, num_columns)).round(2)
    frame = pd.DataFrame(numbers, columns=[f"sensor {number}" for number in range(num_columns)])
    frame.assign(label=LABELS).to_csv(tmp_path / "metadata.csv", index=False)
    assert kinds_of(tmp_path, "table=*") == {"table": kind}


@pytest.mark.parametrize(("length", "kind"), [(100, "numbers"), (300, "300 numbers"), (3000, "wide numbers")])
def test_arrays_are_as_long_as_most_of_them(tmp_path: Path, length: int, kind: str) -> None:
    rows = np.random.default_rng(0).normal(size=(30, length)).tolist()
    rows[0], rows[1] = rows[0][:3], None
    pq.write_table(pa.table({"vector": rows, "label": LABELS}), tmp_path / "metadata.parquet")
    assert kinds_of(tmp_path, "vector:numbers=vector") == {"vector": kind}


def test_of_what_cannot_be_read_nothing_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"vector": ["a b"] * 30, "label": LABELS}), tmp_path / "metadata.parquet")
    assert kinds_of(tmp_path, "vector:numbers=vector") == {"vector": "numbers"}


def test_other_data_sets_are_known() -> None:
    world = BuiltinWorld(num_samples=3)
    assert reading_kinds(world) == {"image": "image", "text": "text", "readings": "numbers"}


@pytest.mark.parametrize(("columns", "width"), [("vector:numbers=vector", 300), ("few:numbers=a+b", 256)])
def test_the_backbone_for_real_files_reads_arrays(tmp_path: Path, columns: str, width: int) -> None:
    rows = np.random.default_rng(0).normal(size=(30, 300))
    kinds = [f"class {number % 2}" for number in range(30)]
    table = pa.table({"vector": pa.array(rows.tolist()), "a": rows[:, 0], "b": rows[:, 1], "label": kinds})
    pq.write_table(table, tmp_path / "metadata.parquet")
    flags = [f"--data.path={tmp_path}", "--data.columns", columns, "--data.label", "label", "--backbone", "small"]
    flags += ["--data.client", "none", "--data.split", "none", "--partition.num_clients", "2", "--missing.rate", "0"]
    experiment = build_experiment(read_settings("table/folder", flags))
    name = columns.partition(":")[0]
    backbone = experiment.model.backbone
    assert backbone.kinds == {name: "numbers"}
    assert block_widths(backbone)[name] == width
    assert not experiment.odd.reasons
