"""Predictions from any subset of modalities, and inputs that are not what they should be."""

from collections.abc import Mapping

import numpy as np
import pytest

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone
from fedprime.data.images import InputError
from fedprime.methods.fedprime import FedPrime
from fedprime.models.prediction import predict_samples
from fedprime.models.prompted_model import PromptedModel
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
