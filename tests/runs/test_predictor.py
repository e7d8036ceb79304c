"""Data frames as a person has them: trained on, predicted for, saved, and refused."""

import json
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.utils.validation import check_is_fitted

import fedprime
from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone
from fedprime.data.images import InputError
from fedprime.data.sources import DataError
from fedprime.models.model_folder import ModelError
from fedprime.models.prediction import predict_samples
from fedprime.models.priors import PriorError
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import NoPrompts
from fedprime.runs.predictor import FederatedPredictor
from fedprime.runs.run import start_run
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import read_settings
from miniatures import DISHES, table_rows, write_csv
from small_hub import Hub, hub_in_use

COLUMNS = ("image=photo", "facts:table=price+colour")
QUICK = ("--training.batch_size=16", "--method.num_prompts=2")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A small one, drawn from a seed, that reads photos and rows of numbers and categories."""
    folder = tmp_path_factory.mktemp("composite")
    (folder / "composite.json").write_text(
        '{"modalities": {"image": {"encoder": "pixel_patches", "side": 16, "patch_size": 8}, '
        '"facts": {"encoder": "hashed_table"}}, "dim": 24, "num_layers": 1, "num_heads": 3}'
    )
    return load_backbone(str(folder))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Rows whose photos are files, with holes of every sort; what a row is called has a column too."""
    folder = tmp_path_factory.mktemp("files")
    found = table_rows(folder, 36)
    for number, row in enumerate(found):
        row |= {"photo": str(folder / str(row.pop("file_name"))), "price": float(number % 5)}
        row["colour"] = ("red", "green")[number % 3 > 0]  # tells one dish from the others
        if number % 5 == 0:
            row["photo"] = None
        if number % 7 == 1:
            row["price"] = float("nan")
    return found


