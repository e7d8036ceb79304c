"""Which samples are for training, validation and test, and which classes are in use."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Int

from fedprime.data.sources import DataError
from fedprime.reproducibility.errors import counted
from fedprime.reproducibility.seeding import stream

_logger = logging.getLogger(__name__)

#: The splits in the order in which they are numbered.
SPLITS = ("train", "validation", "test")
_OTHER_NAMES = {"dev": "validation", "val": "validation", "valid": "validation", "training": "train", "testing": "test"}


def split_name(found: str) -> str:
    """Returns the name that is used here for a split.

    Args:
        found: What data calls it.

    >>> split_name("Dev"), split_name("testing"), split_name("unlabelled")
    ('validation', 'test', 'unlabelled')
    """
    return _OTHER_NAMES.get(found.strip().lower(), found.strip().lower())


def names_of_splits(found: Iterable[str], place: str) -> dict[str, str]:
    """Returns by the name that is used here what data calls each split; what is none, by what it is called.

    Args:
        place: Where they were found, for messages.

    Raises:
        DataError: If two names mean one split.

    >>> names_of_splits(["train", "Dev", "more"], "here")
    {'train': 'train', 'validation': 'Dev', 'more': 'more'}
    """
    names: dict[str, str] = {}
    for name in found:
        split = split_name(name) if split_name(name) in SPLITS else name
        if split in names:
            raise DataError(f"{place} has {names[split]} and {name}, which both mean {split}; leave out or rename one")
        names[split] = name
    return names


def named_splits(found: Mapping[str, object], place: str) -> dict[str, list[str]]:
    """Returns the ids of each split under the names that are used here.

    Args:
        found: By name, for example ``"dev"``, the ids.

    Raises:
        DataError: If a name is not known, or there is no training or test split.

    >>> named_splits({"train": ["a"], "dev": ["b"], "test": ["c"]}, "split.json")
    {'train': ['a'], 'validation': ['b'], 'test': ['c']}
    """
    named: dict[str, list[str]] = {}
    for split, name in names_of_splits(found, place).items():
        ids = found[name]
        if not isinstance(ids, list):
            raise DataError(f"{place} holds no list of ids for {name}, but {type(ids).__name__}; take another copy")
        named[split] = [str(sample) for sample in ids]
    unknown = [name for name in named if name not in SPLITS]
    lacking = [name for name in ("train", "test") if not named.get(name)]
    if unknown or lacking:
        expected = "expected train, test and, if there is one, dev (or val, validation)"
        raise DataError(f"{place} has the splits {', '.join(found) or 'none'}; {expected}, each with samples")
    return {name: named[name] for name in SPLITS if name in named}


def without_repeats(splits: Mapping[str, Sequence[str]], place: str) -> dict[str, list[str]]:
    """Returns the ids of each split, each id once: of those in several, the test keeps it before the validation split.

    So nothing is trained on that is measured on. The log counts what was taken out.
    """
    seen: set[str] = set()
    kept: dict[str, list[str]] = {}
    for name in reversed(SPLITS):
        if name in splits:
            kept[name] = [sample for sample in dict.fromkeys(splits[name]) if sample not in seen]
            seen.update(kept[name])
    num_repeats = sum(len(splits[name]) - len(kept[name]) for name in kept)
    if num_repeats:
        _logger.warning("%s names %d samples twice; each is used once, for test before training", place, num_repeats)
    return {name: kept[name] for name in SPLITS if name in kept}


def most_frequent(classes: Sequence[str], num_classes: int | None, place: str) -> list[str]:
    """Returns the classes that most samples have; of equally frequent ones, the first by name.

    Args:
        num_classes: How many are wanted; None for all.

    Raises:
        DataError: If there are fewer.

    >>> most_frequent(["pie", "soup", "pie", "rice", "soup"], 2, "here")
    ['pie', 'soup']
    """
    counts = sorted(Counter(classes).items(), key=lambda entry: (-entry[1], entry[0]))
    if num_classes is not None and len(counts) < num_classes:
        raise DataError(
            f"{place} has {counted(len(counts), 'class')}, fewer than data.num_classes {num_classes}; ask for fewer"
        )
    return [name for name, _ in counts[:num_classes]]


def with_all_splits(
    splits: Mapping[str, Int[np.ndarray, " _"]],
    groups: Int[np.ndarray, " sample"],
    validation_share: float,
    test_share: float,
    sites: Int[np.ndarray, " sample"] | None = None,
) -> dict[str, Int[np.ndarray, " _"]]:
    """Returns splits of which one is for the test and one for validation.

    Where there is no test split, the validation split is the test; where there is neither, training samples are set
    apart for it.

    Args:
        groups: By sample of the data set, its class or rarest label.
        validation_share: Share of the training samples to set apart for validation.
        test_share: Share of the training samples to set apart for the test, before that.
        sites: By sample of the data set, its natural group, which keeps a sample to train on; all the same if None.
    """
    splits = dict(splits)
    if "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")
    elif "test" not in splits:
        splits["train"], splits["test"] = set_apart(splits["train"], groups, test_share, "test", sites)
    return with_validation(splits, groups, validation_share, sites)


def with_validation(
    splits: Mapping[str, Int[np.ndarray, " _"]],
    groups: Int[np.ndarray, " sample"],
    share: float,
    sites: Int[np.ndarray, " sample"] | None = None,
) -> dict[str, Int[np.ndarray, " _"]]:
    """Returns splits of which one is for validation; where there is none, training samples are set apart for it.

    Which ones depends on no seed of a run; every class gives its share, up to one sample.
    """
    if len(splits.get("validation", ())):
        return dict(splits)
    stays, apart = set_apart(splits["train"], groups, share, "validation", sites)
    return {"train": stays, "validation": apart, "test": splits["test"]}


def set_apart(
    samples: Int[np.ndarray, " _"],
    groups: Int[np.ndarray, " sample"],
    share: float,
    split: str,
    sites: Int[np.ndarray, " sample"] | None = None,
) -> tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]:
    """Divides samples into those that stay and those that are set apart for another split.

    Which ones depends on no seed of a run; every class gives its share, up to one sample. Of a natural group of which
    all would be set apart, one stays, unless there are no others.

    Args:
        samples: Which samples of the data set, in order.
        split: What for; another split draws others.
        sites: By sample of the data set, its natural group; all the same if None.

    Raises:
        DataError: If a share of them is none or all.
    """
    order = stream(0, f"{split} split").permutation(len(samples))
    order = order[np.argsort(groups[samples][order], kind="stable")]
    num_apart = round(share * len(samples))
    if not 0 < num_apart < len(samples):
        raise DataError(
            f"{num_apart} of {counted(len(samples), 'training sample')} would be set apart for {split} "
            f"(data.{split}_share is {share:g}); add samples, change that share, or say which are for {split}"
        )
    apart = order[((np.arange(num_apart) + 0.5) * len(samples) / num_apart).astype(np.int64)]
    if sites is not None:
        given = sites[samples]
        first = apart[np.unique(given[apart], return_index=True)[1]]
        kept = first[~np.isin(given[first], np.delete(given, apart))]
        apart = apart if len(kept) == len(apart) else np.setdiff1d(apart, kept)
    stays = np.setdiff1d(np.arange(len(samples)), apart)
    return samples[stays], samples[np.sort(apart)]
