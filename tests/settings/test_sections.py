"""The settings that are not a method's: they are those of all settings, in the same order."""

import dataclasses

from fedprime.settings.reading import flat_settings
from fedprime.settings.sections import PlainSettings, PrivacySettings
from fedprime.settings.settings import Settings


def test_plain_settings_have_the_names_of_all_settings_in_their_order():
    names = [field.name for field in dataclasses.fields(Settings)]  # pyright: ignore[reportArgumentType]
    assert [field.name for field in dataclasses.fields(PlainSettings)] == names  # pyright: ignore[reportArgumentType]
    assert list(dict.fromkeys(name.partition(".")[0] for name in flat_settings(Settings()))) == names


def test_privacy_is_on_once_updates_are_clipped():
    assert not PrivacySettings().is_on
    assert PrivacySettings(clip_norm=0.5).is_on
