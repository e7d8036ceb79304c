"""Pretrains the tiny ViLT that fedprime ships, on generated scenes that never see the classes of the built-in world.

    python tools/pretrain_tiny.py --output src/fedprime/backbones/tiny
    python tools/pretrain_tiny.py --alone 0 --caption-weight 0 --output src/fedprime/backbones/tiny_paired

A scene is four glyphs and a title that names one to three of them, in a random style. The model learns, with modalities
dropped at random so that each alone gives good features:

* masked words: name the ingredients that the title hides (the picture helps);
* matching: does the title belong to the picture (half the pairs are swapped);
* captions: from the summary token, the words that picture and title each would be captioned with.

The second command leaves out what a checkpoint of the hub never had: scenes that lack a modality, and captions.

One thread, named random streams: the same command writes the same weights, to the bit, on one machine. `--probe FOLDER`
measures the quality of a checkpoint without training.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from transformers import BertTokenizer, ViltConfig, ViltImageProcessorPil, ViltModel
from transformers.masking_utils import create_bidirectional_mask

from fedprime.backbones.vilt import ViltBackbone
from fedprime.data.sets.builtin import NUM_GLYPHS, BuiltinWorld
from fedprime.data.sets.scenes import CELL_SIZE, FILLERS, IMAGE_SIZE, INGREDIENTS, draw_image, draw_style, write_title
from fedprime.reproducibility.seeding import stream, stream_seed

MAX_WORDS = 18  # of the title, [CLS] and [SEP] included
NAMES = [name for pair in INGREDIENTS for name in pair]


@dataclass
class Scenes:
    """A batch of captioned scenes; absent modalities are masked."""

    pixels: Tensor  # (scene, 3, height, width)
    word_ids: Tensor  # (scene, token), as read: some names are masked
    word_mask: Tensor  # (scene, token)
    hidden_ids: Tensor  # (scene, token), the word to be named, or -100
    has_image: Tensor
    has_text: Tensor
    matches: Tensor
    shown: Tensor  # (scene, ingredient) 1 where the picture shows it
    named: Tensor  # (scene, ingredient) 1 where the title names it


def build_tokenizer() -> Any:
    """Makes a WordPiece tokenizer of the world's words, with letters and digits for every other word."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [str(digit) for digit in range(10)]
    words = [*specials, *NAMES, *FILLERS, *characters, *(f"##{character}" for character in characters), *".,!?'&-"]
    return BertTokenizer(vocab={word: index for index, word in enumerate(dict.fromkeys(words))})


def build_backbone(width: int, num_layers: int) -> tuple[ViltModel, Any, ViltImageProcessorPil]:
    """Makes an untrained tiny ViLT with its tokenizer and image processor."""
    tokenizer = build_tokenizer()
    config = ViltConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=num_layers,
        num_attention_heads=4,
        intermediate_size=4 * width,
        max_position_embeddings=MAX_WORDS,
        image_size=IMAGE_SIZE,
        patch_size=CELL_SIZE,
        pad_token_id=tokenizer.pad_token_id,
    )
    options: dict[str, Any] = {"size": {"shortest_edge": IMAGE_SIZE}, "size_divisor": CELL_SIZE}
    image_processor = ViltImageProcessorPil(**options, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return ViltModel(config), tokenizer, image_processor


def draw_scenes(seed: int, step: int, num_scenes: int, tokenizer: Any, alone: float = 0.5) -> Scenes:
    """Draws the captioned scenes of one step, of which the share `alone` lacks the picture or the title."""
    rng = stream(seed, "pretrain", "scenes", step)
    images, titles, ingredients, named = [], [], [], []
    for _ in range(num_scenes):
        style = draw_style(rng)
        mixture = rng.dirichlet(np.full(len(INGREDIENTS), 0.5))
        scene = rng.choice(len(INGREDIENTS), size=NUM_GLYPHS, p=mixture)
        spoken = rng.permutation(np.unique(scene))[: rng.integers(1, 4)]
        images.append(draw_image(scene, style, rng))
        titles.append(write_title(spoken, style, rng))
        ingredients.append(scene)
        named.append(spoken)
    pattern = rng.choice(3, size=num_scenes, p=[1 - alone, alone / 2, alone / 2])  # both, image only, text only
    has_image, has_text = pattern != 2, pattern != 1
    swapped = np.flatnonzero((rng.random(num_scenes) < 0.5) & (pattern == 0))
    owner = np.arange(num_scenes)
    owner[swapped] = np.roll(swapped, 1)
    shown_matrix = np.zeros((num_scenes, len(INGREDIENTS)), dtype=np.float32)
    named_matrix = np.zeros_like(shown_matrix)
    for row in range(num_scenes):
        shown_matrix[row, ingredients[row]] = 1
        named_matrix[row, named[owner[row]]] = 1
    rows = tokenizer([titles[index] for index in owner], truncation=True, max_length=MAX_WORDS)["input_ids"]
    length = max(len(row) for row in rows)
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (length - len(row)) for row in rows])
    first_name = tokenizer.convert_tokens_to_ids(NAMES[0])
    is_name = (ids >= first_name) & (ids < first_name + len(NAMES))
    is_matched = torch.from_numpy(owner == np.arange(num_scenes))
    # Hidden in swapped pairs too, or a hidden word would give away that the pair matches; named only where it can be.
    hide = is_name & (torch.from_numpy(rng.random(ids.shape)) < 0.35)
    words = torch.where(hide, tokenizer.mask_token_id, ids)
    mask = ids != tokenizer.pad_token_id
    mask[:, 1:] &= torch.from_numpy(has_text)[:, None]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return Scenes(
        pixels,
        words,
        mask,
        torch.where(hide & mask & is_matched[:, None], ids, -100),
        torch.from_numpy(has_image),
        torch.from_numpy(has_text),
        is_matched.float(),
        torch.from_numpy(shown_matrix),
        torch.from_numpy(named_matrix),
    )


