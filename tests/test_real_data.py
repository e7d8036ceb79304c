"""Real files with real holes, where they lie beside the project: from a table to trained models and predictions."""

import csv
import io
import json
from pathlib import Path

import pytest

from command_line import exit_code
from fedprime.backbones.small_weights import lacking_weights
from fedprime.settings.recipes import find_recipe
from miniatures import write_table

DATA = Path(__file__).parents[1].parent / "shared" / "data"
PRODUCTS, DIGITS = DATA / "flipkart7", DATA / "fsdd_digits"
METHOD = ("--method.name=fedprime", "--method.num_prompts=4", "--method.pool_size=4")
SMALL = (*METHOD, "--training.rounds=2", "--evaluation.every=2")
needs_products = pytest.mark.skipif(not PRODUCTS.is_dir(), reason="the data flipkart7 is not here")
needs_digits = pytest.mark.skipif(not DIGITS.is_dir(), reason="the data fsdd_digits is not here")


def composite(folder: Path, **parts: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "composite.json").write_text(
        json.dumps({"dim": 16, "num_layers": 1, "num_heads": 2, "modalities": parts})
    )
    return folder


@needs_products
def test_products_are_checked_trained_on_and_predicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    backbone = composite(
        tmp_path / "composite",
        image={"encoder": "pixel_patches", "side": 32, "patch_size": 16},
        price={"encoder": "table", "numbers": {"retail_price": [2000, 7000], "discounted_price": [1500, 7000]}},
    )
    columns = ("image=file_name", "price=retail_price+discounted_price")
    assert exit_code("data", "check", PRODUCTS, "--json", "--columns", *columns) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["samples"] == {"train": 732, "validation": 105, "test": 210}
    assert sum(len(names) for names in found["missing"].values()) == 1
    words = ["--data.path", PRODUCTS, "--backbone", backbone, "--data.columns", *columns, *SMALL]
    words += ["--data.rows", "label=Watches,Computers"]
    assert exit_code("run", find_recipe("flipkart7/missing"), *words, "--output", tmp_path / "run") == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert list(results["scenarios"]) == ["like train", "miss both", "full", "image only", "price only"]
    assert results["scenarios"]["full"]["num_samples"] == 60
    (tmp_path / "new.csv").write_text(f"file_name,retail_price,discounted_price\n{PRODUCTS}/none.jpg,100,90\n,,\n")
    capsys.readouterr()
    assert exit_code("predict", tmp_path / "run", "--table", tmp_path / "new.csv") == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["present"] for row in rows] == ["price", ""]


@needs_digits
@pytest.mark.parametrize("variant", ["as_it_is", "absent"])
def test_speakers_are_clients_of_digits(variant: str, tmp_path: Path):
    backbone = composite(
        tmp_path / "composite",
        image={"encoder": "pixel_patches", "side": 32, "patch_size": 16},
        audio={"encoder": "log_mel", "sampling_rate": 8000, "num_bands": 8, "frames_per_token": 20},
    )
    words = ["--data.path", DIGITS, "--backbone", backbone, *SMALL, "--data.rows", "speaker=lucas,theo", "label=0,1,2"]
    words += ["--partition.num_clients=2", "--training.batch_size=64"]
    assert exit_code("run", find_recipe(f"fsdd_digits/{variant}"), *words, "--output", tmp_path / "run") == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["scenarios"]["full"]["num_samples"] == 30  # 5 sounds of each of 3 digits and 2 speakers
    held = json.loads((tmp_path / "run" / "missingness.json").read_text())
    assert [row["samples"] for row in held[:2]] == [120, 120]
    alone = [sum(count > 0 for count in row["present"].values()) == 1 for row in held[:2]]
    assert any(row["present"].get("image+audio", 0) < 120 for row in held[:2]) == (variant == "absent")
    assert all(alone)


@pytest.mark.slow  # of the encoders; that data chooses them is tested where experiments are built
@pytest.mark.skipif(bool(lacking_weights(("image", "text"))), reason="make encoders")
def test_files_of_ones_own_are_read_by_the_small_encoders_without_naming_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    table = write_table(tmp_path / "data")
    columns = ("image=file_name", "text=title", "facts=price+colour")
    words = ["--data.path", table, "--data.columns", *columns, *SMALL, "--partition.num_clients=2"]
    assert exit_code("run", "table/folder", *words, "--output", tmp_path / "run") == 0
    assert "knows the built-in world alone" not in capsys.readouterr().err
    assert 'backbone = "small"' in (tmp_path / "run" / "settings.toml").read_text()
    assert exit_code("predict", tmp_path / "run", "--table", table) == 0
    assert len(list(csv.DictReader(io.StringIO(capsys.readouterr().out)))) == 48
