"""The pass over the data, from files to what a model is trained on: rows per second against a plain loop.

    python benchmarks/pass_speed.py --data FOLDER --output docs/results/speed

FOLDER is a table with photos (`file_name`) and texts (`text`), such as flipkart7. *Plain* is the loop that everybody
writes: open with Pillow, image processor, model, tokenizer, model, one row after the other; with all of torch's
threads, which seconds by the clock are compared with, and with one, which CPU seconds are compared with.
*fedprime* is what a run does before its first round, writing to an empty cache. Both take the same rows in turn, in one
process, after a few other rows for which libraries are imported. Weights of ViLT-B/32 and CLIP-B/32 are random, those
of `small` the published ones.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel, CLIPConfig, CLIPImageProcessorPil, CLIPModel

from data_path import vilt
from fedprime.backbones import SHIPPED, load_backbone
from fedprime.backbones.backbone import Backbone
from fedprime.backbones.blocks import block_of
from fedprime.backbones.checkpoint_reading import load_tokenizer
from fedprime.backbones.computation import CPU, Computation
from fedprime.backbones.dual_encoder import DualEncoderBackbone
from fedprime.backbones.efficientnet_lite import EfficientNetLite
from fedprime.backbones.minilm import MAX_TOKENS
from fedprime.backbones.small_weights import efficientnet_file, minilm_folder
from fedprime.data.batches import EmbeddedSamples
from fedprime.data.sets.table.table import TableOptions, open_table
from fedprime.experiment.embedded_data import seen_through
from fedprime.reproducibility.atomic_files import replaced_file
from machine import Clock, describe, matmul_rates, peak_memory_mib

_PRINTED_MINUTES = 10
_SHARE_FOR_REPEATS = 0.5  # of that; what is measured after them takes the rest
_NAME = "pass"
_OPERATIONS = {
    "products": ("aten::addmm", "aten::mm", "aten::bmm", "aten::baddbmm"),
    "convolutions by channel": ("aten::mkldnn_convolution",),
}

#: Of a row, the path of its photo and its text, to what a plain loop keeps of them.
Plain = Callable[[Path, str], Sequence[Tensor]]


def small(device: torch.device = CPU) -> tuple[Backbone, Plain]:
    """Returns the backbone for real files, and the plain loop over its two encoders."""
    network = EfficientNetLite.from_pretrained(efficientnet_file()).network.to(device)
    with minilm_folder() as folder:
        model, tokenizer = AutoModel.from_pretrained(folder).eval(), load_tokenizer(folder)
    model.to(device)

    def plain(photo: Path, text: str) -> Sequence[Tensor]:
        resized = Image.open(photo).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy((np.asarray(resized, dtype=np.float32) - 127) / 128).permute(2, 0, 1)[None]
        words = tokenizer(text, truncation=True, max_length=MAX_TOKENS, return_tensors="pt").to(device)
        return network(pixels.to(device)).mean((2, 3)), model(**words).last_hidden_state.mean(1)

    return load_backbone("small", ("image", "text"), device=str(device)), plain


def vilt_b32(device: torch.device = CPU) -> tuple[Backbone, Plain]:
    """Returns ViLT-B/32, whose pass ends before its transformer, and the plain loop over its embedding layers."""
    backbone: Any = vilt(Computation("auto", device))
    embeddings, processor, tokenizer = backbone.model.embeddings, backbone._image_processor, backbone._tokenizer

    def plain(photo: Path, text: str) -> Sequence[Tensor]:
        inputs = processor(Image.open(photo).convert("RGB"), return_tensors="pt").to(device)
        words = tokenizer(text, truncation=True, max_length=40, return_tensors="pt").to(device)
        patches, _, _ = embeddings.visual_embed(inputs["pixel_values"], inputs["pixel_mask"], max_image_length=-1)
        return patches, embeddings.text_embeddings(input_ids=words["input_ids"])

    return backbone, plain


def clip_b32(device: torch.device = CPU) -> tuple[Backbone, Plain]:
    """Returns CLIP-B/32, and the plain loop over its two towers."""
    with torch.random.fork_rng():
        model: Any = CLIPModel(CLIPConfig()).eval()
    model.to(device)
    tokenizer, processor = load_tokenizer(SHIPPED["tiny"]), CLIPImageProcessorPil()

    def plain(photo: Path, text: str) -> Sequence[Tensor]:
        inputs = processor(Image.open(photo).convert("RGB"), return_tensors="pt").to(device)
        words = tokenizer(text, truncation=True, max_length=77, return_tensors="pt")["input_ids"].to(device)
        image = model.visual_projection(model.vision_model(**inputs).pooler_output)
        return image, model.text_projection(model.text_model(input_ids=words).pooler_output)

    return DualEncoderBackbone(model, tokenizer, processor, "CLIP-B/32", computation=Computation(device=device)), plain


BACKBONES = {"small": small, "ViLT-B/32": vilt_b32, "CLIP-B/32": clip_b32}


class Counted:
    """A backbone around another one that counts what is embedded."""

    def __init__(self, inside: Backbone) -> None:
        self._inside, self.embedded = inside, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inside, name)

    def embed(self, modality: str, values: Sequence[object]) -> list[Tensor]:
        """Embeds and counts."""
        self.embedded += len(values)
        return self._inside.embed(modality, values)


def write_rows(data: Path, folder: Path, num_rows: int) -> list[tuple[Path, str]]:
    """Writes a table of so many rows; where the data has fewer, its photos come again as other files."""
    found = open_table(str(data), TableOptions(columns=("image=file_name", "text=text")))
    (folder / "images").mkdir(parents=True)
    lines, rows = [], []
    for row in range(num_rows):
        index = row % len(found)
        content = Path(str(found.cells_of("image").file(found.row_of(index))[0])).read_bytes()
        text, photo = str(found.read(index, ("text",))["text"]), folder / "images" / f"{row:06}.jpg"
        photo.write_bytes(content + row.to_bytes(4, "big"))  # behind its end: the same pixels, another file
        lines.append({"file_name": f"images/{row:06}.jpg", "text": f"{text} {row}", "label": "ab"[row % 2]})
        rows.append((photo, f"{text} {row}"))
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return rows


def passed(folder: Path, backbone: Any, cache: Path) -> EmbeddedSamples:
    """Goes over a table as a run does before its first round."""
    os.environ["FEDPRIME_CACHE"] = str(cache)
    samples = seen_through(backbone, open_table(str(folder), TableOptions(columns=("image=file_name", "text=text"))))
    samples.try_all()
    everything = np.arange(len(samples.source))
    for start in range(0, len(everything), 64):
        batch = samples.batch(everything[start : start + 64], samples.there[start : start + 64])
        for modality in samples.modalities:
            if batch.blocks is not None:
                batch.blocks(modality)
    samples.save()
    return samples


def of_the_matrix_rate(backbone: Backbone, samples: EmbeddedSamples, num_values: int) -> dict[str, float]:
    """Returns by modality which share of the processor's rate of matrix products its encoder reaches, on one thread."""
    found, gigaflops, clock = {}, {}, Clock()
    rate = matmul_rates(clock, dtypes=(torch.float32,))["float32"]
    for modality in backbone.modalities:
        values = [samples.source.read(index, (modality,))[modality] for index in range(num_values)]

        def encode(modality: str = modality, values: Sequence[object] = values) -> None:
            block_of(backbone, modality, backbone.embed(modality, values))

        with FlopCounterMode(display=False) as counter:
            encode()
        for _ in range(3):
            clock.time(modality, encode)
            rate = matmul_rates(clock, dtypes=(torch.float32,))["float32"]
        found[modality] = counter.get_total_flops() / min(clock.cpu_seconds[modality]) / rate
        gigaflops[modality] = counter.get_total_flops() / num_values / 1e9
        found |= {f"{modality}: {name}": share for name, share in where_time_goes(encode).items()}
    found |= {f"GFLOP per {modality}": own for modality, own in gigaflops.items()}
    return found | {"GFLOP per CPU second of matrix products": rate / 1e9}


