"""Models that go to a hub and come back: one that the tests start on loopback."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest

from command_line import exit_code
from fedprime.backbones import load_backbone
from fedprime.models.hub import HubError
from fedprime.models.model_card import CARD
from fedprime.models.model_folder import ModelError
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import NoPrompts
from small_hub import Hub, hub_in_use

ROW = ("--values", 'facts={"price": 2.5}')


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    yield from hub_in_use(tmp_path, monkeypatch)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of a model around a small composite that lies in files."""
    (tmp_path / "composite").mkdir()
    parts = {"facts": {"encoder": "hashed_table"}}
    (tmp_path / "composite" / "composite.json").write_text(
        json.dumps({"modalities": parts, "dim": 24, "num_layers": 1, "num_heads": 3})
    )
    backbone = load_backbone(str(tmp_path / "composite"))
    PromptedModel(backbone, NoPrompts(backbone.dim), ("soup", "cake")).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_model_that_was_pushed_predicts_wherever_its_name_is_given(
    hub: Hub, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (saved / CARD).write_text("# my soups\n")
    assert exit_code("push", saved, "me/soups") == 0
    assert capsys.readouterr().out == f"{hub.address}/me/soups\n"
    assert hub.files["me/soups"][CARD] == b"# my soups\n"
    assert not any(str(tmp_path).encode() in own for own in hub.files["me/soups"].values())
    shutil.rmtree(saved)
    shutil.rmtree(tmp_path / "composite")
    assert exit_code("predict", "me/soups", *ROW) == 0
    assert "facts" in capsys.readouterr().out
    asked = len(hub.asked)
    PromptedModel.from_pretrained("me/soups").save_pretrained(saved)
    assert PromptedModel.from_pretrained(saved).label_names == ("soup", "cake")
    downloads = [own for own in hub.asked[asked:] if own.startswith("GET /me/soups/resolve")]
    assert downloads == []  # all of it lay in the cache


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "me/cakes",
            "is no folder here, and not to be had from the hub: there is no me/cakes; check the name",
        ),
        ("me/other", "me/other was not saved by fedprime"),
    ],
)
def test_what_the_hub_does_not_have_is_said_in_a_line(hub: Hub, name: str, message: str):
    hub.files["me/other"] = {"config.json": b'{"model_type": "bert"}', "model.safetensors": bytes(9)}
    with pytest.raises(ModelError) as caught:
        PromptedModel.from_pretrained(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any("model.safetensors" in own for own in hub.asked)


@pytest.mark.parametrize(
    ("token", "name", "message"),
    [
        ("wrong", "me/soups", "me/soups is not there, or needs a token; check the name, or log in"),
        ("secret", "soups", "'soups' is no name of a repository; expected OWNER/NAME"),
    ],
)
def test_what_the_hub_does_not_let_a_person_do_is_said_in_a_line(
    hub: Hub, saved: Path, token: str, name: str, message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=message) as caught:
        PromptedModel.from_pretrained(saved).push_to_hub(name)
    assert "\n" not in str(caught.value)
    assert hub.files == {}


@pytest.mark.usefixtures("hub")
def test_a_hub_that_is_not_there_is_said_in_a_line(
    saved: Path, complaint: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    said = complaint("push", saved, "me/soups")
    assert "http://127.0.0.1:9 cannot be reached (" in said
    assert said.count("\n") == 1
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    said = complaint("predict", "me/soups", *ROW)
    assert "HF_HUB_OFFLINE forbids to look" in said
    assert said.count("\n") == 1


def test_a_folder_that_was_mistyped_is_not_looked_for_on_the_hub(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: Callable[..., str]
):
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "runs/mian is not a saved model" in complaint("predict", "runs/mian", *ROW)
    assert hub.asked == []
