"""How fast a client trains around a ViLT-B/32, against a plain step: time, memory, share of the processor's rate.

    python benchmarks/training_speed.py --output docs/results/speed    # five minutes on a free core, at most eight

fedprime computes in the numbers that it chooses on this processor: bfloat16 where there are instructions for it, or
else float32. When eight minutes are over, no further steps are taken; the table says how many there were.

All variants take the same optimiser step on the same samples, in turn, in one process; the table has medians. 70 % of
the samples lack image or text, half of them either, as in the paper. Weights and samples are random: speed does not
depend on them. Memory is the peak of a process of its own for each variant. CPU seconds, because the machine may be
shared.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, ViltImageProcessorPil

from fedprime.backbones import SHIPPED, TINY
from fedprime.backbones.computation import CPU, Computation
from fedprime.backbones.precision import choose_dtype
from fedprime.backbones.vilt import ViltBackbone
from fedprime.data.batches import Batch
from fedprime.federation.local_training import optimiser_step
from fedprime.methods import METHODS
from fedprime.methods.method import Method
from fedprime.models.prompted_model import PromptedModel
from fedprime.reproducibility.seeding import torch_stream
from machine import Clock, describe, matmul_rates, peak_memory_mib
from plain_vilt import IMAGE_SIDE, PlainVilt, vilt_b32

_MISSING = "70 % lack something"
_COMPLETE = "nothing missing, texts of full length"
_AS_CHOSEN = Computation("auto")
_PRINTED_MINUTES = 8
_LAST_START = 60 * (_PRINTED_MINUTES - 2)  # seconds after which no further step begins, nor a measurement of memory
#: By name, how fedprime computes, or None for the plain step; and the samples.
VARIANTS: dict[str, tuple[Computation | None, str]] = {
    "plain float32": (None, _MISSING),
    "plain float32, weight gradients too": (None, _MISSING),
    "fedprime": (_AS_CHOSEN, _MISSING),
    "fedprime in float32": (Computation("float32"), _MISSING),
    "fedprime, equal tokens": (_AS_CHOSEN, _COMPLETE),
    "fedprime, activation checkpointing": (replace(_AS_CHOSEN, activation_checkpointing=True), _MISSING),
}
REFERENCE, WEIGHT_GRADIENTS = list(VARIANTS)[:2]
_FEWEST_WORDS = 8  # of a text, where something is missing


def samples_of(size: int, num_words: int, mix: str) -> list[dict[str, Tensor | None]]:
    """Draws raw samples: pixels and word ids, in the paper's mix or complete."""
    rng = torch_stream(0, "training speed")
    samples = []
    for index in range(size):
        lengths = torch.randint(_FEWEST_WORDS, num_words + 1, (1,), generator=rng)
        length = num_words if mix == _COMPLETE else int(lengths)
        text = torch.randint(1000, 20000, (length,), generator=rng)
        image = torch.randn(3, IMAGE_SIDE, IMAGE_SIDE, generator=rng)
        # Of 20 samples 7 lack the text and 7 the image, spread over the batch.
        place = (index * 7) % 20 if mix == _MISSING else 20
        samples.append({"image": None if place < 7 else image, "text": None if 7 <= place < 14 else text})
    return samples


def batch_of(samples: Sequence[dict[str, Tensor | None]]) -> Batch:
    """Returns samples as a batch, with labels of 8 classes."""
    names = ("image", "text")
    present = torch.tensor([[sample[name] is not None for name in names] for sample in samples])
    return Batch(
        {name: [sample[name] for sample in samples] for name in names}, present, torch.arange(len(samples)) % 8
    )


