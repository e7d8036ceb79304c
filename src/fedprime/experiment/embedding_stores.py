"""Where what a backbone makes of a data set is kept: in memory, and on disk under all that decides what it is."""

import json
from collections.abc import Mapping

from fedprime.backbones.backbone import Backbone
from fedprime.backbones.blocks import BlockBackbone
from fedprime.backbones.composite import CompositeBackbone
from fedprime.backbones.vilt import ViltBackbone
from fedprime.data.embeddings.cache import EmbeddingCache
from fedprime.data.embeddings.cache_folder import CacheFolder
from fedprime.data.embeddings.hidden_states import BETWEEN
from fedprime.data.embeddings.store import EmbeddingStore
from fedprime.data.missingness.patterns import all_patterns
from fedprime.data.sources import IdentifiedSource, SampleSource
from fedprime.reproducibility.environment import device_name, numeric_environment


def embedding_store(source: SampleSource, backbone: Backbone) -> EmbeddingStore:
    """Returns where embeddings are kept: on disk too, unless the environment says no or the data has no identities."""
    folder = CacheFolder.of_environment()
    if folder is None or not isinstance(source, IdentifiedSource):
        return EmbeddingStore()
    # What an encoder of a composite makes of a value does not depend on the other modalities that are read.
    encoders = backbone.encoders if isinstance(backbone, CompositeBackbone) else {}
    own = {
        name: {"backbone options": "{}", "backbone fingerprint": part.fingerprint} for name, part in encoders.items()
    }
    caches = {
        name: _cache(folder, backbone, name, backbone.versions[name], own.get(name, {})) for name in backbone.modalities
    }
    return EmbeddingStore(len(source), source.identity, caches)


def block_store(embeddings: EmbeddingStore, source: SampleSource, backbone: Backbone) -> EmbeddingStore:
    """Returns where blocks are kept: on disk too where a tower runs for each; others are made quickly of embeddings.

    Args:
        embeddings: Where the embeddings are kept that blocks are made of; knows the values.
    """
    folder = CacheFolder.of_environment()
    if folder is None or not isinstance(source, IdentifiedSource):
        return EmbeddingStore()
    if not isinstance(backbone, BlockBackbone) or isinstance(backbone, CompositeBackbone | ViltBackbone):
        return EmbeddingStore(is_beside_cache=True)

    def identity(index: int, modality: str) -> str | None:
        key = embeddings.key(modality, index)
        return key.hex() if key else None

    caches = {
        name: _cache(folder, backbone, f"block of {name}", backbone.versions[name]) for name in backbone.modalities
    }
    return EmbeddingStore(len(source), identity, caches)


def state_store(embeddings: EmbeddingStore, source: SampleSource, backbone: Backbone, layer: int) -> EmbeddingStore:
    """Returns where hidden states are kept, likewise: by what is present of a sample, as `HiddenStates` says it.

    Args:
        embeddings: Where the embeddings are kept that the states are made of; knows the values.
    """
    folder = CacheFolder.of_environment()
    if folder is None or not isinstance(source, IdentifiedSource):
        return EmbeddingStore()

    def identity(index: int, pattern: str) -> str | None:
        keys = [embeddings.key(modality, index) for modality in pattern.split(BETWEEN)]
        return " ".join([pattern, *(key.hex() for key in keys if key)]) if all(keys) else None

    versions = json.dumps(dict(backbone.versions), sort_keys=True)
    cache = _cache(folder, backbone, f"layer {layer}", versions, {"modalities": json.dumps(backbone.modalities)})
    there = [
        [name for name, own in zip(backbone.modalities, pattern, strict=True) if own]
        for pattern in all_patterns(len(backbone.modalities))
    ]
    return EmbeddingStore(len(source), identity, {BETWEEN.join(present): cache for present in there})


def _cache(
    folder: CacheFolder, backbone: Backbone, what: str, version: int | str, own: Mapping[str, str] = {}
) -> EmbeddingCache:
    """Returns the cache of what a backbone makes, under all that decides it beside the values.

    Args:
        own: What decides it besides, or instead.
    """
    described = {
        "modality": what,
        "backbone options": json.dumps(dict(backbone.options), sort_keys=True),
        "backbone fingerprint": backbone.fingerprint,
        "version of its embeddings": str(version),
        "device": device_name(backbone.device),
        **numeric_environment(),
    }
    return EmbeddingCache(folder, {**described, **own}, {"backbone": backbone.reference})
