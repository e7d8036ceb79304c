"""What a training step costs when prompts enter before a later layer, or at several: 12 layers of the shape of ViLT.

    python benchmarks/prompt_layers.py                    # a quarter of ViLT-B/32's width
    python benchmarks/prompt_layers.py --width 768        # the shape of ViLT-B/32

It ends within the minutes that it prints: when most of them are over, no further steps are taken.

All variants take an optimiser step on the same samples, in turn, in one process; 70 % of the samples lack image or
text. Weights and samples are random: speed does not depend on them. Hidden states below the layer of the prompts are
computed before, once for each sample, as a run keeps them; what that takes stands beside. CPU seconds, because the
machine may be shared.
"""

import argparse
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, ViltConfig, ViltImageProcessorPil, ViltModel

from fedprime.backbones import SHIPPED, TINY
from fedprime.backbones.computation import Computation
from fedprime.backbones.layers import states_before
from fedprime.backbones.vilt import ViltBackbone
from fedprime.data.batches import Batch
from fedprime.federation.local_training import optimiser_step
from fedprime.methods import METHODS
from fedprime.reproducibility.seeding import torch_stream
from machine import Clock, describe
from plain_vilt import IMAGE_SIDE
from training_speed import batch_of, samples_of

_PRINTED_MINUTES = 5
_NUM_LAYERS, _NUM_WORDS = 12, 40
#: The layer that prompts enter before, and how many layers from there on have prompts of their own.
VARIANTS = ((0, 1), (4, 1), (8, 1), (10, 1), (0, 6), (0, 12), (8, 4))


def backbone_of(width: int) -> ViltBackbone:
    """Returns a ViLT of 12 layers with random weights."""
    config = ViltConfig(
        hidden_size=width,
        num_hidden_layers=_NUM_LAYERS,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        max_position_embeddings=_NUM_WORDS,
        image_size=IMAGE_SIDE,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED[TINY])
    processor = ViltImageProcessorPil.from_pretrained(SHIPPED[TINY])
    model = ViltModel(config, add_pooling_layer=False).eval()
    return ViltBackbone(model, tokenizer, processor, "random", computation=Computation("auto"))


@torch.no_grad()
def embedded_batch(backbone: ViltBackbone, size: int) -> Batch:
    """Returns embedded samples of which 70 % lack something."""

    def embedded(sample: dict[str, Tensor | None]) -> dict[str, Tensor | None]:
        image, text = sample["image"], sample["text"]
        return {
            "image": None if image is None else backbone.embed_patches(image[None])[0].clone(),
            "text": None if text is None else backbone.embed_words(text[None])[0, 1:].clone(),
        }

    return batch_of([embedded(sample) for sample in samples_of(size, _NUM_WORDS, "70 % lack something")])


def prepared(backbone: ViltBackbone, batch: Batch, layer: int, depth: int) -> tuple[Callable[[], float], float]:
    """Returns what takes an optimiser step, and the CPU seconds for what is below the prompts, for each sample."""
    method = METHODS["fedprime"](prompt_layer=layer, deep_prompts=depth)
    model = method.build(backbone, [str(label) for label in range(8)], rng=torch_stream(0, "weights"))
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    states = cache(lambda layer: states_before(backbone, batch.embedded, layer))
    began = time.process_time()
    if layer:
        states(layer)
    below = time.process_time() - began
    kept = Batch(batch.embedded, batch.present, batch.labels, states=states)
    return lambda: optimiser_step(model, method, kept, {}, optimizer, max_gradient_norm=1.0), below / len(batch)


def main() -> None:
    """Measures, prints a table and writes it where asked."""
    parser = argparse.ArgumentParser(description="Times a training step with prompts before later layers.")
    parser.add_argument("--width", type=int, default=192, help="width of a token, a multiple of 64; ViLT-B/32 has 768")
    parser.add_argument("--batch", type=int, default=20, help="samples per step")
    parser.add_argument("--repeats", type=int, default=5, help="steps of each variant, after one to warm up")
    parser.add_argument("--output", type=Path, help="file for the table")
    arguments = parser.parse_args()
    print(f"at most {_PRINTED_MINUTES} minutes", flush=True)
    torch.set_num_threads(1)
    about, clock, began = describe(), Clock(), time.monotonic()
    backbone = backbone_of(arguments.width)
    batch = embedded_batch(backbone, arguments.batch)
    steps = {variant: prepared(backbone, batch, *variant) for variant in VARIANTS}
    taken = 0
    for repeat in range(arguments.repeats + 1):
        if repeat > 1 and time.monotonic() - began > 60 * _PRINTED_MINUTES * repeat / (repeat + 1):
            break  # the next steps would take as long as those before
        taken = repeat
        for variant, (step, _) in steps.items():
            clock.time(str(variant) if repeat else "warming up", step)
    plain = clock.median(str(VARIANTS[0]))
    lines = [
        "; ".join(f"{name} {value}" for name, value in about.items()) + ".",
        "",
        f"{_NUM_LAYERS} layers of width {arguments.width}, {arguments.batch} samples per step, medians of "
        f"{taken} steps.",
        "",
        "| prompt_layer | deep_prompts | step, CPU ms per sample | of a step at layer 0 | below, once |",
        "|--:|--:|--:|--:|--:|",
    ]
    for (layer, depth), (_, below) in steps.items():
        seconds = clock.median(str((layer, depth)))
        lines.append(
            f"| {layer} | {depth} | {1000 * seconds / len(batch):.1f} | {seconds / plain:.2f} | {1000 * below:.1f} |"
        )
    print("\n".join(lines))
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
