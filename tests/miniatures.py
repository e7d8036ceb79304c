"""Miniatures of benchmark data sets: the real layouts with a few tiny images, whose colour tells the class."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from fedprime.reproducibility.seeding import stream

DISHES = ("apple_pie", "beef_tartare", "sushi")
_COLOURS = ((200, 60, 40), (60, 160, 60), (50, 80, 200))
_WORDS = ("warm apple tart", "raw beef with capers", "rice and fish")


def write_photo(file: Path, label: int, number: int = 0) -> None:
    """Writes an image of 40 x 32 noisy pixels of the class's colour."""
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = stream(number, "photo", label).normal(0, 25, (32, 40, 3))
    pixels = np.clip(np.array(_COLOURS[label % 3]) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file)


def write_food101(folder: Path, counts: Mapping[str, tuple[int, int, int]] | None = None) -> Path:
    """Writes the layout of the research code.

    Args:
        folder: Where to.
        counts: By class, the numbers of training, validation and test samples.
    """
    counts = counts or dict.fromkeys(DISHES, (12, 3, 4))
    splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    texts: dict[str, list[str]] = {}
    for label, (dish, of_split) in enumerate(counts.items()):
        number = 0
        for split, count in zip(splits, of_split, strict=True):
            for _ in range(count):
                name = f"{dish}_{number}.jpg"
                write_photo(folder / "images" / ("test" if split == "test" else "train") / dish / name, label, number)
                texts[name] = [f"{_WORDS[label % 3]} number {number}"]
                splits[split].append(name)
                number += 1
    for file, content in (
        ("split.json", {split: names for split, names in splits.items() if names}),
        ("text.json", texts),
        ("class_idx.json", {dish: label for label, dish in enumerate(counts)}),
    ):
        (folder / file).write_text(json.dumps(content))
    return folder


def write_kaggle_food101(folder: Path, subfolder: str = "texts") -> Path:
    """Writes the layout of Kaggle: the same photos, titles in CSV files, no validation split."""
    write_food101(folder)
    splits, texts = (json.loads((folder / name).read_text()) for name in ("split.json", "text.json"))
    (folder / subfolder).mkdir(exist_ok=True)
    for split, names in (("train", splits["train"] + splits["val"]), ("test", splits["test"])):
        lines = [f'{name},"{texts[name][0]}, a recipe",{name.rpartition("_")[0]}\n' for name in names]
        (folder / subfolder / f"{split}_titles.csv").write_text("".join(lines))
    for name in ("split.json", "text.json", "class_idx.json"):
        (folder / name).unlink()
    return folder


def write_mmimdb(folder: Path, genres: Mapping[str, list[str]] | None = None) -> Path:
    """Writes films whose genres are given by id, two of three for training; by default 45 of three genres."""
    mixes = (["Drama"], ["Comedy"], ["Horror"], ["Drama", "War"], ["Comedy", "News"])
    genres = genres or {f"{number:07d}": mixes[number % 5] for number in range(45)}
    splits: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for number, (film, own) in enumerate(genres.items()):
        label = ["Drama", "Comedy", "Horror"].index(own[0]) if own and own[0] in ("Drama", "Comedy", "Horror") else 0
        write_photo(folder / "dataset" / f"{film}.jpeg", label, number)
        plots = ["Short.", f"A long story of {_WORDS[label]}."]
        (folder / "dataset" / f"{film}.json").write_text(json.dumps({"plot": plots, "genres": own, "title": "A film"}))
        splits[("train", "train", "train", "dev", "test")[number // 5 % 5]].append(film)
    (folder / "split.json").write_text(json.dumps(splits))
    return folder


def write_hateful_memes(folder: Path, *, test_has_labels: bool = True) -> Path:
    """Writes 24 memes for training, 6 for validation and 8 for the test."""
    number = 0
    for split, count in (("train", 24), ("dev", 6), ("test", 8)):
        lines = []
        for _ in range(count):
            label, image = number % 2, f"img/{number:05d}.png"
            write_photo(folder / image, label, number)
            row = {"id": number, "img": image, "label": label, "text": _WORDS[label]}
            if split == "test" and not test_has_labels:
                del row["label"]
            lines.append(json.dumps(row) + "\n")
            number += 1
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return folder


def write_sound(file: Path, label: int, number: int = 0) -> None:
    """Writes a tenth of a second of a tone whose height tells the class."""
    file.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(800) / 8000
    soundfile.write(file, 0.5 * np.sin(2 * np.pi * (300 + 500 * (label % 3)) * times + number), 8000)


def write_csv(file: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """Writes rows of equal columns as a CSV file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def table_rows(folder: Path, num_rows: int = 48) -> list[dict[str, object]]:
    """Writes photos and sounds, and returns rows about them: three dishes, of every sixth row one is for the test."""
    rows: list[dict[str, object]] = []
    for number in range(num_rows):
        label = number % 3
        write_photo(folder / "photos" / f"{number}.png", label, number)
        write_sound(folder / "sounds" / f"{number}.wav", label, number)
        rows.append(
            {
                "file_name": f"photos/{number}.png",
                "audio": f"sounds/{number}.wav",
                "title": f"dish {number}",
                "text": _WORDS[label],
                "price": f"{label + 1}.5",
                "colour": ("red", "green", "blue")[label],
                "label": DISHES[label],
                "split": "test" if number // 3 % 4 == 0 else "train",
                "client": f"shop {number % 4}",
            }
        )
    return rows


def write_table(folder: Path, num_rows: int = 48) -> Path:
    """Writes a folder with photos, sounds and metadata.csv."""
    write_csv(folder / "metadata.csv", table_rows(folder, num_rows))
    return folder
