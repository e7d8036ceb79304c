"""What a GPU makes of fedprime: the pass over the data, a training step, alignment, and their share of its peak.

    python benchmarks/gpu.py --output docs/results/speed              # on a machine with a GPU, at most eight minutes
    python benchmarks/gpu.py --device cpu --rows 8 --batch 4          # the same, tried on a processor

Without a GPU, and unless a device is named, it says what it would measure, and ends. Nothing is needed beside the
package: photos, texts and the weights of ViLT-B/32 and CLIP-B/32 are random, on which speed does not depend; `small` is
measured where its two encoders are installed. Fedprime and the plain loops stand in turn in one process; seconds are by
the clock, once the device has done all that was asked of it. The peak is what products of matrices of the shapes of a
layer reach in the same run.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from alignment_speed import KINDS
from fedprime.backbones.backbone import Backbone
from fedprime.backbones.blocks import block_of
from fedprime.backbones.computation import choose_device
from fedprime.backbones.small_weights import lacking_weights
from fedprime.methods.aggregation.alignment import align
from fedprime.reproducibility.seeding import stream, torch_stream
from machine import describe, show_page
from pass_speed import BACKBONES, Plain, passed
from training_speed import VARIANTS, prepared, useful_flops

_PRINTED_MINUTES = 8
_LAST_STEP, _LAST_PASS = 60 * 0.4 * _PRINTED_MINUTES, 60 * 0.75 * _PRINTED_MINUTES  # seconds; nothing begins later
_NUM_WORDS, _REPEATS = 40, 5
_ROWS, _DIM = 16_384, 768
_PHOTO = (640, 480)  # pixels across and down


class Stopwatch:
    """Seconds by the clock until the device has done what a call asked of it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def __call__(self, call: Callable[[], object]) -> float:
        """Returns the seconds that a call takes."""
        self._wait()
        began = time.perf_counter()
        call()
        self._wait()
        return time.perf_counter() - began

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def peak_rates(device: torch.device, watch: Stopwatch) -> dict[str, float]:
    """Returns by type of number the FLOP per second of products of the shapes of a layer, at best."""
    rates = {}
    for dtype in (torch.float32, torch.bfloat16):
        rows = torch.randn(_ROWS if device.type == "cuda" else 2048, _DIM).to(device, dtype)
        weight = torch.randn(4 * _DIM, _DIM).to(device, dtype)
        seconds = min(watch(partial(torch.nn.functional.linear, rows, weight)) for _ in range(10))
        rates[str(dtype).removeprefix("torch.")] = 2 * len(rows) * _DIM * 4 * _DIM / seconds
    return rates


def steps(device: torch.device, watch: Stopwatch, batch_size: int, until: float) -> dict[str, dict[str, float]]:
    """Returns by variant the seconds of an optimiser step and its useful FLOP, for each sample, and its loss."""
    made = {name: prepared(name, batch_size, _NUM_WORDS, device) for name in VARIANTS}
    seconds: dict[str, list[float]] = {name: [] for name in made}
    losses = {name: step() for name, (step, _) in made.items()}  # to warm up; all begin with the same weights
    for _ in range(_REPEATS):
        if all(seconds.values()) and time.monotonic() > until:
            break
        for name, (step, _) in made.items():
            seconds[name].append(watch(step))
    return {
        name: {
            "seconds per sample": statistics.median(seconds[name]) / batch_size,
            "useful FLOP per sample": useful_flops(batch) / batch_size,
            # The plain step returns the mean over samples, fedprime's the sum.
            "first loss": losses[name] / (batch_size if VARIANTS[name][0] else 1),
        }
        for name, (_, batch) in made.items()
    }


