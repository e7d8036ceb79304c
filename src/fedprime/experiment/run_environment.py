"""What a run says of where it was made: versions, commit, machine."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fedprime.reproducibility.environment import processor_name

__all__ = ["describe_environment"]


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
