"""The script that trains a composite from scratch: what it reads, what it hides, and that it learns."""

import argparse
import csv
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile

from fedprime.backbones import load_backbone
from fedprime.backbones.composite import CompositeBackbone
from fedprime.reproducibility.seeding import stream
from tool_scripts import load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("train_composite")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty rows of two classes: dark images, low tones and small numbers, or the opposite; some cells are empty."""
    folder = tmp_path_factory.mktemp("data")
    rng = stream(0, "data")
    rows = []
    for number in range(20):
        high = number % 2
        image = rng.integers(100 * high, 150 + 100 * high, size=(8, 8, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{number}.png")
        tone = 8000 * np.sin(2 * np.pi * (300 + 1500 * high) * np.arange(800) / 8000 + number)
        wavfile.write(folder / f"{number}.wav", 8000, tone.astype(np.int16))
        row = {"photo": f"{number}.png", "voice": f"{number}.wav", "size": str(high + 0.1 * rng.random())}
        if number >= 14:
            row[("photo", "voice", "size")[number % 3]] = ""
        rows.append({**row, "label": "high" if high else "low", "part": "held" if number < 6 else "train"})
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    parts = {
        "image": {"encoder": "pixel_patches", "side": 8, "patch_size": 4},
        "sound": {"encoder": "log_mel", "sampling_rate": 8000, "num_bands": 8, "frames_per_token": 2},
        "table": {"encoder": "table", "numbers": {"size": [0.5, 0.5]}},
    }
    (folder / "composite.json").write_text(json.dumps({"dim": 16, "num_heads": 2, "modalities": parts}))
    return folder


def arguments(script: ModuleType, data: Path, output: Path, *more: str) -> argparse.Namespace:
    words = [str(data), "--table", str(data / "table.csv"), "--columns", "image=photo", "sound=voice"]
    words += ["--rows", "part=train", "--held-out", "part=held", "--output", str(output), "--lr", "0.01"]
    return script.parse([*words, "--batch-size", "8", *more])


def test_it_learns_every_modality_and_writes_a_backbone(script: ModuleType, data: Path, tmp_path: Path) -> None:
    quality = script.train(arguments(script, data, tmp_path / "trained", "--steps", "80"))
    assert json.loads((tmp_path / "trained" / "quality.json").read_text()) == quality
    shown = {name.removeprefix("accuracy_") for name in quality if name.startswith("accuracy_")}
    assert shown == {"image", "sound", "table", "image+sound", "image+table", "sound+table", "image+sound+table"}
    # A guess is right in one of two cases.
    assert all(quality[f"accuracy_{name}"] > 0.8 for name in shown)
    trained, untrained = load_backbone(tmp_path / "trained"), load_backbone(data)
    assert isinstance(trained, CompositeBackbone)
    assert trained.modalities == untrained.modalities
    assert trained.fingerprint != untrained.fingerprint


def test_the_same_seed_writes_the_same_bits(script: ModuleType, data: Path, tmp_path: Path) -> None:
    for name, seed in (("one", "0"), ("again", "0"), ("other", "1")):
        script.train(arguments(script, data, tmp_path / name, "--steps", "2", "--seed", seed))
    one, again, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "again", "other"))
    assert one == again != other


def test_something_of_every_sample_is_shown_and_nothing_that_is_not_there(script: ModuleType) -> None:
    rng = stream(0, "shown")
    present = rng.random((400, 3)) < 0.5
    present[~present.any(axis=1), 1] = True
    shown = script.draw_shown(present, rng)
    assert shown.any(axis=1).all()
    assert not (shown & ~present).any()
    # Of three that are there, each is hidden in 3 of 10 cases, but one comes back where all three would be.
    hidden = 1 - script.draw_shown(np.ones((4000, 3), dtype=bool), rng).mean()
    assert hidden == pytest.approx(0.3 - 0.3**3 / 3, abs=0.02)


def test_hiding_a_modality_is_the_same_as_not_having_it(script: ModuleType, data: Path) -> None:
    backbone = CompositeBackbone.from_pretrained(data)
    rows = script.read_rows(data / "table.csv", ["part=held"])
    encoded = script.encode_rows(backbone, rows, {"image": "photo", "sound": "voice"}, data)
    shown = np.tile([True, False, True], (6, 1))
    with torch.no_grad():
        found = script.features(backbone, encoded, np.arange(6), shown)
    samples = [script.read_value(backbone, "image", row, "photo", data) for row in rows]
    tables = [script.read_value(backbone, "table", row, "table", data) for row in rows]
    embedded = {
        "image": backbone.embed("image", samples),
        "sound": [None] * 6,
        "table": backbone.embed("table", tables),
    }
    assert torch.allclose(found, backbone.encode(backbone.assemble(embedded)), atol=1e-5)


def test_rows_are_chosen_by_their_values_and_none_is_said(script: ModuleType, data: Path) -> None:
    assert len(script.read_rows(data / "table.csv", [])) == 20
    assert len(script.read_rows(data / "table.csv", ["part=train", "label=low,high"])) == 14
    with pytest.raises(SystemExit, match=r"no row of .*table\.csv has label=medium"):
        script.read_rows(data / "table.csv", ["label=medium"])


def test_a_modality_without_a_column_is_said(
    script: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        script.parse([str(data), "--table", "table.csv", "--columns", "image=photo", "--output", str(tmp_path)])
    assert "--columns does not say which column sound is in" in capsys.readouterr().err


def test_numbers_and_categories_of_a_table_are_taken_from_the_rows_to_learn_from(
    script: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "composite.json").write_text(
        json.dumps({"dim": 16, "num_heads": 2, "modalities": {"facts": {"encoder": "table"}}})
    )
    with (tmp_path / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["price", "brand", "label", "part"])
        writer.writerows([["1", "b", "x", "train"], ["3", " a ", "y", "train"], ["", "b", "x", "train"]])
        writer.writerow(["100", "c", "y", "held"])
    words = [str(tmp_path), "--table", str(tmp_path / "table.csv"), "--rows", "part=train", "--held-out", "part=held"]
    more = ["--steps", "2", "--columns", "facts=price+brand", "--output", str(tmp_path / "trained")]
    assert script.train(script.parse([*words, *more]))["rows"] == 3
    (part,) = json.loads((tmp_path / "trained" / "composite.json").read_text())["modalities"].values()
    assert part["numbers"] == {"price": [2.0, 1.0]}  # the mean and deviation of 1 and 3
    assert part["categories"] == {"brand": ["a", "b"]}
    backbone = load_backbone(tmp_path / "trained")
    assert [len(tokens) for tokens in backbone.embed("facts", [{"price": 2, "brand": "c"}, {"brand": "a"}])] == [2, 1]


@pytest.mark.parametrize(
    ("column", "problem"), [("cost", "no column 'cost' .*; it has price, brand"), ("brand", "'brand' is empty in all")]
)
def test_a_table_that_cannot_be_fitted_is_told(script: ModuleType, column: str, problem: str) -> None:
    with pytest.raises(SystemExit, match=problem):
        script.fitted_table([{"price": "1", "brand": "NaN"}, {"price": "2", "brand": " "}], [column])