@pytest.fixture(scope="module")
def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The same as a data frame that holds the photos themselves."""
    photos = [None if row["photo"] is None else Image.open(row["photo"]) for row in rows]
    return pd.DataFrame(rows).assign(photo=pd.Series(photos, dtype=object))


@pytest.fixture(scope="module")
def fitted(frame: pd.DataFrame, backbone: Backbone) -> FederatedPredictor:
    return predictor(backbone).fit(frame)


def predictor(backbone: Backbone | str, **more: Any) -> FederatedPredictor:
    options = {"label": "label", "client": "client", "columns": COLUMNS, "rounds": 2, "settings": QUICK}
    return FederatedPredictor(backbone=backbone, **options | more)


def same_weights(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_frame_and_the_same_rows_in_a_folder_give_the_same_weights(
    fitted: FederatedPredictor, rows: list[dict[str, Any]], backbone: Backbone, tmp_path: Path
):
    write_csv(tmp_path / "metadata.csv", [{name: "" if v is None else v for name, v in row.items()} for row in rows])
    flags = [f"--data.path={tmp_path}", "--data.columns", *COLUMNS]
    flags += ["--partition.kind=site", "--partition.num_clients=4", "--training.rounds=2", *QUICK]
    start_run(read_settings("table/folder", flags), tmp_path / "run", backbone=backbone)
    assert same_weights(fitted.model_.weights(), load_file(tmp_path / "run" / "model" / "model.safetensors"))


def test_paths_give_the_same_weights_as_the_photos_themselves(
    fitted: FederatedPredictor, rows: list[dict[str, Any]], backbone: Backbone
):
    assert same_weights(predictor(backbone).fit(rows).model_.weights(), fitted.model_.weights())


def test_it_learns_and_says_how_well(fitted: FederatedPredictor, frame: pd.DataFrame):
    assert fitted.classes_.tolist() == sorted(DISHES)
    assert fitted.columns_ == ("image:image=photo", "facts:table=price+colour")
    predicted = fitted.predict(frame)
    assert (predicted == frame["label"]).mean() > 0.8
    assert fitted.evaluate(frame).accuracy == fitted.score(frame) == (predicted == frame["label"]).mean()
    probabilities = fitted.predict_proba(frame)
    assert probabilities.shape == (36, 3)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(36))
    right = [list(fitted.classes_).index(label) for label in frame["label"]]
    expected = -np.log(probabilities[np.arange(36), right]).mean()
    assert fitted.evaluate(frame).loss == pytest.approx(expected)
    assert set(fitted.results_["scenarios"]) >= {"like train", "full", "image only", "facts only"}


def test_what_is_left_out_is_not_looked_at(fitted: FederatedPredictor, frame: pd.DataFrame):
    without = fitted.predict_proba(frame, without=["image"])
    assert np.array_equal(without, fitted.predict_proba(frame, without="image"))
    assert np.array_equal(without, fitted.predict_proba(frame.assign(photo=None)))
    assert np.array_equal(without, fitted.predict_proba(frame[["price", "colour"]]))
    assert not np.array_equal(without, fitted.predict_proba(frame))


def test_other_label_frequencies_may_be_expected(fitted: FederatedPredictor, frame: pd.DataFrame):
    trained = fitted.predict_proba(frame, without=["image"])
    rare = fitted.predict_proba(frame, without=["image"], prior=dict(zip(sorted(DISHES), (1, 1, 98), strict=True)))
    assert (rare[:, 2] >= trained[:, 2]).all()
    assert (rare[:, 2] > trained[:, 2]).any()


def test_files_are_relative_to_the_folder_that_is_named(
    fitted: FederatedPredictor, frame: pd.DataFrame, rows: list[dict[str, Any]]
):
    named = [{**row, "photo": row["photo"] and Path(row["photo"]).name} for row in rows]
    folder = Path(rows[1]["photo"]).parent
    assert np.array_equal(fitted.predict_proba(named, files=folder), fitted.predict_proba(frame))


def test_a_saved_predictor_is_the_same_and_can_be_saved_again(
    fitted: FederatedPredictor, frame: pd.DataFrame, backbone: Backbone, tmp_path: Path
):
    fitted.save(tmp_path / "m")
    again = FederatedPredictor.load(tmp_path / "m", backbone)
    assert np.array_equal(again.predict_proba(frame), fitted.predict_proba(frame))
    assert again.evaluate(frame) == fitted.evaluate(frame)
    assert again.get_params() == fitted.get_params()
    again.save(tmp_path / "m")
    again.save(tmp_path / "m")
    for content in ("{", "[1]", '{"columns": 3}', '{"parameters": {"colour": "red"}}'):
        (tmp_path / "m" / "predictor.json").write_text(content)
        with pytest.raises(ModelError, match=r"predictor\.json is not what was saved with this model"):
            FederatedPredictor.load(tmp_path / "m", backbone)
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    earlier = {name: value for name, value in config.items() if not name.endswith("sha256")}
    (tmp_path / "m" / "config.json").write_text(json.dumps(earlier))
    with pytest.raises(ModelError, match=r"predictor\.json is broken"):
        FederatedPredictor.load(tmp_path / "m", backbone)
    model = PromptedModel(backbone, NoPrompts(backbone.dim), ("soup", "cake"))
    model.save_pretrained(tmp_path / "bare")
    with pytest.raises(ModelError, match="names no columns of a table"):
        FederatedPredictor.load(tmp_path / "bare", backbone)


@pytest.mark.parametrize("name", ["predictor.json", "statistics.safetensors"])
def test_a_file_beside_the_model_of_another_one_is_refused(
    name: str, frame: pd.DataFrame, backbone: Backbone, tmp_path: Path
):
    """Classes in another order would be a wrong answer to every question."""
    ours = predictor(backbone, method="closed-form").fit(frame)
    ours.save(tmp_path / "ours")
    turned = frame.assign(label=[DISHES[-1 - DISHES.index(label)] for label in frame["label"]])
    predictor(backbone, method="closed-form").fit(turned).save(tmp_path / "theirs")
    path = tmp_path / "ours" / name
    if name == "predictor.json":
        known = json.loads(path.read_text())
        path.write_text(json.dumps({**known, "classes": known["classes"][::-1]}))
    else:
        path.write_bytes((tmp_path / "theirs" / name).read_bytes())
    with pytest.raises(ModelError, match=f"{name} is not what was saved with this model; take another copy"):
        FederatedPredictor.load(tmp_path / "ours", backbone)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    yield from hub_in_use(tmp_path, monkeypatch)


def test_a_predictor_comes_back_from_the_hub(hub: Hub, frame: pd.DataFrame, backbone: Backbone, tmp_path: Path):
    numbered = frame.assign(label=[10 * DISHES.index(label) for label in frame["label"]])
    sent = predictor(backbone, method="closed-form").fit(numbered)
    assert sent.push_to_hub("me/dishes") == f"{hub.address}/me/dishes"
    told = json.loads(hub.files["me/dishes"]["predictor.json"])
    assert set(told) == {"columns", "label", "several_labels", "forms", "classes"}  # no paths, nobody's scores
    assert "statistics.safetensors" not in hub.files["me/dishes"]
    found = FederatedPredictor.load("me/dishes")
    assert found.predict(frame).dtype.kind == "i"
    assert np.array_equal(found.predict_proba(frame), sent.predict_proba(frame))
    assert found.score(numbered.drop(columns="label"), numbered["label"]) == sent.score(numbered)
    assert found.results_["scenarios"] == sent.results_["scenarios"]
    found.save(tmp_path / "m")
    assert np.array_equal(FederatedPredictor.load(tmp_path / "m").classes_, sent.classes_)


def test_a_run_of_a_table_is_loaded_as_a_predictor(frame: pd.DataFrame, backbone: Backbone, tmp_path: Path):
    fast = predictor(backbone, method="closed-form").fit(frame, folder=tmp_path / "run")
    for place in (tmp_path / "run", tmp_path / "run" / "model"):
        found = FederatedPredictor.load(place)
        assert np.array_equal(found.predict_proba(frame), fast.predict_proba(frame))
        assert (found.label, found.columns) == ("label", fast.columns_)
        assert found.evaluate(frame) == fast.evaluate(frame)


def test_it_is_copied_and_measured_by_scikit_learn(fitted: FederatedPredictor, backbone: Backbone, frame: pd.DataFrame):
    one = clone(predictor("tiny", seed=3))
    assert repr(one).startswith("FederatedPredictor(label='label', client='client', columns=('image=photo',")
    fast = predictor(backbone, method="closed-form")
    scores = cross_val_score(fast, frame.drop(columns=["label", "split"]), frame["label"], cv=2)
    assert scores.mean() > 0.5
    with pytest.raises(NotFittedError, match="nothing was trained yet"):
        one.predict(frame)
    for unfitted in (check_is_fitted, lambda one: one.save("m"), lambda one: one.push_to_hub("me/soups")):
        with pytest.raises(NotFittedError):
            unfitted(one)
    assert not hasattr(one, "feature_names_in_")
    assert fitted.feature_names_in_.tolist() == ["photo", "price", "colour"]
    assert fitted.n_features_in_ == 3
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict(frame), fitted.predict(frame))  # noqa: S301


def test_labels_that_are_numbers_stay_numbers(frame: pd.DataFrame, backbone: Backbone, tmp_path: Path):
    numbered = frame.assign(label=[10 * DISHES.index(label) for label in frame["label"]])
    found = predictor(backbone, rounds=1).fit(numbered)
    assert found.classes_.tolist() == [0, 10, 20]
    assert found.predict(numbered).dtype == np.int64
    mostly = found.predict_proba(numbered, prior={0: 1, 10: 1, 20: 98})
    assert np.array_equal(mostly, found.predict_proba(numbered, prior={"0": 1, "10": 1, "20": 98}))
    found.save(tmp_path / "m")
    assert FederatedPredictor.load(tmp_path / "m", backbone).classes_.tolist() == [0, 10, 20]


def test_classes_are_in_the_order_that_scikit_learn_measures_them_in(
    frame: pd.DataFrame, backbone: Backbone, tmp_path: Path
):
    numbered = frame.assign(label=["9" if label == DISHES[0] else "10" for label in frame["label"]])
    found = predictor(backbone).fit(numbered)
    assert found.classes_.tolist() == ["10", "9"]  # as np.unique has them, and no list of numbers
    assert roc_auc_score(numbered["label"], found.predict_proba(numbered)[:, 1]) > 0.9
    assert found.evaluate(numbered).accuracy == (found.predict(numbered) == numbered["label"]).mean() > 0.8
    often, seldom = (found.predict_proba(numbered, prior={"9": share, "10": 1 - share})[:, 1] for share in (0.9, 0.1))
    assert (often > seldom).all()
    found.save(tmp_path / "m")
    again = FederatedPredictor.load(tmp_path / "m", backbone)
    assert again.classes_.tolist() == ["10", "9"]
    assert np.array_equal(again.predict_proba(numbered), found.predict_proba(numbered))


def test_labels_that_are_dates_are_saved_by_their_names(frame: pd.DataFrame, backbone: Backbone, tmp_path: Path):
    days = frame.assign(label=pd.to_datetime([f"2024-01-0{1 + DISHES.index(label)}" for label in frame["label"]]))
    found = predictor(backbone, rounds=np.int64(1)).fit(days)
    assert set(found.predict(days)) <= set(days["label"])
    found.save(tmp_path / "m")
    again = FederatedPredictor.load(tmp_path / "m", backbone)
    assert again.classes_.tolist() == [str(day) for day in found.classes_]
    assert again.score(days) == found.score(days)


def test_several_labels_are_columns_of_yes_and_no(frame: pd.DataFrame, backbone: Backbone):
    apple, fish = frame["label"] == DISHES[0], frame["label"] == DISHES[2]
    several = frame.drop(columns="label").assign(apple=apple, cold=apple | fish)
    found = predictor(backbone, label=("apple", "cold")).fit(several)
    assert found.classes_.tolist() == ["apple", "cold"]
    predicted = found.predict(several)
    assert predicted.shape == (36, 2)
    assert found.evaluate(several).accuracy == (predicted == several[["apple", "cold"]]).all(axis=1).mean()


def test_one_word_needs_no_list(frame: pd.DataFrame, backbone: Backbone):
    with pytest.raises(DataError, match="the data has no image, only facts"):
        predictor(backbone, columns="facts:table=price+colour").fit(frame)
    with pytest.raises(SettingsError, match=r"--training\.lrr is not a setting"):
        predictor(backbone, settings="--training.lrr 0.1").fit(frame)


def test_errors_name_arguments(frame: pd.DataFrame, backbone: Backbone, fitted: FederatedPredictor):
    with pytest.raises(DataError, match=r"no column 'dish' \(label\)"):
        predictor(backbone, label="dish").fit(frame)
    with pytest.raises(SettingsError, match=r"^rounds is '0'"):
        predictor(backbone, rounds=0).fit(frame)
    with pytest.raises(DataError, match=r"; rename a column$"):
        fitted.predict(frame[["label"]])
    with pytest.raises(ValueError, match=r'name its path: backbone="PATH"'):
        FederatedPredictor(backbone="/no/such/folder").fit(frame)


def test_without_clients_the_settings_divide_the_rows(frame: pd.DataFrame, backbone: Backbone, tmp_path: Path):
    alone = frame.drop(columns="client")
    divided = predictor(backbone, client="", settings=(*QUICK, "--partition.kind=even", "--partition.num_clients=3"))
    divided.fit(alone, folder=tmp_path / "run")
    assert len({name.split(".")[1] for name in fedprime.RunFolder(tmp_path / "run").masks() if "client" in name}) == 3
    with pytest.raises(SettingsError, match="too few for 20 clients"):
        predictor(backbone, client="", settings=(*QUICK, "--partition.num_clients=20")).fit(alone)


def test_what_cannot_be_is_one_line_that_names_the_row(fitted: FederatedPredictor, frame: pd.DataFrame):
    bad = [{"photo": None, "price": 1.5}, {"price": 2.5}, {"photo": np.zeros((3, 3))}]
    with pytest.raises(InputError, match=r"row 3, column photo: found an array of float64 and shape \(3, 3\)"):
        fitted.predict(bad)
    with pytest.raises(InputError, match="row 1: nothing can be used without facts; expected one of image, facts"):
        fitted.predict(frame, without=["facts"])
    with pytest.raises(InputError, match=r"without: the model reads image, facts; not fact; did you mean facts\?"):
        fitted.predict(frame, without=["fact"])
    with pytest.raises(DataError, match="row 2 has 'soup', which is no label of the model; expected one of apple_pie"):
        fitted.evaluate(frame[:2], ["sushi", "soup"])
    with pytest.raises(DataError, match=r"no column 'label' \(the labels\); it has .*colour"):
        fitted.evaluate(frame.drop(columns="label"))
    with pytest.raises(DataError, match="the frame has no rows; expected some to measure on"):
        fitted.evaluate(frame[:0])
    with pytest.raises(PriorError, match="found 'unifrom'"):
        fitted.predict(frame, prior="unifrom")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ModelError, match="nothing was trained yet"):
        FederatedPredictor().predict(frame)
    with pytest.raises(DataError, match=r"no column 'lable' .*; did you mean label"):
        FederatedPredictor(label="lable").fit(frame)
    with pytest.raises(ModelError, match="leaves each client a model"):
        predictor(fitted.backbone, method="local-p", rounds=1).fit(frame)


def test_numbers_that_nobody_states_are_told(frame: pd.DataFrame, backbone: Backbone, caplog: pytest.LogCaptureFixture):
    with pytest.raises(DataError, match="no facts"):
        predictor(backbone, columns=()).fit(frame)
    assert "numbers are read where stated: columns=('table=*', ...) reads price" in caplog.text


def test_row_numbers_are_not_told_as_numbers_to_read(
    frame: pd.DataFrame, backbone: Backbone, caplog: pytest.LogCaptureFixture
):
    counted = frame.drop(columns="price").assign(obs=np.arange(len(frame)))
    with pytest.raises(DataError, match="no facts"):
        predictor(backbone, columns=()).fit(counted)
    assert "numbers are read where stated" not in caplog.text


def test_samples_may_be_given_as_a_person_has_them(fitted: FederatedPredictor, rows: list[dict[str, Any]]):
    path = rows[1]["photo"]
    expected = fedprime.predict_samples(fitted.model_, [{"image": np.asarray(Image.open(path))}])
    for given in (path, Path(path), Image.open(path), {"image": path, "facts": float("nan")}, [Path(path)]):
        assert fedprime.predict_samples(fitted.model_, given) == expected
    assert fedprime.predict_samples(fitted.model_, pd.DataFrame({"image": [path], "note": ["x"]})) == expected
    with pytest.raises(InputError, match=r"row 2: there is no image nowhere\.png"):
        fedprime.predict_samples(fitted.model_, [path, "nowhere.png"])


@pytest.mark.parametrize("privacy", [(), ("--privacy.clip_norm", "1", "--privacy.noise_multiplier", "1")])
def test_one_empty_number_does_not_decide_where_training_had_none(privacy: tuple[str, ...], tmp_path: Path):
    rng = np.random.default_rng(0)
    ill = rng.integers(0, 2, 300)
    columns = {"age": 60 + 5 * ill, "weight": 75 + 6 * ill, "pressure": 120 + 12 * ill}
    frame = pd.DataFrame({name: mean + rng.normal(size=300) * mean.mean() / 12 for name, mean in columns.items()})
    frame["label"] = np.where(ill, "ill", "well")
    flags = ("--partition.num_clients=2", "--method.name=closed-form", "--backbone=small", *privacy)
    predictor = FederatedPredictor(columns=("table=*",), settings=flags).fit(frame[:200])
    new = frame[200:].assign(age=np.nan)
    model = predictor.model_
    if privacy:  # means that no noise was added to would stand in the model
        assert "typical" not in model.about
        return
    assert predictor.score(new) > predictor.score(frame[200:]) - 0.15
    predictor.save(tmp_path / "saved")
    again = FederatedPredictor.load(tmp_path / "saved")
    np.testing.assert_allclose(again.predict_proba(new), predictor.predict_proba(new))
    [named, _] = predict_samples(model, [{"table": {"weight": 80.0, "pressure": 130.0}}, {"table": {"age": 1.0}}])
    assert 0.001 < named["probabilities"]["ill"] < 0.999


def test_samples_that_are_alike_within_each_class_are_no_sites_gone_bad(caplog: pytest.LogCaptureFixture):
    frame = pd.DataFrame({"x": [1, 2] * 40, "colour": ["red", "blue"] * 40, "label": ["a", "b"] * 40})
    fitted = FederatedPredictor(columns=("x:table=x", "c:table=colour"), backbone="small", rounds=1).fit(frame)
    assert not [record for record in caplog.messages if "left out" in record]
    assert all(scores["accuracy"] == 1 for scores in fitted.results_["scenarios"].values())
    assert fitted.predict_proba(frame[:2], without=["c"])[[0, 1], [0, 1]].min() > 0.9
