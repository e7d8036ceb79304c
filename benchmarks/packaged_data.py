"""Real data sets that come in packages of pip, npm and Debian, written as tables that a person may have.

- *digits*: photos of handwritten digits (8 x 8 pixels) beside counts of ink by row and by column, of scikit-learn. Test
  samples are the last, as its documentation has it: they are by other writers.
- *nuclei*: tables of measurements of cell nuclei, of scikit-learn; means, errors and worst values are a modality each.
- *emoji*: Twitter's pictures of emoji and their names, in nine categories, of npm's `emoji-datasource-twitter`.
- *stamps*: photos and drawings with an English sentence each, some with a sound, in eight categories, of Debian's
  `tuxpaint-stamps-default`.
- *syllables*: spoken letters and syllables with one vowel, which is to be told, in twelve languages, of Debian's
  `klettres-data`. Left out are languages that do not write vowels as they are spoken.
"""

import csv
import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits

_GROUPS = ("mean", "error", "worst")
_SIDE = 8  # pixels of a photo of a digit
_ROWS, _COLUMNS = ([f"{name}_{index}" for index in range(_SIDE)] for name in ("row", "column"))
_NUCLEI_DATA: Any = load_breast_cancer()  # annotated as if it were a pair
_NUCLEI = [str(name).replace(" ", "_") for name in _NUCLEI_DATA.feature_names]
_MIN_STAMPS = 20  # of a category; smaller ones are left out
#: By name, the flags that say which column is what.
PACKAGED = {
    "digits": ("--data.columns", "image=file_name", f"ink:table={'+'.join([*_ROWS, *_COLUMNS])}"),
    "nuclei": (
        "--data.columns",
        *(f"{group}:table={'+'.join(name for name in _NUCLEI if group in name.split('_'))}" for group in _GROUPS),
    ),
    "emoji": ("--data.columns", "image=file_name", "text=text"),
    "stamps": ("--data.columns", "image=image", "text=text", "audio=sound"),
    "syllables": ("--data.columns", "audio=sound", "source:table=language+kind"),
}
_SPELT_AS_SPOKEN = ("cs", "da", "de", "es", "hu", "it", "lt", "nb", "nds", "nl", "pt_BR", "tn")
_TEST_SHARE = 1 / 3
_HOW_TO_HAVE = {
    "emoji": "npm pack emoji-datasource-twitter@15.1.2 && tar xzf emoji-datasource-twitter-15.1.2.tgz",
    "stamps": "apt-get download tuxpaint-stamps-default && dpkg -x tuxpaint-stamps-default_*.deb .",
    "syllables": "apt-get download klettres-data && dpkg -x klettres-data_*.deb .",
}

Rows = list[list[object]]


def write_packaged(name: str, folder: Path) -> None:
    """Writes a table, its photos and sounds, unless they are there.

    Args:
        name: One of `PACKAGED`.
        folder: Where to. What npm and dpkg unpack lies in the folder that this one is in.
    """
    if (folder / "metadata.csv").exists():
        return
    writers: Mapping[str, Callable[[Path], tuple[list[str], Rows]]] = {
        "digits": _digits,
        "nuclei": lambda _: (_NUCLEI, _with_labels(_NUCLEI_DATA.data.tolist(), _NUCLEI_DATA)),
        "emoji": _emoji,
        "stamps": _stamps,
        "syllables": _syllables,
    }
    (folder / "files").mkdir(parents=True, exist_ok=True)
    header, rows = writers[name](folder)
    num_train = round((1 - _TEST_SHARE) * len(rows))
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*header, "label", "split"])
        for index, row in enumerate(rows):
            writer.writerow([*row, "train" if index < num_train else "test"])


def _digits(folder: Path) -> tuple[list[str], Rows]:
    data: Any = load_digits()
    files = [f"files/{index}.png" for index in range(len(data.images))]
    for file, pixels in zip(files, data.images, strict=True):
        Image.fromarray((pixels / 16 * 255).astype(np.uint8)).save(folder / file)
    ink = np.concatenate([data.images.sum(axis=2), data.images.sum(axis=1)], axis=1)
    rows = [[file, *own] for file, own in zip(files, ink, strict=True)]
    return ["file_name", *_ROWS, *_COLUMNS], _with_labels(rows, data)


def _emoji(folder: Path) -> tuple[list[str], Rows]:
    package = _unpacked("emoji", folder.parent, "package")
    rows: Rows = []
    for emoji in json.loads((package / "emoji.json").read_text(encoding="utf-8")):
        photo = package / "img" / "twitter" / "64" / emoji["image"]
        if emoji["category"] != "Component" and photo.exists():
            shutil.copy(photo, folder / "files" / photo.name)
            names = " ".join(emoji["short_names"]).replace("_", " ").replace("-", " ")
            rows.append([f"files/{photo.name}", names, emoji["category"]])
    return ["file_name", "text"], _shuffled(rows)


def _stamps(folder: Path) -> tuple[list[str], Rows]:
    stamps = _unpacked("stamps", folder.parent, "usr/share/tuxpaint/stamps")
    rows: Rows = []
    for photo in sorted(stamps.rglob("*.png")):
        place = photo.relative_to(stamps)
        sounds = [photo.with_suffix(ending) for ending in (".ogg", ".wav")]
        files = [photo, *(sound for sound in sounds if sound.exists())]
        copies = ["-".join(file.relative_to(stamps).parts) for file in files]
        for file, copy in zip(files, copies, strict=True):
            shutil.copy(file, folder / "files" / copy)
        about = photo.with_suffix(".txt")  # the first line is English
        words = about.read_text(encoding="utf-8", errors="replace") if about.exists() else ""
        sound = f"files/{copies[1]}" if len(copies) > 1 else ""
        rows.append([f"files/{copies[0]}", words.partition("\n")[0].strip(), sound, place.parts[0]])
    sizes = Counter(row[-1] for row in rows)
    return ["image", "text", "sound"], _shuffled([row for row in rows if sizes[row[-1]] >= _MIN_STAMPS])


def _syllables(folder: Path) -> tuple[list[str], Rows]:
    spoken = _unpacked("syllables", folder.parent, "usr/share/klettres")
    rows: Rows = []
    for sound in sorted(spoken.rglob("*.ogg")):
        language, kind, name = sound.relative_to(spoken).parts
        vowels = set(re.findall("[aeiou]", sound.stem.lower()))
        if language in _SPELT_AS_SPOKEN and sound.stem.isascii() and len(vowels) == 1:
            copy = f"files/{language}-{kind}-{name}"
            shutil.copy(sound, folder / copy)
            rows.append([copy, language, kind, vowels.pop()])
    return ["sound", "language", "kind"], _shuffled(rows)


def _unpacked(name: str, inside: Path, place: str) -> Path:
    if not (inside / place).is_dir():
        raise SystemExit(f"{name} is not unpacked yet: cd {inside} && {_HOW_TO_HAVE[name]}")
    return inside / place


def _shuffled(rows: Rows) -> Rows:
    random.Random(0).shuffle(rows)
    return rows


def _with_labels(rows: Sequence[Sequence[object]], data: Any) -> Rows:
    return [[*row, f"class {data.target_names[label]}"] for row, label in zip(rows, data.target, strict=True)]
