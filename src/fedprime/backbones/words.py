"""Which words a text has, by counting: nothing of it was trained, so names and numbers count as much as their meaning.

A language model knows what a text is about, and rarely which rare words say so. Each word has a place and a sign by a
hash, so nothing has to be fitted or agreed on, and no list of anybody's words is kept.

Of languages that the model was not trained on it knows little, and many of them bend words, join them, or write no
spaces between them, so that words come again in parts only. So a word of other letters than Latin ones counts by its
parts, too: two to four letters that follow each other. Letters of Chinese and Japanese are words by themselves.

Sources: Weinberger et al. Feature hashing for large scale multitask learning. ICML 2009; Cavnar and Trenkle.
N-Gram-Based Text Categorization. SDAIR 1994, for parts.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
from jaxtyping import Float

#: What decides them beside the text; to be raised when the same text gives other numbers.
WORDS = "words 2"
#: Numbers of `words_of`.
NUM_WORDS = 512

_LENGTHS = (2, 3, 4)  # of parts of words

#: Where no spaces divide words, each letter is one.
_UNDIVIDED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # Japanese and Chinese
_WORD = re.compile(rf"[{_UNDIVIDED}]|[^\s{_UNDIVIDED}]+")
_NOT_LATIN = re.compile(r"[^\x00-\u036f\u1e00-\u1eff]")


def words_of(text: str) -> Float[np.ndarray, " word"]:
    """Returns how often there are words of each place, one plus the logarithm for each word, with a length of 1.

    A text without a word is all zeros.
    """
    counted = np.zeros(NUM_WORDS)
    for word, count in Counter(_words_in(text)).items():
        number = int.from_bytes(blake2b(word.encode(errors="replace"), digest_size=8).digest(), "little")
        place, is_negative = divmod(number, 2)
        counted[place % NUM_WORDS] += (-1 if is_negative else 1) * (1 + np.log(count))
    return counted / max(float(np.linalg.norm(counted)), 1e-12)


def _words_in(text: str) -> Iterator[str]:
    """Yields the words of a text, and the parts of those of other letters than Latin ones; ends are spaces there."""
    plain = "".join(letter if _is_of_word(letter) else " " for letter in unicodedata.normalize("NFC", text).casefold())
    for word in _WORD.findall(plain):
        yield word
        if len(word) > 1 and _NOT_LATIN.search(word):
            whole = f" {word} "
            yield from (
                whole[start : start + length] for length in _LENGTHS for start in range(len(whole) - length + 1)
            )


def _is_of_word(letter: str) -> bool:
    """Returns whether a character is of a word: a letter, a digit, an accent or a vowel sign, as of Hindi and Thai."""
    return letter.isalnum() or letter == "_" or unicodedata.category(letter).startswith("M")