def where_time_goes(call: Callable[[], object]) -> dict[str, float]:
    """Returns which share of the CPU time of a call is in which operations of torch, and which outside of it."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        began = time.process_time()
        call()
        total = time.process_time() - began
    found = {"products": 0.0, "convolutions by channel": 0.0, "other": 0.0}
    for event in profiled.key_averages():
        named = (name for name, operators in _OPERATIONS.items() if event.key in operators)
        found[next(named, "other")] += event.self_cpu_time_total / 1e6 / total
    return found | {"outside of torch": max(0.0, 1 - sum(found.values()))}


@torch.no_grad()
def measure(name: str, data: Path, num_rows: int, repeats: int, until: float) -> dict[str, Any]:
    """Measures one backbone; when it is later than `until`, without repeating anything."""
    inside, plain = BACKBONES[name]()
    backbone, clock, cores = Counted(inside), Clock(), os.cpu_count() or 1
    ratios = []
    with tempfile.TemporaryDirectory() as place:
        folder, moved = Path(place) / "data", Path(place) / "moved" / "elsewhere"
        rows = write_rows(data, folder, num_rows)
        write_rows(data, Path(place) / "few", 4)
        passed(Path(place) / "few", inside, Path(place) / "cache of few")  # what is imported once is no row's cost
        plain(*rows[0])
        cache = Path(place) / "cache"
        for repeat in range(repeats):
            if repeat and time.monotonic() > until:
                break
            torch.set_num_threads(cores)
            clock.time("plain", lambda: [plain(*row) for row in rows])
            torch.set_num_threads(1)
            clock.time("plain, one thread", lambda: [plain(*row) for row in rows])
            cache = Path(place) / f"cache {repeat}"
            clock.time("fedprime", partial(passed, folder, backbone, cache))
            ratios.append(clock.wall_seconds["plain"][-1] / clock.wall_seconds["fedprime"][-1])
        first = backbone.embedded
        clock.time("second run", partial(passed, folder, backbone, cache))
        moved.parent.mkdir()
        shutil.move(folder, moved)
        clock.time("moved", partial(passed, moved, backbone, cache))
        shares = of_the_matrix_rate(inside, passed(moved, inside, cache), min(num_rows, 48))
    wall = {name: statistics.median(own) for name, own in clock.wall_seconds.items()}
    return {
        "rows per second": {name: num_rows / own for name, own in wall.items()},
        "CPU ms per row": {name: 1e3 * clock.median(name) / num_rows for name in wall},
        "times faster by the clock": statistics.median(ratios),
        "times fewer CPU seconds": clock.median("plain, one thread") / clock.median("fedprime"),
        "cores busy": clock.median("fedprime") / wall["fedprime"],
        "embedded in the first passes, later": (first, backbone.embedded - first),
        "of the matrix rate": shares,
        "peak MiB so far": peak_memory_mib(),
    }


def page(found: dict[str, Any]) -> str:
    """Returns the table in Markdown."""
    heads = (
        "backbone",
        "plain, rows/s",
        "fedprime, rows/s",
        "times faster",
        "plain, CPU ms/row",
        "fedprime, CPU ms/row",
    )
    heads += ("times fewer", "cores busy", "of the matrix rate", "second run, CPU ms/row", "embedded again")
    lines, notes = [f"| {' | '.join(heads)} |", f"|:--|{'--:|' * (len(heads) - 1)}"], []
    for name, own in found["backbones"].items():
        rate, cpu, shares = own["rows per second"], own["CPU ms per row"], own["of the matrix rate"]
        told = ", ".join(f"{modality} {shares[modality]:.0%}" for modality in ("image", "text"))
        parts = ", ".join(f"{key} {share:.0%}" for key, share in shares.items() if ": " in key)
        notes.append(f"CPU time of encoders, {name}: {parts}.")
        notes.append(f"{name}: " + ", ".join(f"{key} {own:.2f}" for key, own in shares.items() if "GFLOP" in key) + ".")
        cells = [name, f"{rate['plain']:.1f}", f"{rate['fedprime']:.1f}", f"{own['times faster by the clock']:.1f}"]
        cells += [f"{cpu['plain, one thread']:.1f}", f"{cpu['fedprime']:.1f}", f"{own['times fewer CPU seconds']:.1f}"]
        cells += [f"{own['cores busy']:.1f}", told, f"{cpu['second run']:.2f}"]
        lines.append(f"| {' | '.join([*cells, str(own['embedded in the first passes, later'][1])])} |")
    return "\n".join(
        [
            f"`{found['command']}`; {', '.join(f'{k} {v}' for k, v in found['about'].items())}",
            "",
            *lines,
            "",
            *notes,
            "",
        ]
    )


def main() -> None:
    """Measures the backbones that were asked for."""
    parser = argparse.ArgumentParser(description="The pass over the data against a plain loop.")
    parser.add_argument("--data", type=Path, required=True, help="a table with photos and texts")
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, default=list(BACKBONES))
    parser.add_argument("--output", type=Path, help="folder for pass.md and pass.json")
    arguments = parser.parse_args()
    print(f"at most {_PRINTED_MINUTES} minutes", flush=True)
    began, command = (
        time.monotonic(),
        f"python benchmarks/pass_speed.py --rows {arguments.rows} --repeats {arguments.repeats}",
    )
    found: dict[str, Any] = {"command": command, "about": describe(), "backbones": {}}
    for number, name in enumerate(arguments.backbones, start=1):
        until = began + 60 * _PRINTED_MINUTES * _SHARE_FOR_REPEATS * number / len(arguments.backbones)
        if time.monotonic() - began < 60 * _PRINTED_MINUTES * 2 / 3:
            found["backbones"][name] = measure(name, arguments.data, arguments.rows, arguments.repeats, until)
            print(page(found), flush=True)
    if arguments.output:
        for suffix, content in ((".md", page(found)), (".json", json.dumps(found, indent=1) + "\n")):
            with replaced_file(arguments.output / f"{_NAME}{suffix}") as beside:
                beside.write_text(content)


if __name__ == "__main__":
    main()