def write_rows(folder: Path, num_rows: int) -> list[tuple[Path, str]]:
    """Writes a table of photos and texts at random."""
    (folder / "images").mkdir(parents=True)
    rng, lines, rows = stream(0, "gpu", "rows"), [], []
    for row in range(num_rows):
        coarse = rng.integers(0, 256, (_PHOTO[1] // 8, _PHOTO[0] // 8, 3), dtype=np.uint8)
        name, text = f"images/{row:06}.jpg", " ".join(f"word{number}" for number in rng.integers(0, 999, 12))
        Image.fromarray(coarse).resize(_PHOTO).save(folder / name, quality=90)
        lines.append(json.dumps({"file_name": name, "text": text, "label": "ab"[row % 2]}) + "\n")
        rows.append((folder / name, text))
    (folder / "metadata.jsonl").write_text("".join(lines))
    return rows


@torch.no_grad()
def one_pass(name: str, device: torch.device, watch: Stopwatch, num_rows: int, peak: float) -> dict[str, Any]:
    """Returns rows per second from files to what a model is trained on, and which share of the peak the encoders reach.

    The device is compared with the peak at float32, in which composites and dual encoders compute.
    """
    backbone, plain = BACKBONES[name](device)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "data"
        rows = write_rows(folder, num_rows)
        for_plain = partial(_all_rows, plain, rows)
        for_plain()  # what a device sets up at its first call is nobody's
        by_plain = watch(for_plain)
        samples = passed(folder, backbone, Path(place) / "cache 0")
        by_us = watch(partial(passed, folder, backbone, Path(place) / "cache 1"))
        shares = {}
        for modality in ("image", "text"):
            values = [samples.source.read(index, (modality,))[modality] for index in range(min(num_rows, 64))]
            with FlopCounterMode(display=False) as counter:
                _encode(backbone, modality, values)
            seconds = min(watch(partial(_encode, backbone, modality, values)) for _ in range(3))
            shares[modality] = counter.get_total_flops() / seconds / peak
    return {"plain, rows/s": num_rows / by_plain, "fedprime, rows/s": num_rows / by_us, "of the peak": shares}


def _all_rows(plain: Plain, rows: list[tuple[Path, str]]) -> list[list[Tensor]]:
    return [[value.cpu() for value in plain(*row)] for row in rows]


def _encode(backbone: Backbone, modality: str, values: list[object]) -> None:
    block_of(backbone, modality, backbone.embed(modality, values))


def alignments(device: torch.device, watch: Stopwatch) -> dict[str, float]:
    """Returns the seconds of the alignment of 20 clients' prompts that lie on the device, by kind of prompts."""
    found = {}
    for name, prompts_of in KINDS.items():
        prompts = [pool.to(device) for pool in prompts_of(20, 20, _DIM)]
        call = partial(align, prompts, rng=torch_stream(0, "gpu"))
        call()
        found[name] = statistics.median(watch(call) for _ in range(_REPEATS))
    return found


def page(found: dict[str, Any]) -> list[str]:
    """Returns what was found, in Markdown."""
    rates, by_step = found["peak, FLOP per second"], found["steps"]
    reference = next(iter(by_step.values()))["seconds per sample"]
    lines = [
        f"{'; '.join(f'{name} {value}' for name, value in found['about'].items())}.",
        "",
        "Matrix products here: "
        + ", ".join(f"{name} {rate / 1e12:.2f}" for name, rate in rates.items())
        + f" TFLOP per second. {found['batch']} samples per step, texts of at most {_NUM_WORDS} words.",
        "",
        "| step of a ViLT-B/32 | ms per sample | times faster | useful TFLOP/s | of the peak | first loss |",
        "|:--|--:|--:|--:|--:|--:|",
    ]
    for name, row in by_step.items():
        seconds = row["seconds per sample"]
        rate = row["useful FLOP per sample"] / seconds
        lines.append(
            f"| {name} | {1e3 * seconds:.2f} | {reference / seconds:.1f} | {rate / 1e12:.3f} | "
            f"{rate / max(rates.values()):.0%} | {row['first loss']:.4f} |"
        )
    lines += ["", "| pass over the data | plain, rows/s | fedprime, rows/s | times faster | of the float32 peak |"]
    lines += ["|:--|--:|--:|--:|--:|"]
    for name, row in found["passes"].items():
        told = ", ".join(f"{modality} {share:.0%}" for modality, share in row["of the peak"].items())
        plain, ours = row["plain, rows/s"], row["fedprime, rows/s"]
        lines.append(f"| {name} | {plain:.1f} | {ours:.1f} | {ours / plain:.1f} | {told} |")
    lines += ["", f"| alignment of 20 x 20 prompts of {_DIM} numbers | seconds |", "|:--|--:|"]
    lines += [f"| {name} | {seconds:.3f} |" for name, seconds in found["alignment"].items()]
    return lines


def main() -> None:
    """Measures on the device, or says what would be measured."""
    parser = argparse.ArgumentParser(description="The pass, a training step and alignment on a GPU.")
    parser.add_argument("--device", default="auto", help="auto: the first GPU; or cpu, cuda, cuda:1, ...")
    parser.add_argument("--rows", type=int, default=256, help="photos and texts of the pass")
    parser.add_argument("--batch", type=int, default=80, help="samples per step")
    parser.add_argument("--output", type=Path, help="folder for gpu.md and gpu.json")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    if device.type == "cpu" and arguments.device == "auto":
        print(
            "There is no GPU here. On one, this measures within eight minutes: products of matrices in float32 and "
            f"bfloat16; a training step of a ViLT-B/32 ({'; '.join(VARIANTS)}); the pass over {arguments.rows} photos "
            f"and texts with {', '.join(BACKBONES)}, against a plain loop; the alignment of 20 x 20 prompts; each as a "
            "share of what the products reach. With --device cpu --rows 8 --batch 4 it is tried on this processor."
        )
        return
    print(f"at most {_PRINTED_MINUTES} minutes", flush=True)
    began, watch = time.monotonic(), Stopwatch(device)
    on = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    found: dict[str, Any] = {"about": {"device": on} | describe(), "batch": arguments.batch}
    found["peak, FLOP per second"] = peak_rates(device, watch)
    found["alignment"] = alignments(device, watch)
    found["steps"] = steps(device, watch, arguments.batch, began + _LAST_STEP)
    found["passes"] = {}
    for name in BACKBONES:
        left_out = name == "small" and lacking_weights(("image", "text"))
        if not left_out and time.monotonic() < began + _LAST_PASS:
            peak = found["peak, FLOP per second"]["float32"]
            found["passes"][name] = one_pass(name, device, watch, arguments.rows, peak)
    if device.type == "cuda":
        found["about"]["peak memory"] = f"{torch.cuda.max_memory_allocated(device) / 2**20:.0f} MiB"
    found["about"]["seconds in all"] = f"{time.monotonic() - began:.0f}"
    show_page(page(found), arguments.output / "gpu.md" if arguments.output else None)
    if arguments.output:
        (arguments.output / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
