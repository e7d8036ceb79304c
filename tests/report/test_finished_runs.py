"""What a report knows of a run has the form that a file gives back."""

import math

import pytest
from pydantic import ValidationError

from fedprime.report.finished_runs import IGNORED, Scores, comparable_settings, over_seeds, plain_settings
from fedprime.settings.reading import flat_settings
from fedprime.settings.settings import Settings
from made_runs import made_run


def test_numbers_are_rounded_so_that_a_file_gives_them_back():
    scores = Scores(accuracy=0.123456789, macro_f1=1 / 3, num_samples=3, bayes_accuracy=0.9, loss=2.0000001)
    assert (scores.accuracy, scores.macro_f1, scores.loss) == (0.12346, 0.33333, 2.0)


def test_a_loss_that_is_not_finite_is_none():
    assert Scores(accuracy=0.5, macro_f1=0.5, num_samples=3, loss=math.inf).loss is None
    assert Scores(accuracy=0.5, macro_f1=0.5, num_samples=3, loss=math.nan).loss is None


@pytest.mark.parametrize("accuracy", [-0.1, 1.1, math.nan])
def test_an_accuracy_is_a_share(accuracy: float):
    with pytest.raises(ValidationError):
        Scores(accuracy=accuracy, macro_f1=0.5, num_samples=3)


def test_settings_that_were_not_known_yet_have_their_defaults():
    settings = plain_settings({"seed": 7, "data.modalities": ("image", "text")})
    assert settings.keys() == flat_settings(Settings()).keys()
    assert settings["seed"] == 7
    assert settings["data.modalities"] == ["image", "text"]


def test_settings_that_are_not_known_any_more_are_kept():
    assert plain_settings({"training.old": 1})["training.old"] == 1


def test_what_does_not_change_an_experiment_is_not_compared():
    one, other = (made_run(seed=seed, settings={"threads": 1 + seed, "evaluation.every": seed + 1}) for seed in (0, 1))
    assert comparable_settings(one) == comparable_settings(other)
    assert IGNORED.isdisjoint(comparable_settings(one))


def test_a_backbone_is_known_by_its_fingerprint_not_by_its_folder():
    here, there = made_run(settings={"backbone": "/home/a/vilt"}), made_run(settings={"backbone": "/data/vilt"})
    assert comparable_settings(here) == comparable_settings(there)
    assert comparable_settings(here) != comparable_settings(made_run(fingerprint="ffff"))


def test_a_quirk_that_changes_features_is_a_setting_and_not_another_backbone():
    plain, quirky = made_run(), made_run(fingerprint="c4e9+prompt_readout")
    assert comparable_settings(quirky) == comparable_settings(plain)


def test_an_object_of_ones_own_makes_another_experiment_and_no_setting_of_the_method_it_replaces_counts():
    own = {"own_objects.method": "mine.Method(width=3)"}
    one, other = (made_run(method="mine", settings={"method.num_prompts": n, **own}) for n in (4, 8))
    assert comparable_settings(one) == comparable_settings(other)
    assert comparable_settings(one)["method.name"] == "mine"
    wider = made_run(method="mine", settings={"own_objects.method": "mine.Method(width=4)"})
    assert comparable_settings(one) != comparable_settings(wider)
    assert comparable_settings(made_run(settings={"own_objects.source": "a"})) != comparable_settings(made_run())


def test_a_backbone_of_ones_own_is_known_by_its_fingerprint_as_any_other():
    assert comparable_settings(made_run(settings={"own_objects.backbone": "Glasses c4e9"})) == comparable_settings(
        made_run()
    )


def test_only_rounds_that_every_seed_has_measured_count():
    rounds, mean, deviation = over_seeds([[None, 1.0, 2.0, 9.0], [0.5, 3.0, 4.0]])
    assert rounds.tolist() == [2, 3]
    assert mean.tolist() == [2, 3]
    assert deviation.tolist() == pytest.approx([2**0.5, 2**0.5])  # of two values that differ by 2, n - 1


def test_one_seed_has_no_deviation():
    assert over_seeds([[1, 2]])[2].tolist() == [0, 0]


def test_the_start_ends_with_round_0():
    rounds, mean, _ = over_seeds([[None, None, 0.5, 0.6], [None, None, 0.7, 0.8]], start=3)
    assert rounds.tolist() == [0, 1]
    assert mean.tolist() == pytest.approx([0.6, 0.7])
