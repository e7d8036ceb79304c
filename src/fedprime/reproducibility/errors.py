"""What a person can put right: the class of such errors, names that were meant, counts, words of strangers."""

import difflib
import shlex
from collections.abc import Iterable

_CONTROL = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), " ")
_CONTROL |= {ord(sign): sign for sign in "\n\t"}


class FedprimeError(ValueError):
    """Input, files or machines that are not as they should be; the message says what to do, no traceback is needed.

    Whatever derives from it is told in one line by the command line, by the workers of a grid and by sites.
    """


def nearest_name(name: str, names: Iterable[str]) -> str:
    """Returns a hint at the name that was probably meant, or nothing.

    >>> nearest_name("learning.lr", ["training.lr", "training.rounds"])
    '; did you mean training.lr?'
    >>> nearest_name("price", ["price "])
    "; did you mean 'price '?"
    """
    known = list(names)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    if not close:
        # The last part is what people remember: they write "lr" for "training.lr". Several settings may share it.
        last_parts = difflib.get_close_matches(
            name.rsplit(".", 1)[-1], {entry.rsplit(".", 1)[-1] for entry in known}, n=1
        )
        close = [entry for entry in known if entry.rsplit(".", 1)[-1] in last_parts]
    # Quoted where one would not see what is there: a space at the end.
    shown = [entry if entry.isprintable() and entry == entry.strip() else repr(entry) for entry in close]
    return f"; did you mean {' or '.join(shown)}?" if close else ""


def counted(number: int, noun: str) -> str:
    """Returns how many there are of something, in words that fit one, too.

    >>> counted(1, "class"), counted(2, "class"), counted(3, "category"), counted(1200, "row")
    ('1 class', '2 classes', '3 categories', '1,200 rows')
    """
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def as_word(path: object) -> str:
    """Returns a path as a shell takes it, where a command is told that a person may copy.

    >>> as_word("runs/mine"), as_word("my runs/mine")
    ('runs/mine', "'my runs/mine'")
    """
    return shlex.quote(str(path))


def printable(text: str) -> str:
    r"""Returns lines without what would steer a terminal or turn their direction, wherever their words come from.

    >>> printable("photo\x1b[2J.jpg\n")
    'photo [2J.jpg\n'
    """
    return text.translate(_CONTROL)


def quoted(text: object, limit: int = 500) -> str:
    r"""Returns what somebody else said as one line that a terminal can show: no control characters, and not too long.

    >>> quoted("\x1b[2Jfirst\nsecond", limit=12)
    '[2Jfirst ...'
    """
    words = " ".join(str(text)[: 4 * limit].split())
    plain = "".join(character for character in words if character.isprintable())
    return plain if len(plain) <= limit else f"{plain[: limit - 3]}..."
