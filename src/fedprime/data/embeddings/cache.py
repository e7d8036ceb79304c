"""What one backbone makes of one modality, kept on disk: computed once ever, by whichever process comes first."""

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt64
from torch import Tensor

from fedprime.data.embeddings.cache_folder import LIMIT_VARIABLE, PLACE_VARIABLE, CacheFolder, CacheFullError
from fedprime.data.embeddings.chunk_file import KEY_BYTES, BrokenChunkError, Chunk, chunk_bytes

_logger = logging.getLogger(__name__)

_CHUNK_ENTRIES, _CHUNK_BYTES = 512, 16 * 2**20
_OPEN_FILES = 128  # of 1,024 or more that a process may have
_NOTED_SECONDS = 3600.0  # how long a note that a chunk is being used counts, see `CacheFolder.note_use`


def key_of(identity: str) -> bytes:
    """Returns the key of a raw value.

    Args:
        identity: What tells it from all other values of its modality.
    """
    return blake2b(identity.encode(), digest_size=KEY_BYTES).digest()


class EmbeddingCache:
    """A space of the cache folder: embeddings by key, of everything that one description says.

    Attributes:
        is_writable: False once writing has failed, or there is no room left; the log says so. Reading goes on.
    """

    def __init__(self, folder: CacheFolder, description: Mapping[str, str], notes: Mapping[str, str]) -> None:
        """Opens a space; nothing is read or made yet.

        Args:
            description: Everything that decides an embedding beside the raw value.
            notes: What else to tell a person about the space.
        """
        self.is_writable = True
        self._folder = folder
        self._space = blake2b(json.dumps(sorted(description.items())).encode(), digest_size=12).hexdigest()
        self._description = {**notes, **description}
        self._listed = -1  # when the space had last changed, as it was last listed
        self._paths: list[Path] = []
        self._numbers: dict[Path, int] = {}
        # By ascending head of the key, where an entry is; in arrays, which take a tenth of the room of a dict.
        self._heads = np.empty(0, dtype=np.uint64)
        self._places = np.empty((0, 2), dtype=np.int32)  # (entry, chunk and row)
        self._opened: dict[int, Chunk] = {}
        self._in_turn: OrderedDict[int, Chunk] = OrderedDict()  # those whose files are open, the last used one last
        self._noted_until: dict[int, float] = {}
        self._pending: dict[bytes, Tensor] = {}
        self._pending_bytes = 0

    def get(self, key: bytes) -> Float[Tensor, "token width"] | None:
        """Returns an embedding, or None if it is not there; it must not be written to."""
        if key in self._pending:
            return self._pending[key]
        found = self._find(key)
        if found is None and self._list_new():
            found = self._find(key)
        return found

    def put(self, key: bytes, tokens: Float[Tensor, "token width"]) -> None:
        """Takes an embedding; it is written to disk with others, or when `save` is called."""
        if self.is_writable:
            self._pending[key] = tokens.detach().cpu()
            self._pending_bytes += tokens.nbytes
            if len(self._pending) >= _CHUNK_ENTRIES or self._pending_bytes >= _CHUNK_BYTES:
                self.save()

    def save(self) -> None:
        """Writes what has not been written yet. If that is impossible, the log says why, once."""
        pending, self._pending, self._pending_bytes = self._pending, {}, 0
        kinds: dict[tuple[torch.dtype, int], dict[bytes, Tensor]] = {}
        for key, tokens in pending.items():
            if self.get(key) is None:  # another process may have been faster
                kinds.setdefault((tokens.dtype, tokens.shape[1]), {})[key] = tokens
        try:
            for embedded in kinds.values():
                name = blake2b(b"".join(embedded), digest_size=12).hexdigest()
                self._folder.add(self._space, self._description, name, chunk_bytes(embedded))
        except OSError as error:
            self._stop_writing(error)

    def _stop_writing(self, error: OSError) -> None:
        if not self.is_writable:
            return
        self.is_writable = False
        is_full = isinstance(error, CacheFullError)
        remedy = f"raise {LIMIT_VARIABLE}" if is_full else f"free space, or name another folder with {PLACE_VARIABLE}"
        _logger.warning(
            "the cache %s takes no more embeddings: %s; the run goes on, but what finds no room in memory is computed "
            "again whenever it is needed; %s",
            *(self._folder.path, error, remedy),
        )

    def _find(self, key: bytes) -> Tensor | None:
        head = _heads_of(np.frombuffer(key, dtype=np.uint8)[None])[0]
        first, after = np.searchsorted(self._heads, head, "left"), np.searchsorted(self._heads, head, "right")
        for number, row in self._places[first:after].tolist():
            chunk = self._open(number)
            if chunk is not None and chunk.keys[row].tobytes() == key:
                try:
                    return chunk.read(row)
                except BrokenChunkError as error:
                    self._discard(number, error)
                except OSError as error:
                    self._leave_out(number, error)
        return None

    def _open(self, number: int) -> Chunk | None:
        """Returns a chunk whose file may be opened, or None if it is gone or broken."""
        if number not in self._opened:
            chunk = self._load(number)
            if chunk is None:
                return None
            self._opened[number] = chunk
        if time.monotonic() > self._noted_until.get(number, 0.0):
            self._noted_until[number] = time.monotonic() + _NOTED_SECONDS
            self._folder.note_use(self._paths[number])
        chunk = self._in_turn[number] = self._opened[number]
        self._in_turn.move_to_end(number)
        if len(self._in_turn) > _OPEN_FILES:
            self._in_turn.popitem(last=False)[1].close()
        return chunk

    def _load(self, number: int) -> Chunk | None:
        try:
            return Chunk(self._paths[number])
        except BrokenChunkError as error:
            self._discard(number, error)
        except OSError as error:
            self._leave_out(number, error)
        return None

    def _leave_out(self, number: int, error: OSError) -> None:
        self._forget(number)
        if not isinstance(error, FileNotFoundError):  # that one had to make room for others
            _logger.warning("what is in %s is computed again: %s", self._paths[number], error)

    def _discard(self, number: int, error: BrokenChunkError) -> None:
        """Removes a broken chunk, so that what it held is computed again."""
        _logger.warning("%s is broken (%s); what it held is computed again", self._paths[number], error)
        self._forget(number)
        try:
            self._paths[number].unlink(missing_ok=True)
        except OSError as failure:
            _logger.warning("it cannot be removed: %s", failure)

    def _forget(self, number: int) -> None:
        keep = self._places[:, 0] != number
        self._heads, self._places = self._heads[keep], self._places[keep]
        self._opened.pop(number, None)
        self._in_turn.pop(number, None)
        self._noted_until.pop(number, None)
        self._numbers.pop(self._paths[number], None)  # it may be written again

    def _list_new(self) -> bool:
        """Looks for chunks that were written since it last looked, and says whether there are any."""
        place = self._folder.space_path(self._space)
        try:
            changed = place.stat().st_mtime_ns
            if changed == self._listed:
                return False
            paths = sorted(path for path in place.iterdir() if path.suffix == ".safetensors")
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            self._stop_writing(error)
            return False
        self._listed = changed
        new = [path for path in paths if path not in self._numbers]
        for path in new:
            number = self._numbers[path] = len(self._paths)
            self._paths.append(path)
            chunk = self._load(number)
            if chunk is not None:
                heads = _heads_of(chunk.keys)
                order = np.argsort(heads)
                at = np.searchsorted(self._heads, heads[order])
                self._heads = np.insert(self._heads, at, heads[order])
                own = np.stack([np.full(len(order), number), order], axis=1)
                self._places = np.insert(self._places, at, own, axis=0)
        return bool(new)


def _heads_of(keys: UInt8[np.ndarray, "entry byte"]) -> UInt64[np.ndarray, " entry"]:
    """Returns the first 8 bytes of keys as numbers, to be sorted by."""
    return np.ascontiguousarray(keys[:, :8]).view(np.uint64)[:, 0]
