"""The checkpoints that come along are read as the library of models reads them, to the bit."""

from pathlib import Path

import pytest
import torch

from example_values import EXAMPLES
from fedprime.backbones import SHIPPED
from fedprime.backbones.computation import PLAIN
from fedprime.backbones.shipped_vilt import ShippedTokenizer
from fedprime.backbones.vilt import ViltBackbone

MODALITIES = ("image", "text", "readings")


@pytest.mark.parametrize("max_text_tokens", [0, 30])
@pytest.mark.parametrize("folder", SHIPPED.values(), ids=SHIPPED)
def test_a_checkpoint_gives_the_bits_that_it_gives_through_the_library(folder: Path, max_text_tokens: int) -> None:
    found = ViltBackbone.shipped(folder, MODALITIES, max_text_tokens, PLAIN)
    expected = ViltBackbone.from_pretrained(folder, MODALITIES, max_text_tokens)
    assert found.fingerprint == expected.fingerprint
    assert found.options == expected.options
    embedded = [{name: own.embed(name, EXAMPLES[name]) for name in MODALITIES} for own in (found, expected)]
    for name in MODALITIES:
        assert all(map(torch.equal, embedded[0][name], embedded[1][name]))
    features = [own.encode(own.assemble(embedded[0])) for own in (found, expected)]
    assert torch.equal(*features)


def test_a_long_text_keeps_its_last_token() -> None:
    tokenizer = ShippedTokenizer(SHIPPED["tiny"], 5)
    [words] = tokenizer(["tomato " * 20], truncation=True, max_length=5)["input_ids"]
    vocabulary = tokenizer.get_vocab()
    assert (len(words), words[0], words[-1]) == (5, vocabulary["[CLS]"], vocabulary["[SEP]"])


def test_another_length_than_it_was_made_for_is_refused() -> None:
    with pytest.raises(ValueError, match="cut to 7 word pieces; this tokenizer cuts to 5"):
        ShippedTokenizer(SHIPPED["tiny"], 5)(["a"], truncation=True, max_length=7)
