"""Named random streams: the only source of randomness in fedprime.

A stream is named by the run's seed and by what it is for, for example ``stream(seed, "client", 3, "round", 7,
"shuffle")``. The same name gives the same numbers whatever was drawn before, in whichever process, in whichever order.
"""

import hashlib

import numpy as np
import torch


def stream_seed(seed: int, *name: str | int) -> int:
    """Returns the 64-bit number that a named stream starts from.

    Args:
        *name: What the stream is for, words and numbers, most general first.

    >>> stream_seed(0, "client", 1) == stream_seed(0, "client", 1)
    True
    >>> stream_seed(0, "client", 1) == stream_seed(0, "client", 11)
    False
    """
    # repr keeps ("a", 1) and ("a", "1") and ("a1",) apart.
    parts = (part if isinstance(part, str) else int(part) for part in name)  # NumPy integers are numbers like others
    digest = hashlib.sha256(repr((int(seed), *parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def stream(seed: int, *name: str | int) -> np.random.Generator:
    """Returns the NumPy generator of a named stream."""
    return np.random.Generator(np.random.Philox(key=stream_seed(seed, *name)))


def torch_stream(seed: int, *name: str | int) -> torch.Generator:
    """Returns the torch generator (CPU) of a named stream."""
    generator = torch.Generator()
    # torch takes a signed 64-bit seed.
    generator.manual_seed(stream_seed(seed, *name) >> 1)
    return generator
