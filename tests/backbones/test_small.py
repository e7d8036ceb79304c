"""The backbone for real files: texts and images by pretrained encoders, whatever else the data has beside them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from example_values import EXAMPLES
from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone, BackboneError
from fedprime.backbones.blocks import block_of, block_widths
from fedprime.backbones.composite import CompositeBackbone
from fedprime.backbones.shapes import look_of
from fedprime.backbones.small_weights import lacking_weights, minilm_folder

needs_weights = pytest.mark.skipif(bool(lacking_weights(("image", "text"))), reason="make encoders")
TEXTS = ["a pair of steel kitchen scissors", "a", " ".join(["tomato"] * 100)]


@pytest.fixture(scope="module")
def small() -> Backbone:
    return load_backbone("small", ("image", "text", "title", "facts"), kinds="image,text,text,table")


@needs_weights
def test_it_reads_modalities_of_any_name(small: Backbone) -> None:
    assert small.kinds == {"image": "image", "text": "text", "title": "text", "facts": "table"}
    texts = {"text": 384, "text words": 512, "text layers": 768}
    texts |= {"title": 384, "title words": 512, "title layers": 768}
    images, facts = {"image": 1280, "image shapes": 640, "image layers": 784}, {"facts": 256, "facts curves": 256}
    assert block_widths(small) == {**images, **texts, **facts}
    values = {"image": EXAMPLES["image"], "text": TEXTS, "title": TEXTS, "facts": EXAMPLES["table"]}
    embedded = {modality: small.embed(modality, values[modality][:1]) for modality in small.modalities}
    assert {modality: rows[0].shape[0] for modality, rows in embedded.items()} == dict.fromkeys(small.modalities, 1)
    assert small.encode(small.assemble(embedded)).isfinite().all()


@needs_weights
def test_the_block_of_a_text_is_the_mean_of_the_outputs_of_minilm_under_the_mask(small: Backbone) -> None:
    with minilm_folder() as folder:
        model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    words = tokenizer(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        states = model(**words).last_hidden_state
    mask = words["attention_mask"][:, :, None].float()
    expected = (states * mask).sum(dim=1) / mask.sum(dim=1)
    assert torch.allclose(block_of(small, "text", small.embed("text", TEXTS))[:, :384], expected, atol=1e-5)


@needs_weights
def test_loaded_again_as_a_saved_model_says_it_is_the_same(small: Backbone, tmp_path: Path) -> None:
    assert small.reference == "small"
    again = load_backbone(small.reference, small.modalities, kinds=str(small.options["kinds"]))
    assert again.fingerprint == small.fingerprint
    assert isinstance(small, CompositeBackbone)
    small.save_pretrained(tmp_path / "copy")
    assert load_backbone(tmp_path / "copy").fingerprint == small.fingerprint


@needs_weights
def test_the_shapes_of_an_image_stand_behind_what_the_network_makes_of_it(small: Backbone) -> None:
    block = block_of(small, "image", small.embed("image", EXAMPLES["image"][:1]))
    image = EXAMPLES["image"][0]
    assert isinstance(image, np.ndarray)
    assert block[0, 1280:1920].tolist() == pytest.approx(look_of(image).tolist())


def test_what_an_earlier_version_made_without_shapes_is_of_another_backbone() -> None:
    earlier = "282dd882ecfe3186"  # of commit 3aa4e9f
    assert load_backbone("small", ("audio",)).fingerprint != earlier


def test_sounds_and_tables_need_no_weights() -> None:
    backbone = load_backbone("small", ("audio", "readings"), kinds="audio,numbers")
    block = block_of(backbone, "audio", backbone.embed("audio", EXAMPLES["audio"]))
    assert block.shape == (4, 40 * 9 + 576 + 256)
    assert block_widths(backbone) == {
        "audio": 360,
        "audio shapes": 576,
        "audio frames": 256,
        "readings": 256,
        "readings curves": 256,
    }
    assert block.isfinite().all()
    assert len(backbone.embed("readings", EXAMPLES["readings"])) == 4


def test_long_rows_have_more_places_and_arrays_of_one_length_are_blocks_of_their_own(tmp_path: Path) -> None:
    backbone = load_backbone("small", ("a", "b", "c"), kinds="wide table,wide numbers,300 numbers")
    assert backbone.kinds == {"a": "table", "b": "numbers", "c": "numbers"}
    tables = {"a": 2048, "a curves": 256, "b": 2048, "b curves": 256}
    assert block_widths(backbone) == {**tables, "c": 300}
    again = load_backbone("small", backbone.modalities, kinds=str(backbone.options["kinds"]))
    assert again.fingerprint == backbone.fingerprint
    assert isinstance(backbone, CompositeBackbone)
    backbone.save_pretrained(tmp_path / "copy")
    copy = load_backbone(tmp_path / "copy")
    assert (copy.fingerprint, copy.kinds) == (backbone.fingerprint, backbone.kinds)


def test_few_numbers_are_read_alike_as_an_array_and_by_column() -> None:
    by_column, arrays = (load_backbone("small", ("facts",), kinds=kind) for kind in ("table", "numbers"))
    assert by_column.fingerprint == arrays.fingerprint


@pytest.mark.parametrize("kind", ["0 numbers", "99999 numbers", "wide text", "-3 numbers"])
def test_other_lengths_are_refused(kind: str) -> None:
    with pytest.raises(BackboneError, match="does not know what facts is"):
        load_backbone("small", ("facts",), kinds=kind)


@pytest.mark.parametrize(("modalities", "message"), [((), "to read is"), (("smell",), "what smell is")])
def test_what_it_cannot_know_is_refused(modalities: tuple[str, ...], message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        load_backbone("small", modalities)
