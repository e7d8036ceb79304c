"""What decides the last bits of a computation beside its input: machine, libraries, threads, and our own code."""

import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

__all__ = ["code_digest", "device_name", "numeric_environment", "processor_name"]

_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "scipy", "pillow")


def processor_name() -> str:
    """Returns the name of the processor, as well as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def device_name(device: torch.device) -> str:
    """Returns the name of a GPU, or of the processor.

    Args:
        device: What computes.
    """
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def numeric_environment() -> dict[str, str]:
    """Returns what may change the last bit of a sum: processor, its vector instructions, threads, library versions."""
    return {
        "processor": processor_name(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        **{library: version(library) for library in _LIBRARIES},
    }


def code_digest(parts: Sequence[str]) -> str:
    """Returns a digest of source files of fedprime: what they compute may change when they do.

    Args:
        parts: Files and folders of the package, for example ``"backbones"``.
    """
    package = Path(__file__).parents[1]
    places = [package / part for part in parts]
    files = {file for place in places for file in (place.rglob("*.py") if place.is_dir() else [place])}
    digest = hashlib.sha256()
    for file in sorted(files):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]
