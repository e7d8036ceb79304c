"""MM-IMDb: film posters and plots with the films' genres.

Source: Arevalo, Solorio, Montes-y-Gómez and González. Gated multimodal units for information fusion. ICLR workshops
    2017. 25,959 films: 15,552 for training, 2,608 for validation, 7,799 for the test.

Layout: ``split.json`` (ids of ``train``, ``dev`` and ``test``) and, for each id, ``dataset/ID.jpeg`` with
``dataset/ID.json``; or those in ``images/`` and ``labels/``.
"""

import logging
from pathlib import Path
from typing import Any

from fedprime.data.sets.annotations import find_folder, read_json
from fedprime.data.sets.pairs import Pair, open_pairs
from fedprime.data.sets.table.table import Table
from fedprime.data.sources import DataError
from fedprime.data.splits import named_splits

_NAME = "mmimdb"
_logger = logging.getLogger(__name__)

#: The genres of the literature, by name; the data set's others (adult, news, reality and talk shows) are ignored.
GENRES = (
    *("Action", "Adventure", "Animation", "Biography", "Comedy", "Crime", "Documentary", "Drama", "Family", "Fantasy"),
    *("Film-Noir", "History", "Horror", "Music", "Musical", "Mystery", "Romance", "Sci-Fi", "Short", "Sport"),
    *("Thriller", "War", "Western"),
)


def open_mmimdb(path: str | Path, num_classes: int | None = 8, *, several_labels: bool = False) -> Table:
    """Opens the data set; posters are read when they are needed. Of several plots, the longest counts.

    Source: the longest plot as in the code of Arevalo et al.

    With one class, films that have exactly one of the 23 genres are used, of the genres that most of them have, counted
    over all splits; classes are in the order of `GENRES`, one label map for all splits. The paper's 8 classes have
    5,778 samples; it does not say which they are, so another number here is no mistake.

    Args:
        num_classes: How many classes to use, the most frequent ones, with one class per film; None for all.
        several_labels: Whether to use all genres of all films that have at least one of the 23.

    Raises:
        DataError: If the folder has another layout, or a file of it is broken.
    """
    folder = find_folder(path, _NAME)
    place = folder / "split.json"
    splits = named_splits(read_json(place), str(place))
    images, annotations = _folders(folder)
    films = {film: folder / annotations / f"{film}.json" for ids in splits.values() for film in ids}
    known = {film: read_json(file) for film, file in films.items() if file.is_file()}
    if not known:
        raise DataError(f"{folder / annotations} has none of the {len(films)} files ID.json whose ids split.json names")
    genres = {film: _genres(entry, films[film]) for film, entry in known.items()}
    unlabelled = len(films) - sum(bool(own) for own in genres.values())
    if unlabelled:
        _logger.warning(
            "%s: %d of %d films are left out: %d without a file in %s, the others without any of the %d genres",
            *(_NAME, unlabelled, len(films), len(films) - len(known), folder / annotations, len(GENRES)),
        )
    pairs = [
        Pair(split, film, f"{images}/{film}.jpeg", _plot(known[film]), genres[film])
        for split, ids in splits.items()
        for film in ids
        if genres.get(film) and (several_labels or len(genres[film]) == 1)
    ]
    if several_labels:
        return open_pairs(_NAME, folder, pairs, GENRES, several_labels=True)
    return open_pairs(_NAME, folder, pairs, num_classes=num_classes)


def _folders(folder: Path) -> tuple[str, str]:
    """Returns where images and annotations lie."""
    if (folder / "dataset").is_dir():
        return "dataset", "dataset"
    if (folder / "images").is_dir() and (folder / "labels").is_dir():
        return "images", "labels"
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
