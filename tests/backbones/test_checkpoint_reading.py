"""Reading checkpoints: one clear error, no noise, and a fingerprint of what decides a feature."""

from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import logging as hub_logging
from transformers import ViltModel, logging

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.checkpoint_reading import (
    fingerprint_of,
    load_tokenizer,
    load_whole,
    read_model_type,
    reading_checkpoint,
)


def test_whatever_goes_wrong_is_one_line_that_says_what_to_do() -> None:
    with (
        pytest.raises(
            BackboneError, match=r"^cannot load a backbone from 'there': bad luck \(expected a hat, .*PATH\)$"
        ),
        reading_checkpoint("there", "a hat"),
    ):
        raise ValueError("bad luck\nand more")


def test_an_error_without_words_is_called_by_its_kind() -> None:
    with pytest.raises(BackboneError, match="from 'there': RuntimeError"), reading_checkpoint("there", "a hat"):
        raise RuntimeError


def test_an_error_that_is_clear_already_stays_as_it_is() -> None:
    with pytest.raises(BackboneError, match=r"^no hats$"), reading_checkpoint("there", "a hat"):
        raise BackboneError("no hats")


def test_attempts_to_reach_the_hub_are_told_by_the_error_alone() -> None:
    before = hub_logging.get_verbosity()
    hub_logging.set_verbosity_info()
    try:
        with reading_checkpoint("there", "a hat"):
            assert hub_logging.get_verbosity() == logging.ERROR
        assert hub_logging.get_verbosity() == logging.INFO
    finally:
        hub_logging.set_verbosity(before)


def test_an_interrupt_is_no_error_of_the_checkpoint() -> None:
    with pytest.raises(KeyboardInterrupt), reading_checkpoint("there", "a hat"):
        raise KeyboardInterrupt


def test_the_library_is_silent_while_it_reads_and_talks_again_after() -> None:
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with reading_checkpoint("there", "a hat"):
        assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (logging.ERROR, False)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_a_checkpoint_says_of_what_kind_it_is(hub_checkpoint: Path) -> None:
    assert read_model_type(hub_checkpoint) == "vilt"


@pytest.mark.parametrize("reference", ["/no/such/folder", "./soup", "../soup", "models/of/soup"])
def test_a_path_to_nothing_is_not_taken_for_a_name_on_the_hub(reference: str) -> None:
    with pytest.raises(BackboneError, match="there is no such folder"), reading_checkpoint(reference, "a ViLT"):
        read_model_type(reference)


def test_a_checkpoint_is_loaded_in_floats_of_32_bits(hub_checkpoint: Path) -> None:
    with reading_checkpoint(hub_checkpoint, "a ViLT"):
        model = load_whole(ViltModel, hub_checkpoint)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_tokenizer_without_words_is_refused(hub_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((hub_checkpoint / "config.json").read_bytes())
    with pytest.raises(BackboneError), reading_checkpoint(tmp_path, "a tokenizer"):
        load_tokenizer(tmp_path)


class SlowTokenizer:
    """A tokenizer as those that run on sentencepiece are: without a part of the library `tokenizers`."""

    def __init__(self, *words: str, do_lower_case: bool = True) -> None:
        self.words, self.do_lower_case = words, do_lower_case

    def get_vocab(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words)}


def test_a_fingerprint_tells_tokenizers_apart_that_run_on_sentencepiece() -> None:
    tokenizers = [SlowTokenizer("a", "b"), SlowTokenizer("b", "a"), SlowTokenizer("a", "b", do_lower_case=False)]
    assert len({fingerprint_of(0, {}, tokenizer) for tokenizer in tokenizers}) == 3
    assert fingerprint_of(0, {}, SlowTokenizer("a")) == fingerprint_of(0, {}, SlowTokenizer("a"))


def test_a_fingerprint_tells_shapes_names_types_and_values_apart() -> None:
    zeros = torch.zeros(4)
    different = [
        fingerprint_of({"heads": 2}, {"a": zeros}),
        fingerprint_of({"heads": 3}, {"a": zeros}),
        fingerprint_of({"heads": 2}, {"b": zeros}),
        fingerprint_of({"heads": 2}, {"a": zeros.reshape(2, 2)}),
        fingerprint_of({"heads": 2}, {"a": zeros.int()}),
        fingerprint_of({"heads": 2}, {"a": zeros + 1}),
    ]
    assert len(set(different)) == len(different)
    one, other = torch.ones(2), torch.zeros(3)
    assert fingerprint_of(0, {"a": one, "b": other}) == fingerprint_of(0, {"b": other, "a": one})
