"""The script that made the shipped weights: what it draws, what it hides, and that it writes the same bits again."""

import argparse
import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import fedprime.backbones
from fedprime.backbones import TINY, load_backbone
from fedprime.backbones.vilt import ViltBackbone
from fedprime.data.sets.scenes import FILLERS, INGREDIENTS
from tool_scripts import load_script

TINY_FOLDER = Path(fedprime.backbones.__file__).parent / TINY


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("pretrain_tiny")


@pytest.fixture(scope="module")
def tokenizer(script: ModuleType) -> Any:
    return script.build_tokenizer()


@pytest.fixture(scope="module")
def scenes(script: ModuleType, tokenizer: Any) -> Any:
    return script.draw_scenes(0, 0, 400, tokenizer)


@pytest.fixture
def quick(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script without its measurements, which take a minute; the global generator is put back afterwards."""
    monkeypatch.setattr(script, "measure", lambda *_: {"matching_accuracy": 0.5})
    monkeypatch.setattr(script, "probe", lambda _: {"probe_image": 0.5})
    with torch.random.fork_rng():
        yield script


def arguments(output: Path, seed: int = 0, steps: int = 2) -> argparse.Namespace:
    return argparse.Namespace(
        output=output,
        steps=steps,
        batch_size=16,
        lr=3e-3,
        width=16,
        layers=2,
        seed=seed,
        alone=0.5,
        caption_weight=8.0,
    )


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "quality.json"}


def titles_of(scenes: Any) -> torch.Tensor:
    """Returns the word pieces of the titles before some of them were hidden."""
    return torch.where(scenes.hidden_ids >= 0, scenes.hidden_ids, scenes.word_ids)


def four_standard_errors(share: float, number: int) -> float:
    return 4 * math.sqrt(share * (1 - share) / number)


# Writing


def test_the_same_command_writes_the_same_bits(quick: ModuleType, tmp_path: Path) -> None:
    quick.pretrain(arguments(tmp_path / "one"))
    torch.rand(3)  # what was drawn before must not matter
    quick.pretrain(arguments(tmp_path / "other"))
    assert written(tmp_path / "one") == written(tmp_path / "other")


def test_another_seed_writes_other_weights(quick: ModuleType, tmp_path: Path) -> None:
    for seed in (0, 1):
        quick.pretrain(arguments(tmp_path / str(seed), seed))
    zero, one = (written(tmp_path / str(seed)) for seed in (0, 1))
    assert zero.keys() == one.keys()
    assert zero["model.safetensors"] != one["model.safetensors"]


def test_what_is_written_is_loaded_like_any_checkpoint(quick: ModuleType, tmp_path: Path) -> None:
    quick.pretrain(arguments(tmp_path))
    backbone = load_backbone(tmp_path)
    assert backbone.dim == 16
    embedded = {
        "image": backbone.embed("image", [np.zeros((64, 64, 3), dtype=np.uint8)]),
        "text": backbone.embed("text", ["fresh tomato"]),
    }
    assert backbone.encode(backbone.assemble(embedded)).isfinite().all()
    quality = json.loads((tmp_path / "quality.json").read_text())
    assert quality.items() >= {"steps": 2, "seed": 0, "matching_accuracy": 0.5, "probe_image": 0.5}.items()


def test_the_command_alone_is_the_one_that_made_the_shipped_weights(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[argparse.Namespace] = []
    monkeypatch.setattr(script, "pretrain", given.append)
    monkeypatch.setattr("sys.argv", ["pretrain_tiny.py"])
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        script.main()
    finally:
        torch.use_deterministic_algorithms(was_deterministic)
    quality = json.loads((TINY_FOLDER / "quality.json").read_text())
    config = json.loads((TINY_FOLDER / "config.json").read_text())
    [found] = given
    assert (found.steps, found.seed) == (quality["steps"], quality["seed"])
    assert (found.width, found.layers) == (config["hidden_size"], config["num_hidden_layers"])


def test_training_lowers_the_loss(quick: ModuleType, tokenizer: Any) -> None:
    torch.manual_seed(0)
    model, _, image_processor = quick.build_backbone(16, 1)
    pretrainer = quick.Pretrainer(ViltBackbone(model, tokenizer, image_processor, "untrained"))
    optimizer = torch.optim.AdamW(pretrainer.parameters(), lr=3e-3)
    losses = []
    for step in range(15):
        scenes = quick.draw_scenes(0, step, 32, tokenizer)
        loss = quick.pretraining_loss(pretrainer(scenes), scenes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]


def test_every_weight_of_the_checkpoint_is_trained(quick: ModuleType, tokenizer: Any) -> None:
    torch.manual_seed(0)
    model, _, image_processor = quick.build_backbone(16, 2)
    pretrainer = quick.Pretrainer(ViltBackbone(model, tokenizer, image_processor, "untrained"))
    scenes = quick.draw_scenes(0, 0, 32, tokenizer)
    quick.pretraining_loss(pretrainer(scenes), scenes).backward()
    assert [name for name, value in pretrainer.named_parameters() if value.grad is None] == []


# Words


def test_every_word_of_the_world_is_one_piece(tokenizer: Any) -> None:
    words = [*FILLERS, *(name for names in INGREDIENTS for name in names)]
    pieces = tokenizer(words, add_special_tokens=False)["input_ids"]
    assert {len(row) for row in pieces} == {1}
    assert len({row[0] for row in pieces}) == len(words)


def test_other_words_are_spelled(tokenizer: Any) -> None:
    pieces = tokenizer("Quiche, 2 eggs!", add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in pieces
    assert tokenizer.convert_ids_to_tokens(pieces)[:6] == ["q", "##u", "##i", "##c", "##h", "##e"]


def test_the_shipped_tokenizer_is_the_one_that_is_built(tokenizer: Any) -> None:
    assert load_backbone()._tokenizer.get_vocab() == tokenizer.get_vocab()


# Scenes


def test_scenes_are_drawn_by_seed_and_step_alone(script: ModuleType, tokenizer: Any) -> None:
    script.draw_scenes(0, 4, 8, tokenizer)
    one, same, later = (script.draw_scenes(0, step, 8, tokenizer) for step in (5, 5, 6))
    for field in dataclasses.fields(one):
        assert torch.equal(getattr(one, field.name), getattr(same, field.name))
    assert not torch.equal(one.pixels, later.pixels)


def test_each_modality_is_absent_from_a_quarter_and_one_is_always_there(scenes: Any) -> None:
    assert (scenes.has_image | scenes.has_text).all()
    # Of 400 scenes, four standard errors.
    for there in (scenes.has_image, scenes.has_text):
        assert there.float().mean().item() == pytest.approx(0.75, abs=four_standard_errors(0.75, 400))


def test_half_of_the_complete_scenes_have_a_title_of_another(scenes: Any) -> None:
    both = scenes.has_image & scenes.has_text
    assert scenes.matches[both].mean().item() == pytest.approx(0.5, abs=four_standard_errors(0.5, int(both.sum())))
    assert scenes.matches[~both].all()


def test_a_title_that_matches_names_only_what_the_picture_shows(scenes: Any) -> None:
    matches = scenes.matches > 0.5
    assert ((scenes.named <= scenes.shown).all(dim=1) == matches).float().mean() > 0.95
    assert (scenes.named <= scenes.shown)[matches].all()


def test_the_targets_of_a_title_are_the_ingredients_that_it_names(scenes: Any, tokenizer: Any) -> None:
    ingredient = {name: index for index, names in enumerate(INGREDIENTS) for name in names}
    for row, named in zip(titles_of(scenes)[scenes.has_text].tolist(), scenes.named[scenes.has_text], strict=True):
        words = tokenizer.convert_ids_to_tokens(row)
        found = {ingredient[word] for word in words if word in ingredient}
        targets = set(named.nonzero().flatten().tolist())
        # In a swapped pair, what is hidden is not to be named and cannot be read here.
        assert found <= targets
        assert found == targets or "[MASK]" in words
        assert 1 <= len(targets) <= 3


def test_a_picture_shows_one_to_four_ingredients(scenes: Any) -> None:
    assert set(scenes.shown.sum(dim=1).tolist()) <= {1, 2, 3, 4}


def test_a_hidden_word_does_not_give_away_that_the_pair_matches(script: ModuleType, tokenizer: Any) -> None:
    batches = [script.draw_scenes(3, step, 256, tokenizer) for step in range(4)]
    both = torch.cat([batch.has_image & batch.has_text for batch in batches])
    matches = torch.cat([batch.matches for batch in batches])[both] > 0.5
    hidden = torch.cat([(batch.word_ids == tokenizer.mask_token_id).any(dim=1) for batch in batches])[both]
    with_hidden, without = (hidden[rows].float().mean().item() for rows in (matches, ~matches))
    assert with_hidden == pytest.approx(without, abs=2 * four_standard_errors(0.5, int(both.sum()) // 2))


def test_only_names_in_titles_that_match_and_are_there_are_to_be_named(scenes: Any, tokenizer: Any) -> None:
    hidden = scenes.hidden_ids >= 0
    names = {tokenizer.convert_tokens_to_ids(name) for pair in INGREDIENTS for name in pair}
    assert set(scenes.hidden_ids[hidden].tolist()) <= names
    assert (scenes.word_ids[hidden] == tokenizer.mask_token_id).all()
    assert scenes.has_text[:, None].expand_as(hidden)[hidden].all()
    assert (scenes.matches > 0.5)[:, None].expand_as(hidden)[hidden].all()
    # 35 % of the names that may be hidden are.
    may_be_hidden = torch.isin(titles_of(scenes), torch.tensor(sorted(names))) & scenes.has_text[:, None]
    may_be_hidden &= (scenes.matches > 0.5)[:, None]
    found, number = hidden[may_be_hidden].float().mean().item(), int(may_be_hidden.sum())
    assert found == pytest.approx(0.35, abs=four_standard_errors(0.35, number))


def test_of_an_absent_title_only_the_summary_word_is_read(scenes: Any) -> None:
    absent = ~scenes.has_text
    assert scenes.word_mask[:, 0].all()
    assert not scenes.word_mask[absent, 1:].any()
    assert scenes.word_mask[~absent].sum(dim=1).min() >= 3


def test_what_is_absent_has_no_influence(quick: ModuleType, tokenizer: Any) -> None:
    model, _, image_processor = quick.build_backbone(16, 2)
    pretrainer = quick.Pretrainer(ViltBackbone(model, tokenizer, image_processor, "untrained"))
    scenes = quick.draw_scenes(0, 0, 32, tokenizer)
    poisoned = dataclasses.replace(
        scenes,
        pixels=torch.where(scenes.has_image[:, None, None, None], scenes.pixels, 1e3),
        word_ids=torch.where(scenes.word_mask, scenes.word_ids, 9),
    )
    assert not torch.equal(poisoned.pixels, scenes.pixels)
    assert not torch.equal(poisoned.word_ids, scenes.word_ids)
    with torch.no_grad():
        one, other = pretrainer(scenes), pretrainer(poisoned)
    for task, logits in one.items():
        assert torch.allclose(other[task], logits, atol=1e-5), task


def test_the_loss_is_that_worked_out_by_hand(script: ModuleType, tokenizer: Any) -> None:
    scenes = script.draw_scenes(0, 0, 8, tokenizer)
    logits = {
        "hidden": torch.zeros(int((scenes.hidden_ids >= 0).sum()), 100),
        "match": torch.zeros(8),
        "shown": torch.zeros(8, 64),
        "named": torch.zeros(8, 64),
    }
    # Ignorance costs the logarithm of the number of words, and log 2 for every yes or no; captions count eightfold.
    assert script.pretraining_loss(logits, scenes).item() == pytest.approx(math.log(100) + 17 * math.log(2), rel=1e-5)


def test_scenes_can_all_have_picture_and_title(script: Any, tokenizer: Any) -> None:
    complete, usual = (script.draw_scenes(0, 0, 400, tokenizer, alone) for alone in (0.0, 0.5))
    assert complete.has_image.all()
    assert complete.has_text.all()
    assert not usual.has_image.all()
    assert not usual.has_text.all()
