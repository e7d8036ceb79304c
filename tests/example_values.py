"""Raw values of every modality, for tests of backbones."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from fedprime.backbones.backbone import Backbone
from fedprime.reproducibility.seeding import stream

_rng = stream(0, "examples")
#: By modality, values of different length.
EXAMPLES: dict[str, list[object]] = {
    "image": [
        _rng.integers(0, 256, size=(height, width, 3), dtype=np.uint8)
        for height, width in ((64, 64), (40, 90), (64, 64), (120, 50))
    ],
    "text": ["fresh tomato soup", "", "pea", "the best beet with grandma and a lemon from the market"],
    "readings": [_rng.standard_normal(length).astype(np.float32) for length in (6, 6, 2, 9)],
    "audio": [
        {"array": 0.1 * _rng.standard_normal(length).astype(np.float32), "sampling_rate": rate}
        for length, rate in ((1600, 8000), (300, 8000), (1200, 16000), (1500, 8000))
    ],
    "table": [
        {"price": 12.5, "age": 30, "brand": "acme"},
        {"price": 12.5, "age": 31, "brand": "acme"},
        {"price": None, "age": 8},
        {"brand": "nobody knows it"},
    ],
}


def features_of(backbone: Backbone, **values: Sequence[object]) -> Float[Tensor, "sample _"]:
    """What a backbone makes of samples, given by modality; None is missing."""
    embedded = {
        modality: [None if value is None else backbone.embed(modality, [value])[0] for value in own]
        for modality, own in values.items()
    }
    return backbone.encode(backbone.assemble(embedded))
