"""UPMC Food-101: photos of dishes from web pages with the pages' titles, 101 classes.

Source: Wang, Kumar, Thome, Cord and Precioso. Recipe recognition with large multimodal food dataset. ICME workshops
    2015. 90,840 photos, of which 90,688 have a text.

Two layouts are known; photos lie in ``images/train/CLASS/*.jpg`` and ``images/test/CLASS/*.jpg`` in both:

* of the research code: ``split.json`` (file names by split), ``text.json`` (texts by file name) and ``class_idx.json``
  (number by class); the class of ``apple_pie_17.jpg`` is ``apple_pie``
* of Kaggle: ``train_titles.csv`` and ``test_titles.csv``, here or in ``texts/``, with rows of file name, title, class
"""

from collections.abc import Mapping
from pathlib import Path

from fedprime.data.sets.annotations import find_folder, read_json, read_rows
from fedprime.data.sets.pairs import Pair, open_pairs
from fedprime.data.sets.table.table import Table
from fedprime.data.sources import DataError
from fedprime.data.splits import named_splits

_NAME = "food101"


def open_food101(path: str | Path, num_classes: int | None = 8) -> Table:
    """Opens the data set; photos are read when they are needed.

    The most frequent classes are counted over all splits, and their order is by name, so that there is one label map
    for all splits. The paper's 8 classes have 6,728 samples; it does not say which they are or whether samples without
    a text count, so another number of samples here is no mistake.

    Args:
        num_classes: How many classes to use, the most frequent ones; None for all.

    Raises:
        DataError: If the folder has neither layout, or a file of it is broken.
    """
    folder = find_folder(path, _NAME)
    titles = {split: file for split in ("train", "test") if (file := _titles_file(folder, split)) is not None}
    if (folder / "split.json").is_file():
        pairs = _research_pairs(folder, titles)
    elif len(titles) == 2:
        pairs = [_pair(split, *row) for split, file in titles.items() for row in _title_rows(file)]
    else:
        raise DataError(
            f"{folder} is not UPMC Food-101: expected split.json with text.json and class_idx.json, or "
            "train_titles.csv and test_titles.csv (here or in texts/), beside images/train and images/test"
        )
    if not (folder / "images").is_dir():
        raise DataError(f"{folder} has no folder images; expected photos in images/train/CLASS and images/test/CLASS")
    return open_pairs(_NAME, folder, pairs, num_classes=num_classes)


def _pair(split: str, name: str, text: str | None, label: str) -> Pair:
    return Pair(split, name, f"images/{'test' if split == 'test' else 'train'}/{label}/{name}", text, (label,))


def _research_pairs(folder: Path, titles: Mapping[str, Path]) -> list[Pair]:
    place = folder / "split.json"
    splits = named_splits(read_json(place), str(place))
    texts = _research_texts(folder, titles)
    pairs = [
        _pair(split, name, texts.get(name), name.rpartition("_")[0])
        for split, names in splits.items()
        for name in names
    ]
    if (folder / "class_idx.json").is_file():
        known = read_json(folder / "class_idx.json")
        unknown = sorted({own.name for own in pairs if own.labels[0] not in known})
        if unknown:
            raise DataError(
                f"{place} names {len(unknown)} files of classes that class_idx.json does not know, the "
                f"first is {unknown[0]}; expected names like apple_pie_17.jpg"
            )
    return pairs


def _research_texts(folder: Path, titles: Mapping[str, Path]) -> dict[str, str | None]:
    if (folder / "text.json").is_file():
        found = read_json(folder / "text.json").items()
        return {name: (text[0] if text else None) if isinstance(text, list) else text for name, text in found}
    if not titles:
        raise DataError(f"{folder} has no texts: expected text.json, or train_titles.csv and test_titles.csv")
    return {name: title for file in titles.values() for name, title, _ in _title_rows(file)}


def _titles_file(folder: Path, split: str) -> Path | None:
    candidates = (folder / f"{split}_titles.csv", folder / "texts" / f"{split}_titles.csv")
    return next((file for file in candidates if file.is_file()), None)


def _title_rows(file: Path) -> list[list[str]]:
    rows = read_rows(file, 3)
    return rows[1:] if rows and "." not in rows[0][0] else rows  # some copies have a header
