"""Which part of a pretrained model reads a modality, and how long a text it reads."""

from pathlib import Path

import pytest
import torch
from transformers import RobertaConfig, RobertaModel

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.pretrained_encoders import ImageModel, TextModel
from fedprime.backbones.towers import longest_readable, reading_part


class Words:
    all_special_ids = (0, 1, 2)

    def get_vocab(self) -> dict[str, int]:
        return {f"word {number}": number for number in range(20)}


def test_a_position_table_with_rows_that_no_word_may_use_is_not_read_to_its_end():
    with torch.random.fork_rng():
        shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        model = RobertaModel(RobertaConfig(vocab_size=20, max_position_embeddings=18, pad_token_id=1, **shape))
    # Positions begin behind that of padding: 18 - 1 - 1.
    assert longest_readable(model.eval(), Words(), 18) == 16
    assert longest_readable(model, Words(), 5) == 5


def test_of_a_dual_encoder_the_tower_reads(checkpoints: dict[str, Path]):
    images = ImageModel.from_pretrained(checkpoints["clip"])
    texts = TextModel.from_pretrained(checkpoints["clip"], 128)
    assert (images.width, texts.width, texts.max_tokens) == (24, 20, 12)
    assert images.fingerprint != texts.fingerprint


def test_a_model_that_has_no_tower_for_a_modality_is_refused(checkpoints: dict[str, Path]):
    from transformers import AutoModel

    with pytest.raises(BackboneError, match="'clip' cannot be the encoder of a modality of the kind audio"):
        reading_part(AutoModel.from_pretrained(checkpoints["clip"]), "audio")
