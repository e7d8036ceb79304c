"""What several slow tests share: a browser."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from page_content import Parts


@pytest.fixture(scope="session")
def chromium() -> str:
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, filter(None, names)) if path), None)
    if found is None:
        pytest.skip("there is no Chromium; CHROMIUM may name one")
    return found


@pytest.fixture
def told_by_page(chromium: str, tmp_path: Path) -> Callable[[str, int, int], dict[str, Any]]:
    """Opens an address in a window of a width, for some milliseconds, and reads what the page's script has put out."""

    def told(address: str, width: int, milliseconds: int) -> dict[str, Any]:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
        flags += [f"--virtual-time-budget={milliseconds}", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
        shown = subprocess.run([chromium, *flags, address], capture_output=True, text=True, timeout=120, check=True)
        return json.loads(Parts(shown.stdout).texts["output"][0])

    return told
