"""Machine, libraries, threads: what decides the last bits of a computation, and what a run says of its place."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

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


def describe_environment(backbone_fingerprint: str) -> dict[str, Any]:
    """Returns versions of what a run rests on, the commit, the machine, and the backbone."""
    packages = ("fedprime", "torch", "transformers", "tokenizers", "numpy", "scipy", "safetensors")
    return {
        "versions": {"python": platform.python_version()} | {package: version(package) for package in packages},
        "commit": _commit(),
        "backbone_fingerprint": backbone_fingerprint,
        "machine": {
            "system": platform.platform(),
            "processor": processor_name(),
            "cores": os.cpu_count(),
        },
    }


def _commit() -> str | None:
    """Returns the commit of the checkout that fedprime runs from, or None when it is installed from a package."""
    checkout = Path(__file__).parents[3]
    if not (checkout / "pyproject.toml").is_file():
        return None  # whatever repository an installed package happens to lie in is not ours
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
