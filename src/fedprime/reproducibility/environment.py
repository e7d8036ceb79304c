"""What decides the last bits of a computation beside its input: machine, libraries, threads."""

import platform
from importlib.metadata import version
from pathlib import Path

import torch

__all__ = ["device_name", "numeric_environment", "processor_name"]

_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "scipy", "pillow")


def processor_name() -> str:
    """Returns the name of the processor, as well as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def device_name(device: torch.device) -> str:
    """Returns the name of a GPU, or of the processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def numeric_environment() -> dict[str, str]:
    """Returns what may change the last bit of a sum: processor, its vector instructions, threads, library versions."""
    return {
        "processor": processor_name(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        **{library: version(library) for library in _LIBRARIES},
    }
