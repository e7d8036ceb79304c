"""MM-IMDb: film posters and plots with the films' genres.

Source: Arevalo, Solorio, Montes-y-Gómez and González. Gated multimodal units for information fusion. ICLR workshops
    2017. 25,959 films: 15,552 for training, 2,608 for validation, 7,799 for the test.

Layout: ``split.json`` (ids of ``train``, ``dev`` and ``test``) and, for each id, ``dataset/ID.jpeg`` with
``dataset/ID.json``; or those in ``images/`` and ``labels/``.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from fedprime.data.batches import DataError
from fedprime.data.sets.annotations import find_folder, read_json
from fedprime.data.sets.pairs import Pairs
from fedprime.data.splits import most_frequent, named_splits, without_repeats

__all__ = ["GENRES", "open_mmimdb"]

_NAME = "mmimdb"
_logger = logging.getLogger(__name__)

#: The genres of the literature, by name; the data set's others (adult, news, reality and talk shows) are ignored.
GENRES = (
    *("Action", "Adventure", "Animation", "Biography", "Comedy", "Crime", "Documentary", "Drama", "Family", "Fantasy"),
    *("Film-Noir", "History", "Horror", "Music", "Musical", "Mystery", "Romance", "Sci-Fi", "Short", "Sport"),
    *("Thriller", "War", "Western"),
)


def open_mmimdb(path: str | Path, num_classes: int | None, *, several_labels: bool) -> Pairs:
    """Opens the data set; posters are read when they are needed. Of several plots, the longest counts.

    Source: the longest plot as in the code of Arevalo et al.

    With one class, films that have exactly one of the 23 genres are used, of the genres that most of them have, counted
    over all splits; classes are in the order of `GENRES`, one label map for all splits. The paper's 8 classes have
    5,778 samples; it does not say which they are, so another number here is no mistake.

    Args:
        path: Its folder.
        num_classes: How many classes to use, the most frequent ones, with one class per film; None for all.
        several_labels: Whether to use all genres of all films that have at least one of the 23.

    Raises:
        DataError: If the folder has another layout, or a file of it is broken.
    """
    folder = find_folder(path, _NAME)
    place = folder / "split.json"
    splits = without_repeats(named_splits(read_json(place), str(place)), str(place))
    images, annotations = _folders(folder)
    films = {film: annotations / f"{film}.json" for ids in splits.values() for film in ids}
    known = {film: read_json(file) for film, file in films.items() if file.is_file()}
    if not known:
        raise DataError(f"{annotations} has none of the {len(films)} files ID.json whose ids split.json names")
    genres = {film: _genres(entry, annotations / f"{film}.json") for film, entry in known.items()}
    unlabelled = len(films) - sum(bool(own) for own in genres.values())
    if unlabelled:
        _logger.warning(
            "%s: %d of %d films are left out: %d have no file in %s, the others none of the %d genres",
            *(_NAME, unlabelled, len(films), len(films) - len(known), annotations, len(GENRES)),
        )
    if several_labels:
        label_names, usable = list(GENRES), {film: own for film, own in genres.items() if own}
    else:
        single = {film: own for film, own in genres.items() if len(own) == 1}
        chosen = most_frequent([own[0] for own in single.values()], num_classes, f"{folder}, of films with one genre,")
        label_names = [genre for genre in GENRES if genre in chosen]
        usable = {film: own for film, own in single.items() if own[0] in chosen}
    kept = [(split, film) for split, ids in splits.items() for film in ids if film in usable]
    applies = np.array([[genre in usable[film] for genre in label_names] for _, film in kept], dtype=np.float32)
    return Pairs(
        _NAME,
        (film for _, film in kept),
        (images / f"{film}.jpeg" for _, film in kept),
        (_plot(known[film]) for _, film in kept),
        applies if several_labels else applies.argmax(axis=1),
        label_names,
        {split: np.flatnonzero([own == split for own, _ in kept]) for split in splits},
        "several_labels" if several_labels else "one_class",
    )


def _folders(folder: Path) -> tuple[Path, Path]:
    if (folder / "dataset").is_dir():
        return folder / "dataset", folder / "dataset"
    if (folder / "images").is_dir() and (folder / "labels").is_dir():
        return folder / "images", folder / "labels"
    raise DataError(
        f"{folder} is not MM-IMDb: beside split.json, expected dataset/ with ID.jpeg and ID.json, or images/ and "
        "labels/"
    )


def _genres(entry: dict[str, Any], file: Path) -> list[str]:
    found = entry.get("genres", [])
    if not isinstance(found, list):
        raise DataError(f"{file}: genres are {found!r}, expected a list of names")
    return [genre for genre in GENRES if genre in found]


def _plot(entry: dict[str, Any]) -> str | None:
    plots = entry.get("plot") or []
    return max((plot for plot in ([plots] if isinstance(plots, str) else plots) if plot), key=len, default=None)
