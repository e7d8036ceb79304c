"""The names of mechanisms: each is one that can be drawn."""

from typing import get_args

import pytest

from fedprime.data.missingness.kinds import MechanismKind
from fedprime.settings.reading import read_settings


@pytest.mark.parametrize("kind", get_args(MechanismKind))
def test_every_kind_of_missingness_is_a_setting(kind: str):
    assert read_settings(None, ["--missing.kind", kind]).missing.kind == kind
