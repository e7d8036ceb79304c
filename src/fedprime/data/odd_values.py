"""Values that a data set or a backbone cannot take: each is a missing modality of its sample, told once and counted."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

_logger = logging.getLogger(__name__)


def place_of(source: object, index: int) -> str:
    """Returns where a person finds a sample: its file and row, if the data set can tell."""
    told = getattr(source, "place_of", None)
    return str(told(index)) if callable(told) else f"sample {index} of the data"


class OddValues:
    """What cannot be used of one data set.

    Attributes:
        reasons: By modality, by sample why its value cannot be used.
    """

    def __init__(self, source: object, num_named: int = 10) -> None:
        """Begins without any.

        Args:
            num_named: Values of each modality that the log names.
        """
        self._source, self._num_named = source, num_named
        self.reasons: dict[str, dict[int, str]] = {}

    def add(self, modality: str, reasons: Mapping[int, str]) -> None:
        """Takes values that turned out to be unusable; the log names the first ones."""
        known = self.reasons.setdefault(modality, {}) if reasons else {}
        for index, reason in reasons.items():
            if index in known:
                continue
            known[index] = reason
            if len(known) <= self._num_named:
                _logger.warning("%s: a missing %s: %s", place_of(self._source, index), modality, reason)
            elif len(known) == self._num_named + 1:
                _logger.warning("more of %s cannot be used; unusable.json of a run and data check name all", modality)

    def counts(self) -> dict[str, int]:
        """Returns how many values of each modality cannot be used."""
        return {modality: len(own) for modality, own in self.reasons.items()}

    def by_place(self) -> dict[str, dict[str, str]]:
        """Returns by modality, by where the sample is found, why its value cannot be used."""
        return {
            modality: {place_of(self._source, index): reason for index, reason in sorted(own.items())}
            for modality, own in self.reasons.items()
        }


def embed_usable(
    indices: Iterable[int], read: Callable[[int], object], embed: Callable[[Sequence[object]], list[Tensor]]
) -> tuple[dict[int, Tensor], dict[int, str]]:
    """Reads and embeds values: together, or where that fails each by itself, so that one costs no other.

    Args:
        read: Returns a value, or raises whatever its reader does.
        embed: The backbone's `embed` of one modality.

    Returns:
        The embeddings, and of what cannot be read or embedded why.
    """
    values: dict[int, object] = {}
    reasons: dict[int, str] = {}
    for index in indices:
        try:
            values[index] = read(index)
        except AssertionError:  # a mistake in a program
            raise
        except Exception as error:  # of whatever library decodes it
            reasons[index] = _reason(error)
    embedded = _embed_all(values, embed)
    if embedded is None:
        embedded = {}
        for index, value in values.items():
            try:
                embedded[index] = _checked(embed([value]))
            except Exception as error:  # of whatever library processes it
                reasons[index] = _reason(error)
    return embedded, reasons


def _embed_all(
    values: Mapping[int, object], embed: Callable[[Sequence[object]], list[Tensor]]
) -> dict[int, Tensor] | None:
    """Returns all embeddings, or None if one of the values is odd."""
    if not values:
        return {}
    try:
        together = embed(list(values.values()))
        return {index: _checked([tokens]) for index, tokens in zip(values, together, strict=True)}
    except Exception as error:  # which value is at fault is found out one by one
        _reason(error)
        return None


def _checked(embedded: list[Tensor]) -> Tensor:
    (tokens,) = embedded
    if not len(tokens):
        raise ValueError("the backbone finds nothing in it")
    if not tokens.isfinite().all():
        raise ValueError("the backbone makes numbers of it that are not finite")
    return tokens


def _reason(error: Exception) -> str:
    """Returns what an error says in one line; a machine that is short of memory says nothing about a value."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        raise error
    _logger.debug("a value cannot be used", exc_info=error)
    return " ".join(str(error).split())[:500] or type(error).__name__
