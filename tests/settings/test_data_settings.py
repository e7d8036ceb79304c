"""Settings of the samples: modalities that can be names, and only what the data set can be told."""

import pytest
from pydantic import ValidationError

from fedprime.settings.data_settings import DataSettings, data_options


@pytest.mark.parametrize(
    ("modalities", "problem"),
    [
        (("text", "image", "text"), "text stands there more than once; name each once"),
        (("free text",), "'free text' cannot be the name of a modality; take a word, as image"),
    ],
)
def test_modalities_are_words_named_once(modalities: tuple[str, ...], problem: str):
    with pytest.raises(ValidationError, match=problem):
        DataSettings(modalities=modalities)


def test_a_data_set_that_comes_along_has_no_options_of_its_own():
    assert data_options("builtin") == {}
    with pytest.raises(ValidationError, match=r"data\.options\.speed"):
        DataSettings(options={"speed": 3})
