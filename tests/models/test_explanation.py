"""What a model says by every subset of a sample, and which evidence adds up to it."""

import numpy as np
import pytest
import torch

from fedprime.backbones.backbone import Backbone
from fedprime.data.images import InputError
from fedprime.models.explanation import PRIOR_ROW, explain
from fedprime.models.prediction import predict_samples
from fedprime.models.priors import PriorError
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import NoPrompts, PromptPools
from fedprime.reproducibility.seeding import torch_stream

PHOTO = np.full((32, 40, 3), (200, 60, 40), dtype=np.uint8)
SAMPLE = {"image": PHOTO, "text": "warm apple tart"}
LABELS = ("soup", "cake", "salad")


@pytest.fixture(scope="module")
def model(tiny: Backbone) -> PromptedModel:
    """A model whose head reads blocks, and whose prior is a half, three tenths and a fifth."""
    pools = PromptPools(tiny.dim, {"inter": 6, "intra": 4}, 2, torch_stream(0, "prompts"))
    found = PromptedModel(tiny, pools, LABELS, rng=torch_stream(0, "head"), head="evidence", readout="blocks")
    found.load_weights(found.weights() | {"head.log_prior": torch.tensor([0.5, 0.3, 0.2]).log()})
    return found


def test_every_subset_is_predicted_as_if_it_were_all(model: PromptedModel):
    answers = explain(model, SAMPLE)
    assert [answer["present"] for answer in answers] == [["image", "text"], ["image"], ["text"]]
    for answer in answers:
        (alone,) = predict_samples(model, [{name: SAMPLE[name] for name in answer["present"]}])
        assert answer["label"] == alone["label"]
        assert answer["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-6)
    assert explain(model, SAMPLE, every_subset=False)[0]["probabilities"] == pytest.approx(
        answers[0]["probabilities"], abs=1e-6
    )


@pytest.mark.parametrize("prior", ["train", "uniform", {"soup": 1, "cake": 1, "salad": 8}])
def test_evidence_and_prior_add_up_to_the_answer(model: PromptedModel, prior: object):
    for answer in explain(model, SAMPLE, prior):  # type: ignore[arg-type]
        patches = {"image patches"} if "image" in answer["present"] else set()
        assert set(answer["evidence"]) == {*answer["present"], *patches, "summary", PRIOR_ROW}
        sums = [sum(said[label] for said in answer["evidence"].values()) for label in LABELS]
        assert np.exp(sums) / np.exp(sums).sum() == pytest.approx(list(answer["probabilities"].values()))


def test_prompts_that_were_chosen_are_named(model: PromptedModel):
    (answer,) = explain(model, {"text": "warm"})
    assert {pool: len(set(own)) for pool, own in answer["prompts"].items()} == {"inter": 2, "intra": 2}


def test_a_head_that_is_no_evidence_says_so_and_has_one_prior(tiny: Backbone):
    plain = PromptedModel(tiny, NoPrompts(tiny.dim), LABELS, rng=torch_stream(0, "head"))
    (answer,) = explain(plain, {"text": "warm"})
    assert (answer["evidence"], answer["prompts"]) == ({}, {})
    with pytest.raises(PriorError, match="was trained together with it; expected train"):
        explain(plain, {"text": "warm"}, "uniform")


def test_several_labels_are_named_if_they_are_likelier_than_not(tiny: Backbone):
    head = PromptedModel(tiny, NoPrompts(tiny.dim), LABELS, "several_labels", torch_stream(0, "head"))
    (answer,) = explain(head, {"text": "warm"})
    assert answer["labels"] == [label for label, share in answer["probabilities"].items() if share > 0.5]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({}, "nothing is there; give at least one of image, text"),
        ({"sound": 3}, "the model reads image, text; it cannot use sound"),
        ({"image": np.zeros((0, 4, 3), np.uint8)}, "image: "),
    ],
)
def test_a_sample_that_cannot_be_used_is_refused(model: PromptedModel, sample: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        explain(model, sample)


def test_an_estimate_takes_more_than_one_sample(model: PromptedModel):
    with pytest.raises(PriorError, match="found 'estimate'; expected train, uniform, or a number for each label"):
        explain(model, SAMPLE, "estimate")
