"""Scores against numbers worked out by hand; predictions that depend on the sample alone."""

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike

from fedprime.data.batches import Shard
from fedprime.experiment.build import Experiment
from fedprime.methods import METHODS
from fedprime.models.evaluation import Predictions, count_usage, predict, score
from fedprime.models.prompted_model import PromptedModel
from fedprime.reproducibility.seeding import torch_stream


def one_class(labels: list[int], answers: list[int], num_classes: int = 3) -> Predictions:
    """Predictions whose most probable class is the given answer."""
    probabilities = np.full((len(labels), num_classes), 0.1)
    probabilities[np.arange(len(labels)), answers] = 0.8
    return Predictions(probabilities, np.array(labels), np.arange(len(labels), dtype=float))


def several_labels(labels: ArrayLike, probabilities: ArrayLike) -> Predictions:
    return Predictions(np.array(probabilities), np.array(labels, dtype=np.float32), np.zeros(len(np.array(labels))))


@pytest.fixture(params=["fedprime", "pfpt", "fedavg-p", "head-only"])
def model(request: pytest.FixtureRequest, small_experiment: Experiment) -> PromptedModel:
    """One model for every way to prompt."""
    backbone = small_experiment.model.backbone
    method = METHODS[request.param](num_prompts=4)
    return method.build(backbone, small_experiment.model.label_names, rng=torch_stream(0, "initial weights"))


@pytest.fixture
def shard(small_experiment: Experiment) -> Shard:
    return small_experiment.scenarios["miss both"]


def test_accuracy_is_the_share_of_right_answers():
    assert score(one_class([0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0])).accuracy == pytest.approx(4 / 6)


def test_macro_f1_is_the_plain_mean_of_the_f1_of_every_class():
    # class 0: 1 hit, 1 false, 1 missed -> 1/2; class 1: 2, 1, 0 -> 4/5; class 2: 1, 0, 1 -> 2/3
    scores = score(one_class([0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0]))
    assert scores.macro_f1 == pytest.approx((1 / 2 + 4 / 5 + 2 / 3) / 3)


def test_macro_f1_does_not_count_a_class_that_nobody_is_of_and_nobody_is_taken_for():
    assert score(one_class([0, 1], [0, 1], num_classes=8)).macro_f1 == 1.0


def test_macro_f1_counts_a_class_that_is_never_found_as_zero():
    # class 0: 2 hits, 1 false -> 4/5; class 1: never found -> 0
    assert score(one_class([0, 0, 1], [0, 0, 0])).macro_f1 == pytest.approx(2 / 5)


def test_macro_f1_counts_a_class_that_is_only_ever_taken_for_another():
    # class 0: 1 hit, 1 missed -> 2/3; class 2: 1 false -> 0
    assert score(one_class([0, 0], [0, 2])).macro_f1 == pytest.approx(1 / 3)


def test_several_labels_are_right_when_every_one_of_them_is():
    predictions = several_labels([[1, 0], [1, 1], [0, 0]], [[0.9, 0.2], [0.9, 0.4], [0.1, 0.3]])
    assert score(predictions).accuracy == pytest.approx(2 / 3)


def test_macro_f1_of_several_labels_is_the_mean_over_the_labels():
    # label 0: 2 hits, 1 false, 0 missed -> 4/5; label 1: 1 hit, 0 false, 1 missed -> 2/3
    predictions = several_labels([[1, 0], [1, 1], [0, 1]], [[0.9, 0.2], [0.9, 0.4], [0.6, 0.8]])
    assert score(predictions).macro_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_micro_f1_counts_all_decisions_alike():
    # 3 hits, 1 false, 1 missed -> 3 / (3 + (1 + 1) / 2)
    predictions = several_labels([[1, 0], [1, 1], [0, 1]], [[0.9, 0.2], [0.9, 0.4], [0.6, 0.8]])
    assert score(predictions).micro_f1 == pytest.approx(3 / 4)


def test_the_area_under_the_roc_curve_of_two_classes_is_the_share_of_pairs_in_the_right_order():
    probabilities = np.array([0.1, 0.7, 0.6, 0.9])
    predictions = Predictions(np.column_stack([1 - probabilities, probabilities]), np.array([0, 0, 1, 1]), np.zeros(4))
    # 0.6 and 0.9 against 0.1 and 0.7: three of four pairs.
    assert score(predictions).auroc == pytest.approx(3 / 4)


def test_the_area_of_several_labels_is_the_mean_over_those_that_some_samples_have_and_others_lack():
    labels = [[1, 0, 1], [0, 0, 1], [1, 0, 1]]
    # label 0: the second is below one of two -> 1/2; nobody has label 1, everybody label 2
    predictions = several_labels(labels, [[0.9, 0.2, 0.1], [0.5, 0.4, 0.1], [0.2, 0.1, 0.8]])
    assert score(predictions).auroc == pytest.approx(1 / 2)
    assert score(predictions.rows(np.array([0, 2]))).auroc is None


