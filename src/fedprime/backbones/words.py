"""Which words a text has, by counting: nothing of it was trained, so names and numbers count as much as their meaning.

A language model knows what a text is about, and rarely which rare words say so. Each word has a place and a sign by a
hash, so nothing has to be fitted or agreed on, and no list of anybody's words is kept.

Source: Weinberger et al. Feature hashing for large scale multitask learning. ICML 2009.
"""

import re
from collections import Counter
from hashlib import blake2b

import numpy as np
from jaxtyping import Float

#: Numbers of `words_of`.
NUM_WORDS = 512

#: Where no spaces divide words, each letter is one.
_UNDIVIDED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # Japanese and Chinese
_WORD = re.compile(rf"[{_UNDIVIDED}]|[^\W{_UNDIVIDED}]+")


def words_of(text: str) -> Float[np.ndarray, " word"]:
    """Returns how often there are words of each place, one plus the logarithm for each word, with a length of 1.

    A text without a word is all zeros.
    """
    counted = np.zeros(NUM_WORDS)
    for word, count in Counter(_WORD.findall(text.casefold())).items():
        number = int.from_bytes(blake2b(word.encode(errors="replace"), digest_size=8).digest(), "little")
        place, is_negative = divmod(number, 2)
        counted[place % NUM_WORDS] += (-1 if is_negative else 1) * (1 + np.log(count))
    return counted / max(float(np.linalg.norm(counted)), 1e-12)
