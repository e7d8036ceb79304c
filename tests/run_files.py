"""What a run left in its folder, without the seconds, which differ from run to run."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor


def metrics_of(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def results_of(folder: Path) -> dict[str, Any]:
    results = json.loads((folder / "results.json").read_text())
    return {name: value for name, value in results.items() if name != "seconds"}


def weights_of(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def flip_bit(path: Path, place: float) -> None:
    """Turns one bit of a file over, at a share of its length."""
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 4
    path.write_bytes(data)


def die_before_replacing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets this process be stopped at the moment when a new file of that name would take the place of the old one."""
    replace_path = Path.replace

    def dying(path: Path, target: Path) -> Path:
        if target.name == name:
            raise KeyboardInterrupt
        return replace_path(path, target)

    monkeypatch.setattr(Path, "replace", dying)
