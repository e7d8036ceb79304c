"""What a run left in its folder, without the seconds, which differ from run to run."""

import json
from pathlib import Path
from typing import Any


def metrics_of(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def results_of(folder: Path) -> dict[str, Any]:
    results = json.loads((folder / "results.json").read_text())
    return {name: value for name, value in results.items() if name != "seconds"}
