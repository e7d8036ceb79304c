"""The verb ``push``: a model goes to a hub, which the test starts on loopback."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from command_line import exit_code
from fedprime.backbones.backbone import Backbone
from fedprime.models.model_card import CARD
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import NoPrompts
from small_hub import Hub, hub_in_use


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    yield from hub_in_use(tmp_path, monkeypatch)


def test_a_finished_run_is_pushed_without_its_statistics(
    hub: Hub, finished_run: Path, capsys: pytest.CaptureFixture[str]
):
    assert exit_code("push", finished_run, "me/run", "--private") == 0
    assert capsys.readouterr().out == f"{hub.address}/me/run\n"
    assert sorted(hub.files["me/run"]) == [CARD, "config.json", "model.safetensors"]
    assert b"| full |" in hub.files["me/run"][CARD]


def test_an_edited_card_goes_along(hub: Hub, tiny: Backbone, tmp_path: Path):
    PromptedModel(tiny, NoPrompts(tiny.dim), ("soup", "cake")).save_pretrained(tmp_path / "model")
    (tmp_path / "model" / CARD).write_text("# mine")
    assert exit_code("push", tmp_path / "model", "me/soups") == 0
    assert hub.files["me/soups"][CARD] == b"# mine"


def test_what_is_no_model_is_said_in_a_line(hub: Hub, tmp_path: Path, complaint: Callable[..., str]):
    assert "is not a saved model: config.json is not there" in complaint("push", tmp_path, "me/soups")
    assert hub.asked == []
