"""Predictions from any subset of modalities, and inputs that are not what they should be."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone
from fedprime.data.images import InputError
from fedprime.methods.fedprime import FedPrime
from fedprime.models.prediction import predict_samples, with_prior
from fedprime.models.priors import PriorError
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import NoPrompts
from fedprime.reproducibility.seeding import torch_stream

LABELS = ("bread", "soup", "cake")
MODALITIES = ("image", "text", "readings")
RED = np.full((64, 64, 3), (200, 30, 30), dtype=np.uint8)


@pytest.fixture(scope="module")
def model() -> PromptedModel:
    """A model that reads images, texts and numbers."""
    backbone = load_backbone("tiny", MODALITIES)
    return FedPrime(num_prompts=4, pool_size=4).build(backbone, LABELS, rng=torch_stream(0, "initial weights"))


@pytest.fixture
def two_modalities(tiny: Backbone) -> PromptedModel:
    """A model that reads images and texts."""
    return FedPrime(num_prompts=4, pool_size=4).build(tiny, LABELS, rng=torch_stream(0, "initial weights"))


@pytest.mark.parametrize(
    "sample",
    [
        {"image": RED},
        {"text": "tomato soup"},
        {"readings": (0.5, -1.0)},
        {"image": RED, "text": "tomato soup"},
        {"image": RED, "readings": (0.5,)},
        {"text": "tomato soup", "readings": (0.5,)},
        {"image": RED, "text": "tomato soup", "readings": (0.5, 1.0, 2.0)},
    ],
    ids=lambda sample: "+".join(sample),
)
def test_any_subset_of_modalities_gives_a_prediction(sample: Mapping[str, object], model: PromptedModel):
    (prediction,) = predict_samples(model, [sample])
    assert prediction["present"] == list(sample)
    assert prediction["probabilities"].keys() == set(LABELS)
    assert sum(prediction["probabilities"].values()) == pytest.approx(1)
    assert prediction["label"] == max(LABELS, key=prediction["probabilities"].__getitem__)


def test_a_prediction_does_not_depend_on_the_other_samples(model: PromptedModel):
    samples: list[dict[str, object]] = [
        {"text": "soup"},
        {"image": RED, "text": "a much longer title of a dish"},
        {"readings": (1.0,)},
    ]
    together = predict_samples(model, samples)
    for sample, prediction in zip(samples, together, strict=True):
        (alone,) = predict_samples(model, [sample])
        assert alone["probabilities"] == pytest.approx(prediction["probabilities"], rel=1e-4)


def test_more_samples_than_fit_into_a_batch_keep_their_order(two_modalities: PromptedModel):
    texts = [f"soup {number % 7}" for number in range(150)]
    predictions = predict_samples(two_modalities, [{"text": text} for text in texts])
    assert len(predictions) == 150
    for number in range(7, 150):
        assert predictions[number]["probabilities"] == pytest.approx(predictions[number - 7]["probabilities"], rel=1e-4)


def test_no_samples_give_no_predictions(two_modalities: PromptedModel):
    assert predict_samples(two_modalities, []) == []


def test_the_order_of_modalities_in_a_sample_means_nothing(two_modalities: PromptedModel):
    (here,) = predict_samples(two_modalities, [{"image": RED, "text": "soup"}])
    (there,) = predict_samples(two_modalities, [{"text": "soup", "image": RED}])
    assert here == there


def test_a_sample_with_nothing_in_it_is_refused(two_modalities: PromptedModel):
    with pytest.raises(InputError, match="row 2: nothing is there; give at least one of image, text"):
        predict_samples(two_modalities, [{"text": "soup"}, {}])


def test_a_modality_that_the_model_does_not_read_is_refused(two_modalities: PromptedModel):
    with pytest.raises(InputError, match="row 1: the model reads image, text; it cannot use readings"):
        predict_samples(two_modalities, [{"readings": (1.0,)}])


@pytest.mark.parametrize("value", [(np.nan,), (np.inf, 1.0)])
def test_a_value_that_the_backbone_cannot_take_is_missing_and_named(
    value: tuple[float, ...], model: PromptedModel, caplog: pytest.LogCaptureFixture
):
    nothing, rest, alone = predict_samples(
        model, [{"readings": value}, {"readings": value, "text": "soup"}, {"text": "soup"}], ["a", "b", "c"]
    )
    assert (nothing["label"], nothing["present"]) == (None, [])
    assert rest == alone
    assert rest["present"] == ["text"]
    assert [message[:20] for message in caplog.messages] == ["a: a missing reading", "b: a missing reading"]


# Priors


@pytest.fixture
def knowing(two_modalities: PromptedModel) -> PromptedModel:
    """A model whose head keeps evidence and label frequencies apart: 3 of 4 samples were of the first class."""
    backbone, names = two_modalities.backbone, two_modalities.label_names
    rng = torch_stream(0, "initial weights")
    model = PromptedModel(backbone, NoPrompts(backbone.dim), names, "one_class", rng, "evidence", "blocks")
    frequencies = torch.tensor([0.75, 0.125, 0.125])
    model.load_weights(model.weights() | {"head.log_prior": frequencies.log()})
    return model


def test_another_prior_takes_the_place_of_that_of_training(knowing: PromptedModel):
    samples = [{"text": "soup"}, {"image": RED}]
    as_trained, equally = predict_samples(knowing, samples), predict_samples(knowing, samples, prior="uniform")
    for one, other in zip(as_trained, equally, strict=True):
        odds = [own["probabilities"][LABELS[0]] / own["probabilities"][LABELS[1]] for own in (one, other)]
        ratio = 0.75 / 0.125
        assert odds[0] / odds[1] == pytest.approx(ratio, rel=1e-5)
    given = dict.fromkeys(LABELS, 1)
    assert [row["probabilities"] for row in predict_samples(knowing, samples, prior=given)] == [
        pytest.approx(row["probabilities"]) for row in equally
    ]


def test_an_estimate_is_of_the_samples_that_have_something(knowing: PromptedModel):
    samples = [{"text": "soup"}, {"image": RED}]
    found = predict_samples(knowing, samples, prior="estimate")
    assert sum(found[0]["probabilities"].values()) == pytest.approx(1)
    nothing = [{"label": None, "probabilities": {}, "present": []}]
    assert with_prior(knowing, [*predict_samples(knowing, samples), *nothing], "estimate") == [*found, *nothing]


def test_a_head_that_was_trained_with_its_label_mix_takes_no_other(two_modalities: PromptedModel):
    with pytest.raises(PriorError, match="cannot be taken off; a head that reads blocks keeps them apart"):
        predict_samples(two_modalities, [{"text": "soup"}], prior="uniform")
