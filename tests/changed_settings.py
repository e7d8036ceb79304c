"""Settings with some values changed, and what is wrong with settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import read_settings
from fedprime.settings.settings import Settings


def changed(settings: Settings, **sections: Any) -> Settings:
    """Settings with some values changed, by section."""
    return replace(
        settings,
        **{
            name: replace(getattr(settings, name), **value) if isinstance(value, dict) else value
            for name, value in sections.items()
        },
    )


def problems_of(*flags: str, recipe: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_settings(recipe, flags)
    return list(caught.value.problems)
