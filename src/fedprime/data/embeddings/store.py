"""Where embeddings of one data set are kept: as many as fit at hand in memory, all of them on disk."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from fedprime.data.embeddings.cache import EmbeddingCache, key_of
from fedprime.data.embeddings.chunk_file import KEY_BYTES

# At hand beside a cache: the default built-in world fits (36 MB), so that its rounds are as fast as without one.
_BESIDE_CACHE_BYTES = 40 * 2**20
_WITHOUT_CACHE_BYTES = 2 * 2**30


class EmbeddingStore:
    """Embeddings by modality and sample, computed once while there is room for them.

    Without caches, embeddings are kept in memory up to 2 GB; what finds no room is computed whenever it is needed. With
    caches, little stays in memory, however many samples there are.
    """

    def __init__(
        self,
        num_samples: int = 0,
        identity: Callable[[int, str], str | None] = lambda *_: None,
        caches: Mapping[str, EmbeddingCache] | None = None,
        *,
        is_beside_cache: bool = False,
    ) -> None:
        """Takes the parts.

        Args:
            num_samples: Samples of the data set; with caches only.
            identity: What tells a sample's raw value of a modality from all others; None if that is not known. It is
                asked once, so that a run sees each value as it was when first needed.
            caches: By modality, where it is kept on disk; others stay in memory.
            is_beside_cache: Whether what finds no room is quickly made again of what another store keeps on disk.
        """
        self._identity = identity
        self._caches = dict(caches or {})
        self._is_beside_cache = is_beside_cache
        self._at_hand: dict[tuple[str, int], Tensor] = {}
        self._at_hand_bytes = 0
        # Pages of zeros take no memory before they are written to.
        self._keys: dict[str, UInt8[np.ndarray, "sample byte"]] = {
            modality: np.zeros((num_samples, KEY_BYTES), dtype=np.uint8) for modality in self._caches
        }
        self._asked: dict[str, Bool[np.ndarray, " sample"]] = {
            modality: np.zeros(num_samples, dtype=bool) for modality in self._caches
        }

    def get(self, modality: str, indices: Sequence[int]) -> dict[int, Float[Tensor, "_ width"]]:
        """Returns the embeddings that are there, by sample; they must not be written to."""
        found: dict[int, Tensor] = {}
        for index in indices:
            tokens = self._at_hand.get((modality, index))
            if tokens is None and (key := self.key(modality, index)) is not None:
                tokens = self._caches[modality].get(key)
                if tokens is not None and self._has_room(tokens):
                    self._keep(modality, index, tokens)
            if tokens is not None:
                found[index] = tokens
        return found

    def put(self, modality: str, embedded: Mapping[int, Float[Tensor, "_ width"]]) -> None:
        """Takes new embeddings."""
        for index, tokens in embedded.items():
            if self._has_room(tokens):
                self._keep(modality, index, tokens)
            if (key := self.key(modality, index)) is not None:
                self._caches[modality].put(key, tokens)

    def save(self) -> None:
        """Writes to disk what has not been written yet."""
        for cache in self._caches.values():
            cache.save()

    def _has_room(self, tokens: Tensor) -> bool:
        has_caches = self._caches and all(cache.is_writable for cache in self._caches.values())
        limit = _BESIDE_CACHE_BYTES if self._is_beside_cache or has_caches else _WITHOUT_CACHE_BYTES
        return self._at_hand_bytes + tokens.nbytes <= limit

    def _keep(self, modality: str, index: int, tokens: Tensor) -> None:
        self._at_hand[modality, index] = tokens
        self._at_hand_bytes += tokens.nbytes

    def key(self, modality: str, index: int) -> bytes | None:
        """Returns the key of a sample's value of a modality, under which it is cached; None if it cannot be."""
        if modality not in self._caches:
            return None
        row = self._keys[modality][index]
        if not self._asked[modality][index]:
            self._asked[modality][index] = True
            identity = self._identity(index, modality)
            if identity is not None:
                row[:] = np.frombuffer(key_of(identity), dtype=np.uint8)
        return row.tobytes() if row.any() else None
