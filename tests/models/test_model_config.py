"""What a saved model may say of itself, whoever has written it: it is refused in a line, or all can be done with it."""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from fedprime.backbones.backbone import Backbone
from fedprime.models.explanation import explain
from fedprime.models.model_config import checked_options, config_problem
from fedprime.models.model_folder import ModelError, describe_training
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import PromptPools
from fedprime.reproducibility.errors import FedprimeError
from fedprime.runs.play import description

TRAINING = {
    "method": "fedprime",
    "rounds": 3,
    "num_clients": 4,
    "is_centralized": False,
    "sent_up": {"head": 6240},
    "sent_bytes": 133_696.5,
    "num_samples": 60,
    "missing": {"image": 0.35, "text": 0.0},
    "chosen": {"inter": {"image": [0, 1, 2]}},
    "scores": {"like train": {"accuracy": 0.5, "loss": None, "num_samples": 20}},
}
ODD: list[Any] = [None, True, -1, 0, 1.5, 10**9, 2**70, "", "x", [], {}, ["a"], [None], {"a": 1}, [[]], "\x1b[2J"]


@pytest.fixture(scope="module")
def saved(tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    model = PromptedModel(tiny, PromptPools(tiny.dim, {"inter": 4, "intra": 2}, 2), ("soup", "cake"), readout="summary")
    model.about = {"columns": ["image:image=photo"], "labels": ["dish"], "forms": {"photo": "image"}}
    model.save_pretrained(folder)
    describe_training(folder, TRAINING)
    return folder


def edited(config: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """One thing is away, twice there, in another order or something else."""
    changed = copy.deepcopy(config)
    inside: Any = changed
    while True:
        key = rng.choice(
            [name for name in inside if name != "reference"] if isinstance(inside, dict) else range(len(inside))
        )
        value = inside[key]
        if not (isinstance(value, dict | list) and value) or rng.random() < 0.25:
            break
        inside = value
    how = rng.randrange(5)
    if how == 0:
        del inside[key]
    elif how == 1 and isinstance(value, list):
        inside[key] = value * 2
    elif how == 2 and isinstance(value, list):
        rng.shuffle(value)
    else:
        inside[key] = rng.choice(ODD)
    return changed


def outcomes(saved: Path, backbone: Backbone, folder: Path, number: int) -> Iterator[str]:
    config = json.loads((saved / "config.json").read_text())
    config.pop("sha256")
    (folder / "model.safetensors").write_bytes((saved / "model.safetensors").read_bytes())
    rng = random.Random(0)
    for _ in range(number):
        (folder / "config.json").write_text(json.dumps(edited(config, rng)))
        try:
            model = PromptedModel.from_pretrained(folder, backbone)
        except FedprimeError as error:
            yield "refused" if "\n" not in str(error) else "refused in several lines"
            continue
        description(model, "m")
        explain(model, {"text": "warm"}, "train", every_subset=True)
        model.save_pretrained(folder / "again")
        yield "used"


def test_whatever_is_edited_in_a_configuration_is_refused_in_a_line_or_can_be_used(
    saved: Path, tiny: Backbone, tmp_path: Path
):
    found = list(outcomes(saved, tiny, tmp_path, 300))
    assert set(found) == {"used", "refused"}
    assert min(found.count("used"), found.count("refused")) > 30


def test_what_is_saved_has_no_problem(saved: Path):
    assert config_problem(json.loads((saved / "config.json").read_text())) == ""
    assert load_file(saved / "model.safetensors")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pools": 3}, "pools: Input should be"),
        ({"num_chosen": "2"}, "num_chosen: Input should be a valid integer"),
        ({"learns_maps": 1}, "learns_maps: Input should be a valid boolean"),
        ({"pools": {"inter": None}}, "pools: inter: Input should be a valid integer"),
    ],
)
def test_options_have_the_types_that_they_say(options: dict[str, Any], said: str):
    with pytest.raises(TypeError, match=said):
        checked_options(PromptPools, options)


def test_more_prompts_than_there_is_memory_for_are_one_line(saved: Path, tiny: Backbone, tmp_path: Path):
    config = json.loads((saved / "config.json").read_text())
    config["prompter"]["options"]["pools"] = {"inter": 2**50}
    (tmp_path / "model.safetensors").write_bytes((saved / "model.safetensors").read_bytes())
    config.pop("sha256")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="is broken"):
        PromptedModel.from_pretrained(tmp_path, tiny)