def test_scores_that_are_not_defined_are_not_given():
    scores = score(one_class([0, 1, 2], [0, 1, 1]))
    assert (scores.micro_f1, scores.auroc) == (None, None)
    diverged = Predictions(np.full((2, 2), np.nan), np.array([0, 1]), np.zeros(2))
    assert score(diverged).auroc is None


def test_the_loss_is_the_mean_over_samples():
    scores = score(one_class([0, 1, 2], [0, 0, 0]))
    assert scores.loss == pytest.approx((0 + 1 + 2) / 3)
    assert scores.num_samples == 3


def test_scoring_nothing_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="no predictions to score"):
        score(one_class([0, 1], [0, 1]).rows(np.array([], dtype=np.int64)))


def test_rows_picks_predictions():
    picked = one_class([0, 1, 2], [0, 1, 1]).rows(np.array([2, 0]))
    assert picked.labels.tolist() == [2, 0]
    assert picked.losses.tolist() == [2.0, 0.0]
    assert picked.probabilities.argmax(axis=1).tolist() == [1, 0]


def test_predictions_come_in_the_order_of_the_samples(model: PromptedModel, shard: Shard):
    assert predict(model, shard, 5).labels.tolist() == shard.samples.source.labels[shard.indices].tolist()


def test_probabilities_add_up_to_one_and_losses_are_their_logarithms(model: PromptedModel, shard: Shard):
    predictions = predict(model, shard)
    right = predictions.probabilities[np.arange(len(shard)), predictions.labels]
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(predictions.losses, -np.log(right), rtol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 7, 23, 1000])
def test_predictions_do_not_depend_on_the_batch_size(batch_size: int, model: PromptedModel, shard: Shard):
    expected, found = predict(model, shard, 24), predict(model, shard, batch_size)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=1e-4, atol=1e-6)
    assert score(found).accuracy == score(expected).accuracy
    assert score(found).macro_f1 == score(expected).macro_f1


def test_predictions_do_not_depend_on_the_order_of_the_samples(model: PromptedModel, shard: Shard):
    order = np.random.default_rng(0).permutation(len(shard))
    expected = predict(model, shard, 5).rows(order)
    found = predict(model, Shard(shard.samples, shard.indices[order], shard.present[order]), 5)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=1e-4, atol=1e-6)
    assert found.labels.tolist() == expected.labels.tolist()


def test_predicting_twice_gives_the_same_to_the_bit(model: PromptedModel, shard: Shard):
    assert np.array_equal(predict(model, shard).probabilities, predict(model, shard).probabilities)


def test_predicting_neither_trains_nor_changes_the_model(model: PromptedModel, shard: Shard):
    before = model.weights()
    predict(model, shard)
    assert all(torch.equal(value, before[name]) for name, value in model.weights().items())
    assert all(value.grad is None for value in model.parameters())


def test_predictions_tell_which_prompts_each_sample_was_given(small_experiment: Experiment, shard: Shard):
    model = small_experiment.model
    chosen = predict(model, shard, 5).chosen
    assert chosen.keys() == {"inter", "intra"}
    with torch.no_grad():
        whole = model(next(shard.batches(len(shard)))).chosen.indices
    assert all(np.array_equal(indices, whole[pool].numpy()) for pool, indices in chosen.items())


def test_where_nothing_is_retrieved_nothing_is_told(small_experiment: Experiment, shard: Shard):
    backbone = small_experiment.model.backbone
    for name in ("pfpt", "fedavg-p", "head-only"):
        assert predict(METHODS[name](num_prompts=4).build(backbone, ("a", "b", "c")), shard).chosen == {}


def test_rows_and_predictions_of_several_models_and_the_prompts_that_were_chosen():
    labels = np.array([0, 1, 2])
    chosen = {"inter": np.array([[4, 1], [0, 2], [1, 3]])}
    predictions = Predictions(np.eye(3), labels, np.zeros(3), chosen)
    assert predictions.rows(np.array([2, 0])).chosen["inter"].tolist() == [[1, 3], [4, 1]]
    assert Predictions.joined([predictions]).chosen["inter"].tolist() == chosen["inter"].tolist()
    # Prompt 0 of one model and prompt 0 of another are different prompts.
    assert Predictions.joined([predictions, predictions]).chosen == {}


def test_usage_counts_how_often_each_prompt_was_chosen_for_each_pattern_that_occurs():
    present = np.array([[True, False], [True, True], [True, False]])
    chosen = {"inter": np.array([[3, 1], [0, 1], [1, 0]]), "intra": np.array([[0], [0], [1]])}
    predictions = Predictions(np.eye(3), np.array([0, 1, 2]), np.zeros(3), chosen)
    assert count_usage(predictions, present, ("image", "text"), {"inter": 5, "intra": 2}) == {
        "inter": {"image": [1, 2, 0, 1, 0], "image+text": [1, 1, 0, 0, 0]},
        "intra": {"image": [1, 1], "image+text": [1, 0]},
    }