def prepared(variant: str, size: int, num_words: int, device: torch.device = CPU) -> tuple[Callable[[], float], Batch]:
    """Returns what takes one optimiser step, and its batch; for fedprime with embeddings that were made before."""
    computation, mix = VARIANTS[variant]
    model: Any = vilt_b32(num_words)
    model.to(device)
    raw = samples_of(size, num_words, mix)
    if computation is None:
        backbone, batch = PlainVilt(model, weight_gradients=variant == WEIGHT_GRADIENTS), batch_of(raw)
    else:
        tokenizer = AutoTokenizer.from_pretrained(SHIPPED[TINY])
        processor = ViltImageProcessorPil.from_pretrained(SHIPPED[TINY])
        backbone = ViltBackbone(model, tokenizer, processor, "random", computation=replace(computation, device=device))
        with torch.no_grad():
            batch = batch_of([_embedded(backbone, sample) for sample in raw])
    method: Method = METHODS["fedprime"]()
    prompted = method.build(backbone, [str(label) for label in range(8)], rng=torch_stream(0, "weights"))
    parameters = list(prompted.parameters())
    optimizer = torch.optim.SGD(parameters, 0.05)

    def step() -> float:
        model.zero_grad(set_to_none=True)
        if computation is None:
            return _plain_step(prompted, method, batch, optimizer)
        return optimiser_step(prompted, method, batch, {}, optimizer, max_gradient_norm=1.0)

    return step, batch


def _embedded(backbone: ViltBackbone, sample: dict[str, Tensor | None]) -> dict[str, Tensor | None]:
    image, text = sample["image"], sample["text"]
    return {
        "image": None if image is None else backbone.embed_patches(image[None].to(backbone.device))[0].cpu().clone(),
        "text": None if text is None else backbone.embed_words(text[None].to(backbone.device))[0, 1:].cpu().clone(),
    }