class Pretrainer(nn.Module):
    """The tiny ViLT with the heads that only pretraining needs."""

    def __init__(self, backbone: ViltBackbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.model = backbone.model.requires_grad_(True).train()
        width = backbone.dim
        self.name_word = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.name_bias = nn.Parameter(torch.zeros(self.model.config.vocab_size))
        self.match = nn.Linear(width, 1)
        self.shown = nn.Linear(width, len(NAMES))
        self.named = nn.Linear(width, len(NAMES))

    def forward(self, scenes: Scenes) -> dict[str, Tensor]:
        """Returns the logits of every task."""
        words = self.backbone.embed_words(scenes.word_ids)
        patches = self.backbone.embed_patches(scenes.pixels)
        values = torch.cat([words, patches], dim=1)
        mask = torch.cat([scenes.word_mask, scenes.has_image[:, None].expand(-1, patches.shape[1])], dim=1)
        config: Any = self.model.config
        bias = create_bidirectional_mask(config, values, mask)
        states = self.model.layernorm(self.model.encoder(values, attention_mask=bias).last_hidden_state)
        summary = states[:, 0]
        hidden = scenes.hidden_ids >= 0
        pooler = cast("nn.Module", self.model.pooler)
        table = self.model.embeddings.text_embeddings.word_embeddings.weight
        return {
            "hidden": self.name_word(states[:, : words.shape[1]][hidden]) @ table.T + self.name_bias,
            "match": self.match(pooler(states))[:, 0],
            "shown": self.shown(summary),
            "named": self.named(summary),
        }


def pretraining_loss(logits: dict[str, Tensor], scenes: Scenes, caption_weight: float = 8.0) -> Tensor:
    """Adds up the losses of the tasks, each over the scenes where it makes sense."""
    hidden = scenes.hidden_ids[scenes.hidden_ids >= 0]
    both = scenes.has_image & scenes.has_text
    bce = nn.functional.binary_cross_entropy_with_logits
    loss = nn.functional.cross_entropy(logits["hidden"], hidden)
    loss = loss + bce(logits["match"][both], scenes.matches[both])
    for task, targets, there in (("shown", scenes.shown, scenes.has_image), ("named", scenes.named, scenes.has_text)):
        # An ingredient would be captioned with either of its two names.
        loss = loss + caption_weight * bce(logits[task][there], targets[there].repeat_interleave(2, dim=1))
    return loss


def pretrain(arguments: argparse.Namespace) -> None:
    """Trains and writes the checkpoint."""
    torch.manual_seed(stream_seed(arguments.seed, "pretrain", "initial") >> 1)
    model, tokenizer, image_processor = build_backbone(arguments.width, arguments.layers)
    pretrainer = Pretrainer(ViltBackbone(model, tokenizer, image_processor, "tiny"))
    optimizer = torch.optim.AdamW(pretrainer.parameters(), lr=arguments.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=arguments.lr, total_steps=arguments.steps, pct_start=0.15
    )
    print(f"{sum(value.numel() for value in model.parameters()):,} parameters, {arguments.steps} steps")
    started = time.perf_counter()
    mean = math.nan
    for step in range(arguments.steps):
        scenes = draw_scenes(arguments.seed, step, arguments.batch_size, tokenizer, arguments.alone)
        loss = pretraining_loss(pretrainer(scenes), scenes, arguments.caption_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(pretrainer.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        mean = loss.item() if math.isnan(mean) else 0.98 * mean + 0.02 * loss.item()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}  loss {mean:.4f}  {time.perf_counter() - started:.0f} s", flush=True)
        if (step + 1) % 2000 == 0 or step + 1 == arguments.steps:
            arguments.output.mkdir(parents=True, exist_ok=True)
            model.save_pretrained(arguments.output)
            tokenizer.save_pretrained(arguments.output)
            image_processor.save_pretrained(arguments.output)
            quality = measure(pretrainer, tokenizer, arguments) | probe(arguments.output)
            quality |= {"steps": step + 1, "seed": arguments.seed, "seconds": round(time.perf_counter() - started)}
            (arguments.output / "quality.json").write_text(json.dumps(quality, indent=2) + "\n")
            print(json.dumps(quality), flush=True)


@torch.no_grad()
def measure(pretrainer: Pretrainer, tokenizer: Any, arguments: argparse.Namespace) -> dict[str, float]:
    """Measures the pretraining tasks on scenes that were not trained on."""
    pretrainer.eval()
    right: dict[str, list[Tensor]] = {"word_with_image": [], "word_without_image": [], "matching": []}
    for batch in range(16):
        scenes = draw_scenes(arguments.seed + 1, batch, 128, tokenizer, arguments.alone)
        both = scenes.has_image & scenes.has_text
        hidden = scenes.hidden_ids >= 0
        seen_with = both[:, None].expand_as(hidden)[hidden]
        # The two names of an ingredient are told apart by taste alone, so either counts as right.
        first_name = tokenizer.convert_tokens_to_ids(NAMES[0])
        logits = pretrainer(scenes)
        guess = (logits["hidden"].argmax(dim=1) - first_name) // 2 == (scenes.hidden_ids[hidden] - first_name) // 2
        right["word_with_image"].append(guess[seen_with])
        scenes.has_image = torch.zeros_like(both)
        blind = pretrainer(scenes)["hidden"].argmax(dim=1)
        blind_guess = (blind - first_name) // 2 == (scenes.hidden_ids[hidden] - first_name) // 2
        right["word_without_image"].append(blind_guess[seen_with])
        right["matching"].append(((logits["match"] > 0) == (scenes.matches > 0.5))[both])
    pretrainer.train()
    return {f"{task}_accuracy": round(torch.cat(rows).float().mean().item(), 4) for task, rows in right.items()}


def probe(checkpoint: Path) -> dict[str, float]:
    """Fits a linear classifier on the summary token for every missing pattern of the built-in world."""
    backbone = ViltBackbone.from_pretrained(checkpoint)
    world = BuiltinWorld(num_samples=6000)
    samples = [world.read(index, ("image", "text")) for index in range(len(world))]
    embedded = {
        modality: backbone.embed(modality, [sample[modality] for sample in samples]) for modality in ("image", "text")
    }
    num_train = 4000
    quality: dict[str, float] = {}
    for pattern in (("image", "text"), ("image",), ("text",)):
        parts = {modality: rows if modality in pattern else [None] * len(world) for modality, rows in embedded.items()}
        with torch.no_grad():
            features = np.concatenate(
                [
                    backbone.encode(
                        backbone.assemble({modality: rows[start : start + 500] for modality, rows in parts.items()})
                    ).numpy()
                    for start in range(0, len(world), 500)
                ]
            )
        classifier = LogisticRegression(max_iter=2000).fit(features[:num_train], world.labels[:num_train])
        present = np.tile([modality in pattern for modality in world.modalities], (len(world) - num_train, 1))
        tested = np.arange(num_train, len(world))
        name = "_and_".join(pattern)
        quality[f"probe_{name}"] = round(float(classifier.score(features[num_train:], world.labels[num_train:])), 4)
        quality[f"bayes_{name}"] = round(world.bayes_accuracy(tested, present), 4)
    return quality


def main() -> None:
    """Reads the command line and pretrains or probes."""
    parser = argparse.ArgumentParser(description="Pretrain the tiny ViLT that fedprime ships.")
    parser.add_argument("--output", type=Path, default=Path("src/fedprime/backbones/tiny"))
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--alone", type=float, default=0.5, help="share of the scenes that lack picture or title")
    parser.add_argument("--caption-weight", type=float, default=8.0, help="0 leaves ViLT's own two tasks alone")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--probe", type=Path, help="only probe this checkpoint")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    if arguments.probe:
        print(json.dumps(probe(arguments.probe), indent=2))
    else:
        pretrain(arguments)


if __name__ == "__main__":
    main()
