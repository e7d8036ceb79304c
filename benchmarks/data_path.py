"""What samples cost on their way to the model: time to the first step, memory by number of samples, share of a step.

    python benchmarks/data_path.py --rows 1000 10000 100000 --output docs/results/data_path

Writes ``README.md`` and ``results.json``. The tables of rows are Hateful Memes' layout with small photos, at most
10,000 distinct ones in files that differ behind their end, each read, decoded and embedded by itself; each number of
rows has a new process and an empty cache. Seconds are those of the processor (user and system), on one thread,
because machines may be shared.
"""

import argparse
import datetime
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import ViltConfig, ViltImageProcessorPil, ViltModel

from alignment_speed import commit, machine
from fedprime.backbones import SHIPPED
from fedprime.backbones.backbone import Backbone
from fedprime.backbones.checkpoint_reading import load_tokenizer
from fedprime.backbones.composite import CompositeBackbone, JointLayers
from fedprime.backbones.composite_file import Composition, PixelPatchesPart, load_encoder
from fedprime.backbones.computation import PLAIN, Computation
from fedprime.backbones.vilt import ViltBackbone
from fedprime.backbones.vilt_checkpoint import PIXELS_AS_TRAINED
from fedprime.data.batches import Batch, EmbeddedSamples
from fedprime.experiment import embedded_data as samples
from fedprime.experiment.embedded_data import embedded_samples
from fedprime.reproducibility.seeding import stream, torch_stream
from fedprime.settings.data_settings import DataSettings
from fedprime.settings.settings import Settings

_DISTINCT = 10_000
_BATCH = 32
_VILT_BATCH = 16
_WORDS = ("why", "photo", "of", "the", "soup", "when", "meeting", "ends", "monday", "again")


