"""What no backbone can take: left out before samples are divided, refused where it is all there is of a modality."""

import copy
from collections.abc import Callable

from fedprime.data.batches import EmbeddedSamples, Encoded
from fedprime.data.sets.table.table import Table
from fedprime.data.sources import DataError


def leave_out_odd_values(samples: EmbeddedSamples, watch: Callable[[Encoded], object] = lambda _: None) -> None:
    """Tries every value of a data set; those that cannot be used are missing from then on.

    Raises:
        DataError: If there are any, and the data set lets nobody say so.
    """
    samples.try_all(watch)
    samples.save()
    if not samples.odd.reasons:
        return
    source = copy.copy(samples.source)  # that of a caller stays as it was
    there = source.there.copy()
    there[:, [source.modalities.index(modality) for modality in samples.modalities]] = samples.there
    try:
        source.there = there
    except AttributeError as error:
        raise DataError(
            f"some values of {type(source).__name__} cannot be used, and its `there` cannot be set ({error}); leave "
            f"them out: {samples.odd.by_place()}"
        ) from error
    samples.source = source


def refuse_absent(samples: EmbeddedSamples, *, may_be_empty: bool) -> None:
    """Raises a `DataError` that says why if no sample has anything of a modality: paths or columns are wrong.

    Args:
        samples: After `leave_out_odd_values`.
        may_be_empty: Whether it is none where all cells are empty, as at a site that has none of it.
    """
    source = samples.source
    for column, modality in enumerate(samples.modalities):
        odd = samples.odd.by_place().get(modality, {})
        if len(source) == 0 or samples.there[:, column].any():
            continue
        if odd:
            place, reason = next(iter(odd.items()))
            raise DataError(f"none of {len(odd):,} values of {modality} can be used; the first is {place}: {reason}")
        why = source.why_absent(modality) if isinstance(source, Table) else ""
        if why or not may_be_empty:
            raise DataError(
                f"no sample has any {modality}{why}; mend the table, or name those to use in data.modalities"
            )
