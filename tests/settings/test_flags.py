"""Flags: taken out of the words of a command line, whatever their order."""

import pytest

from fedprime.settings.flags import refuse_unknown_flags, take_folder, take_numbers, take_values
from fedprime.settings.problems import SettingsError


@pytest.mark.parametrize("words", [["--output", "there"], ["--output=there"]], ids=" ".join)
def test_a_folder_is_taken_from_wherever_it_stands(words: list[str]):
    for line in ([*words, "--seed", "3"], ["--seed", "3", *words]):
        assert take_folder(line, "--output") == "there"
        assert line == ["--seed", "3"]


def test_a_flag_that_is_not_there_changes_nothing():
    words = ["main", "--outputs", "there"]
    assert take_folder(words, "--output") is None
    assert take_values(words, "--output", "") == []
    assert words == ["main", "--outputs", "there"]


@pytest.mark.parametrize("words", [["--output"], ["--output", "--seed=3"], ["--output="]], ids=" ".join)
def test_a_flag_without_a_value_is_refused(words: list[str]):
    with pytest.raises(SettingsError, match="--output has no value; name a folder"):
        take_folder(list(words), "--output")
    with pytest.raises(SettingsError, match="--output has no value; expected for example --output a b"):
        take_values(list(words), "--output", "--output a b")


def test_values_of_a_flag_that_is_repeated_are_joined():
    words = ["--only", "trained on=miss text", "--rounds", "3", "--only=method=a", "--only", "b=c", "d=e"]
    assert take_values(words, "--only", "") == ["trained on=miss text", "method=a", "b=c", "d=e"]
    assert words == ["--rounds", "3"]


def test_numbers_are_whole_and_large_enough():
    words = ["--seeds", "0", "12"]
    assert take_numbers(words, "--seeds", "--seeds 0 1", least=0) == [0, 12]
    assert words == []
    for wrong in ("x", "-1", "1.5", "0"):
        with pytest.raises(SettingsError, match=f"--processes has {wrong}; expected whole numbers from 1, as in -p 2"):
            take_numbers(["--processes", "3", wrong], "--processes", "-p 2", least=1)


def test_a_misspelt_flag_is_told_the_nearest_one():
    with pytest.raises(SettingsError) as caught:
        refuse_unknown_flags(["--sedes", "3"], ("--output", "--seeds"), "grid")
    expected = "--sedes is neither a flag of fedprime grid (--output, --seeds) nor a setting; did you mean --seeds?"
    assert str(caught.value) == expected


def test_settings_are_no_unknown_flags():
    refuse_unknown_flags(["--threads", "2", "--initial-model=x", "--initial_model", "y", "--a.b", "z"], (), "grid")