def write_memes(folder: Path, num_rows: int, size: tuple[int, int]) -> None:
    """Writes a data set in the layout of Hateful Memes; a tenth of the rows for validation, a tenth for the test."""
    (folder / "img").mkdir(parents=True)
    rng = stream(0, "data path", "photos")
    for row in range(num_rows):
        file = folder / "img" / f"{row:06}.jpg"
        if row < _DISTINCT:
            coarse = rng.integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize(size).save(file, quality=90)
        else:
            content = (folder / "img" / f"{row % _DISTINCT:06}.jpg").read_bytes()
            file.write_bytes(content + row.to_bytes(4, "big"))
    split_of = {8: "dev", 9: "test"}
    for split in ("train", "dev", "test"):
        rows = [
            {"id": row, "img": f"img/{row:06}.jpg", "label": row // 10 % 2, "text": " ".join(rng.choice(_WORDS, 40))}
            for row in range(num_rows)
            if split_of.get(row % 10, "train") == split
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def patches() -> Backbone:
    """Returns a small backbone of photos alone, so that it is the data path that costs."""
    composition = Composition({"image": PixelPatchesPart("pixel_patches", 32, 8)}, dim=64, num_layers=1)
    encoders = {"image": load_encoder(composition.modalities["image"], Path())}
    return CompositeBackbone(composition, encoders, JointLayers(composition, encoders), "patches")


def vilt(computation: Computation = PLAIN) -> Backbone:
    """Returns ViLT-B/32 with random weights; the tiny ViLT lends its tokenizer."""
    with torch.random.fork_rng():
        model = ViltModel(ViltConfig())
    processor = ViltImageProcessorPil(**PIXELS_AS_TRAINED)
    return ViltBackbone(model, load_tokenizer(SHIPPED["tiny"]), processor, "ViLT-B/32", computation=computation)


def opened(folder: Path, backbone: Backbone) -> EmbeddedSamples:
    """Returns the samples as a new run sees them."""
    samples._latest.clear()
    return embedded_samples(DataSettings(name="hateful_memes", path=str(folder)), backbone)


def batches(seen: EmbeddedSamples, batch_size: int, seed: int) -> Iterator[Batch]:
    """Yields all samples in random order, with all modalities."""
    order = stream(seed, "data path", "order").permutation(len(seen.source))
    present = np.ones((len(order), len(seen.modalities)), dtype=bool)
    for start in range(0, len(order), batch_size):
        yield seen.batch(order[start : start + batch_size], present[start : start + batch_size])


class Step:
    """Local training of FED-PRIME: what a batch costs beside the data path."""

    def __init__(self, backbone: Backbone) -> None:
        """Builds the model."""
        self._method = Settings().method
        self._model = self._method.build(backbone, ("a", "b"), "one_class", torch_stream(0, "data path"))
        self._received = self._model.weights()

    def __call__(self, batch: Batch) -> None:
        """Computes the loss of a batch and its gradients."""
        self._method.loss(self._model, batch, self._received).backward()


def megabytes_now() -> float:
    """Returns the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure_rows(folder: Path) -> dict[str, float]:
    """Measures, in a process of its own, a data set from its opening to the second pass over it."""
    backbone = patches()
    step = Step(backbone)
    before, began, wall = megabytes_now(), time.process_time(), time.perf_counter()
    seen = opened(folder, backbone)
    step(next(batches(seen, _BATCH, 0)))
    found = {"first_step_seconds": time.process_time() - began, "first_step_wall_seconds": time.perf_counter() - wall}
    for name, seed in (("first", 1), ("second", 2)):
        seen = None  # a new run's process does not hold the samples of an earlier one
        seen = opened(folder, backbone)
        began = time.process_time()
        for _ in batches(seen, _BATCH, seed):
            pass
        seen.save()
        found[f"{name}_pass_ms_per_row"] = 1e3 * (time.process_time() - began) / len(seen.source)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 * 1.024
    return found | {"megabytes_before": before, "peak_megabytes": peak}


def measure_vilt(folder: Path) -> dict[str, float]:
    """Measures the share of the data path in a training step of ViLT-B/32: first epoch, and a later run's epoch."""
    backbone = vilt()
    step = Step(backbone)
    found = {}
    for name in ("first", "later"):
        seen = opened(folder, backbone)  # nothing is at hand in memory
        began = time.process_time()
        read = list(batches(seen, _VILT_BATCH, 0))
        if name == "first":
            seen.save()
        for batch in read:  # a mapped page is loaded when it is read, which is when tokens are joined
            backbone.assemble(batch.embedded)
        found[f"{name}_epoch_ms_per_sample"] = 1e3 * (time.process_time() - began) / len(seen.source)
    began = time.process_time()
    step(read[0])
    found["step_ms_per_sample"] = 1e3 * (time.process_time() - began) / _VILT_BATCH
    later = found["later_epoch_ms_per_sample"]
    return found | {"later_share": later / (later + found["step_ms_per_sample"])}


def measured_apart(kind: str, folder: Path, cache: Path) -> dict[str, float]:
    """Measures in a new process with an empty cache."""
    environment = os.environ | {"FEDPRIME_CACHE": str(cache), "FEDPRIME_CACHE_LIMIT": "50GB"}
    command = [sys.executable, __file__, "--measure", kind, "--folder", str(folder)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout) | {
        "cache_megabytes": sum(file.stat().st_size for file in cache.rglob("*.safetensors")) / 1e6
    }


def page(found: dict, heading: str) -> str:
    """Returns the Markdown of all results."""
    lines = [
        *("# The data path", "", heading, ""),
        "| rows | to the first step, s | first pass, ms/row | second pass, ms/row | MB before | peak MB | cache, MB |",
        "| --: | --: | --: | --: | --: | --: | --: |",
    ]
    for rows, row in found["rows"].items():
        lines.append(
            f"| {int(rows):,} | {row['first_step_seconds']:.2f} | {row['first_pass_ms_per_row']:.3f} | "
            f"{row['second_pass_ms_per_row']:.3f} | {row['megabytes_before']:.0f} | {row['peak_megabytes']:.0f} | "
            f"{row['cache_megabytes']:.0f} |"
        )
    if row := found["vilt"]:
        lines += [
            "",
            "ViLT-B/32's shape with random weights in 32-bit floats, photos of 500 x 375 pixels and 40 words:",
            "",
            "| first epoch, ms/sample | later epochs and runs, ms/sample | training step, ms/sample | share later |",
            "| --: | --: | --: | --: |",
            f"| {row['first_epoch_ms_per_sample']:.1f} | {row['later_epoch_ms_per_sample']:.2f} | "
            f"{row['step_ms_per_sample']:.0f} | {row['later_share']:.2%} |",
        ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measures what was asked for."""
    parser = argparse.ArgumentParser(description="Measures the way of samples to the model.")
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--vilt-samples", type=int, default=48, help="0 leaves ViLT-B/32 out")
    parser.add_argument("--output", type=Path, default=Path("docs/results/data_path"))
    parser.add_argument("--measure", choices=["rows", "vilt"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.measure:
        print(json.dumps((measure_rows if arguments.measure == "rows" else measure_vilt)(arguments.folder)))
        return
    found: dict = {"rows": {}, "vilt": {}}
    with tempfile.TemporaryDirectory() as place:
        for rows in arguments.rows:
            write_memes(Path(place) / str(rows), rows, (64, 64))
            found["rows"][rows] = measured_apart("rows", Path(place) / str(rows), Path(place) / f"cache {rows}")
            print(rows, found["rows"][rows], flush=True)
        if arguments.vilt_samples:
            write_memes(Path(place) / "vilt", arguments.vilt_samples, (500, 375))
            found["vilt"] = measured_apart("vilt", Path(place) / "vilt", Path(place) / "cache vilt")
            print(found["vilt"], flush=True)
    words = " ".join(["python benchmarks/data_path.py --rows", *map(str, arguments.rows)])
    heading = (
        f"`{words}`, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, commit {commit()}, {machine()}, {os.cpu_count()} "
        "cores, shared; processor seconds of one thread. Nothing is decoded before it is needed; the first pass fills "
        "the cache, the second is a new run's."
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "results.json").write_text(json.dumps({"about": heading, **found}, indent=2) + "\n")
    (arguments.output / "README.md").write_text(page(found, heading))
    print(page(found, heading))


if __name__ == "__main__":
    main()
