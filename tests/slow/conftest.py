"""What several slow tests share: a browser."""

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def chromium() -> str:
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, filter(None, names)) if path), None)
    if found is None:
        pytest.skip("there is no Chromium; CHROMIUM may name one")
    return found
