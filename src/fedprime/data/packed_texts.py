"""Many texts in little memory: a Python object for each would take several times its length."""

from array import array
from collections.abc import Iterable, Sequence
from typing import overload

__all__ = ["PackedTexts"]

# JSON can hold halves of a surrogate pair, which UTF-8 cannot.
_CODEC = ("utf-8", "surrogatepass")


class PackedTexts(Sequence[str]):
    """A sequence of texts, one behind the other in UTF-8, with 8 bytes more for each.

    >>> texts = PackedTexts(["fresh", "", "käse"])
    >>> list(texts), texts[-1], texts.index("käse")
    (['fresh', '', 'käse'], 'käse', 2)
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Takes texts; of an iterator no more than one is in memory as an object.

        Args:
            texts: The texts.
        """
        self._content = bytearray()
        self._ends = array("q")
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        """Adds a text.

        Args:
            text: The text.
        """
        self._content += text.encode(*_CODEC)
        self._ends.append(len(self._content))

    def __len__(self) -> int:
        """Returns the number of texts."""
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        """Returns a text, or several.

        Args:
            index: Which; from the end if negative.

        Raises:
            IndexError: If there is none.
        """
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"there is no text {index} of {len(self)}")
        return self._content[self._ends[number - 1] if number else 0 : self._ends[number]].decode(*_CODEC)
