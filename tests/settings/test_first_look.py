"""What is plainly wrong is told before a method's class is imported; the rest is left to the second look."""

from pathlib import Path

import pytest

from fedprime.settings.first_look import refuse_plainly_wrong
from fedprime.settings.problems import SettingsError


def test_everything_that_is_plainly_wrong_is_told_at_once(tmp_path: Path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("sede = 1\n\n[by_method]\nhead.training.lr = 0.5\n")
    with pytest.raises(SettingsError) as caught:
        refuse_plainly_wrong(recipe, ["--traning.rounds", "3", "--missing.rate=7"])
    said = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    for part in ("sede is not a setting", "head", "did you mean training.rounds?", "missing.rate is '7'"):
        assert part in said


@pytest.mark.parametrize(
    "flags",
    [
        ["--training.rounds", "3", "--data.modalities", "image", "text", "--privacy.secret"],
        ["--method.name", "pfpt", "--method.num_alternations", "3"],
        ["--method.standardised_queries", "--seed", "3"],
        ["--method.no_such_setting", "3"],
        ["--data.options.no_such_option", "3"],
    ],
    ids=" ".join,
)
def test_what_only_a_method_or_a_data_set_can_judge_passes(flags: list[str]):
    refuse_plainly_wrong(None, flags)
