"""A backbone is tried when it is loaded; what does not fit is one line."""

import json
import shutil
from pathlib import Path

import pytest

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import BackboneError


def test_a_preprocessor_of_another_size_is_told_when_the_backbone_is_loaded(
    checkpoints: dict[str, Path], tmp_path: Path
):
    folder = tmp_path / "clip"
    shutil.copytree(checkpoints["clip"], folder)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    settings |= {"size": {"shortest_edge": 40}, "crop_size": {"height": 40, "width": 40}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(BackboneError, match=r"cannot read an image of 40 x 24 pixels as image: .*belong together"):
        load_backbone(folder)


@pytest.mark.parametrize("kind", ["vilt", "clip", "composite", "bare composite"])
def test_a_sound_backbone_is_loaded(kind: str, checkpoints: dict[str, Path]):
    assert load_backbone(checkpoints[kind]).modalities