def _plain_step(model: PromptedModel, method: Method, batch: Batch, optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad(set_to_none=True)
    loss = method.loss(model, batch, {})
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def useful_flops(batch: Batch, dim: int = 768, num_layers: int = 12, num_prompts: int = 10) -> float:
    """Counts what a step cannot do without: the frozen forward of the tokens that are there, and their gradients.

    A row of a layer costs 24 dim^2 in its matrix products (query, key, value and output 2 dim^2 each, the two of the
    MLP 8 dim^2 each) and 4 x tokens x dim in attention. The gradient of the input of a product costs as much again,
    that of attention, which has two inputs in each of its products, twice as much. Of the last layer, keys and values
    of all rows count, all else for one row.
    """
    total = 0.0
    for parts in zip(*batch.embedded.values(), strict=True):
        tokens = 1 + num_prompts + sum(_num_rows(part) for part in parts if part is not None)
        layer = 2 * 24 * tokens * dim**2 + 3 * 4 * tokens**2 * dim
        last = 2 * (4 * tokens + 20) * dim**2 + 3 * 4 * tokens * dim
        total += (num_layers - 1) * layer + last
    return total


def _num_rows(part: Tensor) -> int:
    """Counts the rows of an embedded value, or those that a raw one would have; the first word is the summary token."""
    if part.dim() == 3:
        return (IMAGE_SIDE // 32) ** 2 + 1
    return len(part) - (part.dim() == 1)


def measure_memory(variant: str, arguments: argparse.Namespace) -> tuple[float, float]:
    """Returns the peak of one step in a process of its own, and what it held before the model was made, in MiB."""
    command = [sys.executable, __file__, "--only-memory", variant, "--words", str(arguments.words)]
    command += ["--memory-batch", str(arguments.memory_batch), "--threads", str(arguments.threads)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(output[0]), float(output[1])


def table(found: dict) -> str:
    """Returns what was found as Markdown."""
    rates, reference = found["rates"], found["variants"][REFERENCE]
    about = "; ".join(f"{name} {value}" for name, value in found["about"].items())
    lines = [
        f"{about}.",
        "",
        f"Texts of at most {found['words']} words, {found['batch']} samples per step, medians of {found['repeats']} "
        f"steps; memory with {found['memory_batch']} samples per step. Matrix products here: "
        f"{', '.join(f'{name} {rate / 1e9:.0f}' for name, rate in rates.items())} GFLOP per CPU second.",
        "",
        "| step | CPU s per sample | times faster | peak memory, MiB | times less | GFLOP/s | of products |",
        "|:--|--:|--:|--:|--:|--:|--:|",
    ]
    for name, row in found["variants"].items():
        memory, less = ("", "") if row["peak_mib"] is None else (f"{row['peak_mib']:,.0f}", "")
        if row["peak_mib"] and reference["peak_mib"]:
            less = f"{reference['peak_mib'] / row['peak_mib']:.1f}"
        faster = reference["seconds_per_sample"] / row["seconds_per_sample"]
        rate = row["useful_flops_per_sample"] / row["seconds_per_sample"]
        lines.append(
            f"| {name} | {row['seconds_per_sample']:.3f} | {faster:.1f} | {memory} | {less} | {rate / 1e9:.0f} | "
            f"{100 * rate / max(rates.values()):.0f} % |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures, prints a table and writes it beside the numbers."""
    parser = argparse.ArgumentParser(description="Times a training step around a ViLT-B/32 with random weights.")
    parser.add_argument(
        "--batch", type=int, default=10, help="samples per step; of 20 or 40, as many lack image as text"
    )
    parser.add_argument("--memory-batch", type=int, default=20, help="the same where memory is measured; 0: do not")
    parser.add_argument("--words", type=int, default=40, help="word pieces of the longest text: 40, or 128 (MM-IMDb)")
    parser.add_argument("--repeats", type=int, default=3, help="steps of each variant, after one to warm up")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--output", type=Path, help="folder for training_step.json and .md")
    parser.add_argument("--only-memory", choices=list(VARIANTS), help="print peak MiB of one step")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.only_memory:
        before = peak_memory_mib()
        prepared(arguments.only_memory, arguments.memory_batch, arguments.words)[0]()
        print(peak_memory_mib(), before)
        return

    print(f"at most {_PRINTED_MINUTES} minutes", flush=True)
    clock, steps, rates, about, began = Clock(), {}, {}, describe(), time.monotonic()
    chosen = choose_dtype("auto", 768, torch.device("cpu"))
    for name in arguments.variants:
        if name != "fedprime in float32" or chosen != torch.float32:
            steps[name] = prepared(name, arguments.batch, arguments.words)
    taken = 0
    for repeat in range(arguments.repeats + 1):
        if repeat > 1 and time.monotonic() - began > _LAST_START * repeat / (repeat + 1):
            break  # the next steps would take as long as those before
        taken = repeat
        rates = matmul_rates(clock, dtypes=(torch.float32, chosen))
        for name, (step, _) in steps.items():
            clock.time(name if repeat else "warming up", step)
            print(f"{repeat}/{arguments.repeats} {name}", file=sys.stderr, flush=True)
    found = {"about": about, "words": arguments.words, "batch": arguments.batch, "repeats": taken}
    found |= {"memory_batch": arguments.memory_batch, "rates": rates, "variants": {}}
    for name, (_, batch) in steps.items():
        has_time = arguments.memory_batch > 0 and time.monotonic() - began < _LAST_START
        peak, before = measure_memory(name, arguments) if has_time else (None, None)
        found["variants"][name] = {
            "seconds_per_sample": clock.median(name) / len(batch),
            "wall_seconds_per_sample": sorted(clock.wall_seconds[name])[taken // 2] / len(batch),
            "useful_flops_per_sample": useful_flops(batch) / len(batch),
            "peak_mib": peak,
            "libraries_mib": before,
        }
    print(table(found))
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        stem = f"training_step_{arguments.words}_words"
        (arguments.output / f"{stem}.json").write_text(json.dumps(found, indent=2) + "\n")
        (arguments.output / f"{stem}.md").write_text(table(found))


if __name__ == "__main__":
    main()
