"""A Space that is exported: its files, and its app around a small stand-in for gradio."""

import json
import runpy
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone
from fedprime.models.model_folder import ModelError
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import NoPrompts
from fedprime.runs.space import export_space

PARTS = {
    "photo": {"encoder": "pixel_patches", "side": 32, "patch_size": 16},
    "voice": {"encoder": "log_mel", "sampling_rate": 8000, "num_bands": 8, "frames_per_token": 2},
    "facts": {"encoder": "hashed_table"},
}


def stand_in() -> types.ModuleType:
    """What app.py uses of gradio: everything keeps what it was given."""

    class Kept:
        def __init__(self, *given: Any, **named: Any) -> None:
            self.given, self.named = given, named

    module = types.ModuleType("gradio")
    for name in ("Image", "Audio", "Textbox", "Label", "Dataframe", "Interface"):
        setattr(module, name, type(name, (Kept,), {}))
    module.Error = type("Error", (Exception,), {})  # type: ignore[attr-defined]
    return module


@pytest.fixture
def space(tmp_path: Path) -> Path:
    (tmp_path / "composite").mkdir()
    composite = {"modalities": PARTS, "dim": 24, "num_layers": 1, "num_heads": 3}
    (tmp_path / "composite" / "composite.json").write_text(json.dumps(composite))
    backbone = load_backbone(str(tmp_path / "composite"))
    model = PromptedModel(backbone, NoPrompts(backbone.dim), ('a "soup"', "<cake>", "tea", "pie"))
    forms = {"price": "number", "colour": "category"}
    model.about = {"columns": ["photo:image=file", "voice:audio=sound", "facts:table=price+colour"], "forms": forms}
    export_space(model, tmp_path / "space")
    (tmp_path / "composite").rename(tmp_path / "moved")  # which nothing needs any more
    with pytest.raises(ModelError, match="exists already"):
        export_space(model, tmp_path / "space")
    return tmp_path / "space"


def test_the_app_predicts_from_what_is_there(space: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "gradio", stand_in())
    app = runpy.run_path(str(space / "app.py"))["app"]
    predict, inputs, _ = app.given
    assert [type(part).__name__ for part in inputs] == ["Image", "Audio", "Textbox"]
    assert inputs[2].named["placeholder"] == '{"price": 3.5, "colour": "a word"}'
    sound = (8000, np.zeros(800, np.int16))
    photo = np.full((40, 30, 3), 90, np.uint8)
    probabilities, rows = predict(photo, sound, '{"price": 2.5}')
    assert sum(probabilities.values()) == pytest.approx(1)
    assert len(rows) == 7
    assert rows[0][0] == "photo + voice + facts"
    assert [row[0] for row in predict(photo, None, " ")[1]] == ["photo"]
    assert [row[0] for row in predict(None, sound, '{"price": 2.5}')[1]] == ["voice + facts", "voice", "facts"]
    with pytest.raises(sys.modules["gradio"].Error, match="nothing is there"):  # type: ignore[attr-defined]
        predict(None, None, "")
    for row in ("price 2.5", "3", '["price"]'):
        with pytest.raises(sys.modules["gradio"].Error, match="is no row; expected cells by column, as"):  # type: ignore[attr-defined]
            predict(None, None, row)


def test_the_hub_is_told_what_to_run(space: Path):
    head = yaml.safe_load((space / "README.md").read_text().split("---")[1])
    assert (head["sdk"], head["app_file"], head["title"]) == ("gradio", "app.py", 'a "soup", <cake>, tea ...')
    assert "gradio" in (space / "requirements.txt").read_text()
    assert '\n# a "soup", \\<cake\\>, tea ...\n' in (space / "README.md").read_text()


@pytest.mark.parametrize(("ours", "is_released"), [("0.2.0", True), ("0.2.0.dev3+g12ab", False), ("0.2.0+d2", False)])
def test_a_version_that_no_index_has_is_told(
    ours: str,
    is_released: bool,
    tiny: Backbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr("fedprime.runs.space.version", lambda _: ours)
    export_space(PromptedModel(tiny, NoPrompts(tiny.dim), ("soup", "cake")), tmp_path / "space")
    assert f"fedprime=={ours}\n" in (tmp_path / "space" / "requirements.txt").read_text()
    said = (tmp_path / "space" / "README.md").read_text()
    assert all((f"{ours}, which is no release" in words) is not is_released for words in (said, caplog.text))


@pytest.mark.filterwarnings("ignore")  # of libraries about each other
def test_the_app_takes_what_gradio_itself_hands_over(space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Through gradio's own server, where `make test-trackers` has installed it."""
    pytest.importorskip("gradio")
    client = pytest.importorskip("gradio_client")
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    app = runpy.run_path(str(space / "app.py"))["app"]
    _, address, _ = app.launch(prevent_thread_lock=True, quiet=True)
    try:
        Image.new("RGB", (30, 40), (200, 60, 40)).save(tmp_path / "photo.png")
        photo = client.handle_file(tmp_path / "photo.png")
        answer, table = client.Client(address, verbose=False).predict(photo, None, "", api_name="/predict")
        assert answer["label"] in ('a "soup"', "<cake>", "tea", "pie")
        assert [row[0] for row in table["data"]] == ["photo"]
    finally:
        app.close()
