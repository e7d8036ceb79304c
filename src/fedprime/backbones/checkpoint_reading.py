"""Reading checkpoints in the format of the hub: whole, without the library's noise, with one clear error."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch

from fedprime.backbones.backbone import BackboneError

# Of an image processor: what decides the pixels that the model sees.
_PIXEL_SETTINGS = (
    *("do_resize", "size", "size_divisor", "resample"),
    *("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std"),
)
# Of an image processor too, but not of every one; they count where they are there.
_MORE_PIXEL_SETTINGS = ("do_center_crop", "crop_size", "patch_size", "max_num_patches", "default_to_square")


@contextmanager
def library_silenced() -> Iterator[None]:
    """Keeps from the screen the library's progress bars, its reports of unused heads, and each attempt at the hub."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers import logging  # slow to import, as all of that library

    verbosity, hub_verbosity = logging.get_verbosity(), hub_logging.get_verbosity()
    shows_bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(hub_verbosity)
        if shows_bars:
            logging.enable_progress_bar()


@contextmanager
def reading_checkpoint(reference: str | Path, expected: str) -> Iterator[None]:
    """Silences the library while it reads; all else is as in `reading_files`."""
    with reading_files(reference, expected), library_silenced():
        yield


@contextmanager
def reading_files(reference: str | Path, expected: str) -> Iterator[None]:
    """Turns whatever is raised while files are read into one error of one line.

    Args:
        expected: What files a folder would need to have.

    Raises:
        BackboneError: If anything goes wrong inside.
    """
    try:
        yield
    except BackboneError:
        raise
    except Exception as error:  # the library has many for a broken file: KeyError, AttributeError, SafetensorError
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BackboneError(
            f"cannot load a backbone from {str(reference)!r}: {first_line} (expected {expected}, or a hub name online; "
            "offline, copy the folder here and name its path: --backbone PATH)"
        ) from error


def read_model_type(reference: str | Path) -> str:
    """Returns the kind of model that a checkpoint's ``config.json`` names, such as ``vilt`` or ``clip``."""
    path = Path(reference)
    if not path.exists() and (path.is_absolute() or len(path.parts) > 2 or str(reference).startswith(".")):
        raise ValueError("there is no such folder")  # a name on the hub looks otherwise
    from transformers import PreTrainedConfig

    config, _ = PreTrainedConfig.get_config_dict(reference)
    if not isinstance(config, dict) or not config:
        raise ValueError("there is no config.json, or it is no table")
    return str(config.get("model_type"))


def load_whole(model_class: Any, reference: str | Path, unread: str = "", **options: Any) -> Any:
    """Loads a model in 32-bit floats, and refuses one of which weights are missing.

    Args:
        model_class: A class of `transformers` with ``from_pretrained``.
        unread: How the names of weights begin that may be missing, because nothing reads them.
        **options: More arguments of ``from_pretrained``.
    """
    loaded = model_class.from_pretrained(
        reference,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,  # so that they can be named below
        output_loading_info=True,
        **options,
    )
    model, loading = cast("tuple[Any, Mapping[str, Any]]", loaded)
    # The library would fill these with random numbers.
    unfit = sorted([*loading["missing_keys"], *(entry[0] for entry in loading["mismatched_keys"])])
    unfit = [name for name in unfit if not (unread and name.startswith(unread))]
    if unfit:
        raise ValueError(f"{len(unfit)} weights are missing or of another shape, the first is {unfit[0]}")
    return model


def load_tokenizer(reference: str | Path) -> Any:
    """Loads a tokenizer, and refuses one without words."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(reference)
    # The library makes an empty one up where there are no files for it.
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise ValueError("the tokenizer knows no words")
    return tokenizer


def fingerprint_of(
    shape: object, weights: Mapping[str, torch.Tensor], tokenizer: Any = None, image_processor: Any = None
) -> str:
    """Returns a digest of everything that decides a feature.

    Not of where the checkpoint lies, or which version of the library wrote it.

    Args:
        shape: What the weights do not tell about the model, as plain JSON values.
        tokenizer: Its spelling and vocabulary count.
        image_processor: What decides the pixels counts.
    """
    content = [shape]
    if image_processor is not None:
        processing = image_processor.to_dict()
        pixels = {name: processing.get(name) for name in _PIXEL_SETTINGS}
        content.append(pixels | {name: processing[name] for name in _MORE_PIXEL_SETTINGS if processing.get(name)})
    if tokenizer is not None:
        # Tokenizers that run on sentencepiece spell by settings of their own.
        backend = getattr(tokenizer, "backend_tokenizer", None)
        spelling = json.loads(backend.to_str())["normalizer"] if backend else getattr(tokenizer, "do_lower_case", None)
        content.append(spelling)
        content.append(sorted(tokenizer.get_vocab().items()))
    digest = hashlib.sha256(json.dumps(content).encode())
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
