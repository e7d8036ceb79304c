"""What samples have come to before a layer of a frozen transformer, kept by sample and by what is present of it."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from fedprime.data.embeddings.store import EmbeddingStore

#: Stands between the modalities of a pattern, whose names are words.
BETWEEN = "+"


class HiddenStates:
    """Hidden states of one data set before one layer at a time, computed once while there is room for them.

    Tokens of one modality look at those of the others, so a sample has other states with other modalities missing.
    """

    def __init__(
        self,
        compute: Callable[[Mapping[str, Sequence[Tensor | None]], int], list[Tensor]],
        open_store: Callable[[int], EmbeddingStore] = lambda _: EmbeddingStore(),
    ) -> None:
        """Takes the parts.

        Args:
            compute: Makes the states of embedded samples before a layer; those of a sample do not depend on the others.
            open_store: Returns where the states before a layer are kept; as modality it is asked for what is present,
                as ``"image+text"``.
        """
        self._compute = compute
        self._open_store = open_store
        self._layer = 0
        self._store = EmbeddingStore()

    def of(
        self, indices: Int[np.ndarray, " sample"], embedded: Mapping[str, Sequence[Tensor | None]], layer: int
    ) -> list[Float[Tensor, "_ dim"]]:
        """Returns the states of samples before a layer.

        Args:
            embedded: What the backbone made of each; None where a modality is missing.
            layer: The layer that the states go into.
        """
        if layer != self._layer:
            self._store.save()
            self._layer, self._store = layer, self._open_store(layer)
        there = [[name for name, parts in embedded.items() if parts[row] is not None] for row in range(len(indices))]
        patterns = [BETWEEN.join(present) for present in there]
        found: dict[str, dict[int, Tensor]] = {}
        for pattern in dict.fromkeys(patterns):
            rows = {int(indices[row]): row for row, own in enumerate(patterns) if own == pattern}
            found[pattern] = self._store.get(pattern, list(rows))
            new = {index: row for index, row in rows.items() if index not in found[pattern]}
            if new:
                alone = {name: [parts[row] for row in new.values()] for name, parts in embedded.items()}
                made = dict(zip(new, self._compute(alone, layer), strict=True))
                self._store.put(pattern, made)
                found[pattern] |= made
        return [found[pattern][int(index)] for pattern, index in zip(patterns, indices, strict=True)]

    def save(self) -> None:
        """Writes to disk what has been computed and not written yet."""
        self._store.save()
