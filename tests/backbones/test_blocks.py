"""Blocks: what each kind of backbone takes for the vector of a modality."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from example_values import EXAMPLES
from fedprime.backbones import load_backbone
from fedprime.backbones.blocks import block_of, block_widths, blocks_by_modality
from fedprime.backbones.composite import CompositeBackbone

KINDS = ("vilt", "clip", "siglip", "siglip2", "composite", "bare composite")


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_is_a_finite_row_that_does_not_depend_on_other_samples(
    kind: str, checkpoints: Mapping[str, Path]
) -> None:
    backbone = load_backbone(checkpoints[kind])
    for modality, widths in blocks_by_modality(backbone).items():
        assert next(iter(widths)) == modality
        embedded = backbone.embed(modality, EXAMPLES[modality])
        block = block_of(backbone, modality, embedded)
        assert block.shape == (len(embedded), sum(widths.values()))
        assert block.isfinite().all()
        assert not block.requires_grad
        for row, tokens in enumerate(embedded):
            assert torch.allclose(block[row], block_of(backbone, modality, [tokens])[0], atol=1e-5)


def test_no_sample_has_no_block() -> None:
    assert block_of(load_backbone(), "text", []).shape == (0, 2 * load_backbone().dim)


def test_without_a_word_of_the_backbone_it_is_mean_and_deviation_of_the_frozen_tokens() -> None:
    backbone = load_backbone()
    embedded = backbone.embed("text", EXAMPLES["text"])
    mean = np.stack([tokens.numpy().mean(axis=0) for tokens in embedded])
    deviation = np.stack([tokens.numpy().std(axis=0) for tokens in embedded])
    found = block_of(backbone, "text", embedded).numpy()
    np.testing.assert_allclose(found, np.concatenate([mean, deviation], axis=1), atol=1e-6)


def test_an_image_of_linear_patches_tells_which_of_them_it_has_wherever_they_are() -> None:
    backbone = load_backbone()
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    image[:16, :16] = (200, 40, 40)
    moved, another = np.roll(image, 32, axis=(0, 1)), np.zeros((64, 64, 3), dtype=np.uint8)
    another[:16, :16] = (40, 40, 200)
    widths = blocks_by_modality(backbone)["image"]
    rows = block_of(backbone, "image", backbone.embed("image", [image, moved, another]))
    patches = rows.split(list(widths.values()), dim=1)[list(widths).index("image patches")]
    assert torch.dist(patches[0], patches[1]) < torch.dist(patches[0], patches[2])


def test_of_a_dual_encoder_it_is_the_feature_that_the_library_gives_the_tower(checkpoints: Mapping[str, Path]) -> None:
    backbone = load_backbone(checkpoints["clip"])
    words = backbone._tokenizer(EXAMPLES["text"][2:3], return_tensors="pt")
    pixels = backbone._image_processor(EXAMPLES["image"][2:3], return_tensors="pt")
    with torch.no_grad():
        expected = {
            "text": backbone.model.get_text_features(**words),
            "image": backbone.model.get_image_features(**pixels),
        }
    for modality, feature in expected.items():
        feature = getattr(feature, "pooler_output", feature)
        feature = nn.functional.normalize(feature, dim=1) * feature.shape[1] ** 0.5
        block = block_of(backbone, modality, backbone.embed(modality, EXAMPLES[modality][2:3]))
        assert torch.allclose(block, feature, atol=1e-4)


def test_of_a_composite_it_is_what_its_encoder_pools_not_what_the_joint_layers_see(
    checkpoints: Mapping[str, Path],
) -> None:
    backbone = CompositeBackbone.from_pretrained(checkpoints["composite"], ("text", "table"))
    text, table = backbone.encoders["text"], backbone.encoders["table"]
    [tokens] = backbone.embed("text", EXAMPLES["text"][:1])
    assert torch.allclose(block_of(backbone, "text", [tokens])[0], tokens.mean(dim=0), atol=1e-6)
    assert block_widths(backbone) == {"text": text.width, "table": table.width}
