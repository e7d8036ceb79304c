"""``composite.json``: what it can say, and one line about everything that it cannot."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.composite_file import Composition, load_encoder, read_composition, write_composition
from fedprime.backbones.log_mel import LogMel
from fedprime.backbones.pretrained_encoders import ImageModel, TextModel
from fedprime.backbones.table_tokens import TableTokens

GOOD: dict[str, object] = {
    "modalities": {
        "photo": {"encoder": "image_model", "reference": "photos"},
        "voice": {"encoder": "log_mel", "sampling_rate": 8000},
        "vitals": {"encoder": "table", "numbers": {"pulse": [70, 12]}, "categories": {"ward": ["A", "B"]}},
    },
    "dim": 12,
    "num_heads": 2,
}


def written(folder: Path, **changes: object) -> Path:
    (folder / "composite.json").write_text(json.dumps(GOOD | changes))
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    composition = read_composition(written(tmp_path))
    assert list(composition.modalities) == ["photo", "voice", "vitals"]
    assert (composition.dim, composition.num_layers, composition.num_heads, composition.seed) == (12, 2, 2, 0)
    (tmp_path / "again").mkdir()
    write_composition(composition, tmp_path / "again")
    assert read_composition(tmp_path / "again") == composition


def test_the_example_of_the_docs_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "backbones.md").read_text(encoding="utf-8")
    (tmp_path / "composite.json").write_text(page.split("```json")[1].split("```")[0])
    assert len(read_composition(tmp_path).modalities) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modalities": {}}, "modalities"),
        ({"dim": 0}, "dim: Input should be greater than or equal to 1"),
        ({"dim": 13}, "dim 13 is no multiple of 2 heads"),
        ({"depth": 3}, "depth: Unexpected"),
        ({"shapes": True}, "shapes stand beside pooled tokens; say pooled as well"),
        ({"format": 2}, "format: Input should be 1"),
        ({"modalities": {"photo": {"encoder": "nose"}}}, "modalities.photo: .*'nose'"),
        (
            {"modalities": {"photo": {"encoder": "image_model"}}},
            "modalities.photo.image_model.reference: Field required",
        ),
        ({"modalities": {"t": {"encoder": "table", "numbers": {"a": [1]}}}}, "modalities.t.table.numbers.a"),
        ({"modalities": {"my voice": {"encoder": "log_mel"}}}, "no modality can be called 'my voice'"),
        ({"modalities": {"values": {"encoder": "log_mel"}}}, "no modality can be called 'values'"),
        ({"dim": 0, "depth": 3}, "dim: .*; depth: "),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(BackboneError, match=message) as caught:
        read_composition(written(tmp_path, **changes))
    assert "\n" not in str(caught.value)
    assert "composite.json" in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", '{"modalities": {', "\xff"])
def test_a_broken_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "composite.json").write_text(content, encoding="latin-1")
    with pytest.raises(BackboneError, match=r"composite\.json is no composite"):
        read_composition(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="cannot read"):
        read_composition(tmp_path)


def test_each_kind_of_part_has_its_encoder(tmp_path: Path, checkpoints: Mapping[str, Path]) -> None:
    modalities = {
        **GOOD["modalities"],  # pyright: ignore[reportGeneralTypeIssues]
        "photo": {"encoder": "image_model", "reference": str(checkpoints["vit"])},
        "note": {"encoder": "text_model", "reference": "notes", "max_tokens": 5},
    }
    (tmp_path / "notes").symlink_to(checkpoints["bert"])
    composition: Composition = read_composition(written(tmp_path, modalities=modalities))
    encoders = {name: load_encoder(part, tmp_path) for name, part in composition.modalities.items()}
    kinds = {name: type(encoder) for name, encoder in encoders.items()}
    assert kinds == {"photo": ImageModel, "voice": LogMel, "vitals": TableTokens, "note": TextModel}
    assert len(encoders["note"].encode(["e " * 20])[0]) == 5


def test_an_encoder_that_cannot_be_had_gives_one_clear_error(tmp_path: Path) -> None:
    composition = read_composition(written(tmp_path))
    with pytest.raises(BackboneError, match=r"cannot load a backbone from 'photos': .*--backbone PATH"):
        load_encoder(composition.modalities["photo"], tmp_path)
