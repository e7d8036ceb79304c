"""What a model card says, and that one which a person edited is kept."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fedprime.backbones.backbone import Backbone
from fedprime.models.model_card import CARD, is_untouched, model_card
from fedprime.models.model_folder import describe_training
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import NoPrompts

CONFIG: dict[str, Any] = {
    "task": "one_class",
    "label_names": ["soup", "a | <b>cake</b>\x85"],
    "backbone": {"reference": "tiny", "modalities": ["photo", "note"]},
    "about": {
        "kinds": {"photo": "image", "note": "text"},
        "columns": ["photo:image=file_name", "note:text=title+plot"],
        "labels": ["dish"],
        "training": {
            "method": "fedprime",
            "rounds": 3,
            "num_clients": 20,
            "num_samples": 4000,
            "missing": {"photo": 0.25},
            "scores": {"full": {"accuracy": 0.905, "num_samples": 2000}},
            "sent_up": {"head": 9, "pools.inter": 3},
            "sent_bytes": 1234,
        },
    },
}


def card_of(**training: Any) -> str:
    about = {**CONFIG["about"], "training": {**CONFIG["about"]["training"], **training}}
    weights = {"head.log_prior": torch.tensor([0.75, 0.25]).log()}
    return model_card({**CONFIG, "about": about}, weights, tells_statistics=True)


def test_metadata_is_yaml_that_says_columns_classes_rates_and_scores():
    found = yaml.safe_load(card_of().split("---\n")[1])
    assert found["library_name"] == "fedprime"
    assert found["fedprime"] == {
        "modalities": ["photo", "note"],
        "columns": ["photo:image=file_name", "note:text=title+plot"],
        "classes": ["soup", "a | <b>cake</b>\x85"],
        "missing_rates": {"photo": 0.25},
        "scores": {"full": 0.905},
    }


@pytest.mark.parametrize(
    "line",
    [
        "| note | text | title, plot |",
        "| soup | 75.0% |",
        r"| a \| \<b\>cake\</b\> | 25.0% |",
        "| scenario | accuracy, % | samples |",
        "| full | 90.5 | 2,000 |",
        "| photo | 25.0% of samples |",
        "Trained values and sums, no samples: `head`, `pools.inter`.",
        "A client and round: 1,234 bytes in both directions.",
        "No differential privacy: what is sent and saved may tell of single samples.",
        "Labels stood in: dish.",
    ],
)
def test_a_person_reads_what_there_is_to_know(line: str):
    assert line in card_of().splitlines()


def test_privacy_that_was_spent_is_told():
    assert "epsilon 2.5 at delta 1e-05" in card_of(privacy={"epsilon": 2.5, "delta": 1e-5})
    assert "no bound at delta" in card_of(privacy={"epsilon": None, "delta": 1e-5})
    assert "samples were brought to one place" in card_of(is_centralized=True)


def test_several_labels_are_told_apart_from_classes():
    several = {**CONFIG, "task": "several_labels", "label_names": ["red", "round"]}
    card = model_card(several, {"head.log_prior": torch.zeros(2)}, tells_statistics=False)
    assert "\n# red, round\n" in card
    assert "It knows 2 labels, and says of each whether it applies" in card
    assert "It knows 2 answers, and gives one of them" in card_of()


def test_a_card_that_was_edited_is_known():
    assert is_untouched(card_of())
    assert not is_untouched(card_of().replace("fedprime", "Fedprime"))
    assert not is_untouched("# my soups")


def test_saving_again_writes_the_card_anew_unless_a_person_edited_it(
    tiny: Backbone, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    model, folder = PromptedModel(tiny, NoPrompts(tiny.dim), ("soup", "cake")), tmp_path / "model"
    model.save_pretrained(folder)
    PromptedModel(tiny, NoPrompts(tiny.dim), ("tea", "cake")).save_pretrained(folder)
    assert "# tea or cake" in (folder / CARD).read_text()
    describe_training(folder, {"method": "pfpt", "rounds": 7})
    assert "Trained by `pfpt` over 7 rounds" in (folder / CARD).read_text()
    assert PromptedModel.from_pretrained(folder).about["training"] == {"method": "pfpt", "rounds": 7}
    (folder / CARD).write_text("mine \udcff", errors="surrogateescape")
    with caplog.at_level(logging.WARNING):
        model.save_pretrained(folder)
    assert (folder / CARD).read_bytes() == b"mine \xff"
    assert "README.md was edited, and is kept" in caplog.text
    assert json.loads((folder / "config.json").read_text())["label_names"] == ["soup", "cake"]
