"""Train the joint layers of a composite from scratch, where no pretrained model is to be had.

    python tools/train_composite.py COMPOSITE --table metadata.csv --columns image=file_name audio=audio --output FOLDER

COMPOSITE is a folder with a `composite.json`. Its encoders stay as they are; its projections, summary token and joint
layers learn to tell the classes of the table's rows apart, whatever is missing: a modality of a sample is hidden at
random. Of a table that the file says nothing about but that it is one, numbers and categories are taken from the
columns that `--columns facts=price+brand` names. `--rows` chooses the rows to learn from, so that what federated
clients hold later can be left out. The folder that is written is a backbone for `fedprime run --backbone`;
`quality.json` says how good it is on `--held-out` rows.
"""

import argparse
import csv
import itertools
import json
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Int
from scipy.io import wavfile
from torch import Tensor, nn

from fedprime.backbones.composite import CompositeBackbone, JointLayers
from fedprime.backbones.composite_file import Part, TablePart, load_encoder, read_composition
from fedprime.data.images import read_image
from fedprime.reproducibility.seeding import stream, torch_stream

LEAST_NUMBERS = 0.9  # of a column's filled cells, for it to be one of numbers
MOST_CATEGORIES = 50
HIDDEN_SHARE = 0.3  # of a modality's samples in a step
ENCODED_AT_ONCE = 256

#: By modality, each sample's tokens as its encoder made them; None where the sample lacks it.
Encoded = Mapping[str, Sequence[Tensor | None]]


def read_rows(path: Path, conditions: Sequence[str]) -> list[dict[str, str]]:
    """Reads the rows of a CSV file that have one of the named values in every named column.

    Args:
        conditions: As ``column=value,value``.
    """
    wanted = [condition.partition("=") for condition in conditions]
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    chosen = [row for row in rows if all(row[column] in values.split(",") for column, _, values in wanted)]
    if not chosen:
        raise SystemExit(f"no row of {path} has {' and '.join(conditions)}; its columns are {', '.join(rows[0])}")
    return chosen


def read_value(backbone: CompositeBackbone, modality: str, row: Mapping[str, str], column: str, folder: Path) -> object:
    """Returns the raw value of a modality, None if its cell is empty.

    Args:
        backbone: Its composition says of what kind the modality is.
        column: Where a file or text of the modality stands.
        folder: What files are relative to.
    """
    part = backbone.composition.modalities[modality]
    if isinstance(part, TablePart):
        cells = {name: number for name in part.numbers if (number := as_number(row[name])) is not None}
        return cells | {name: row[name].strip() for name in part.categories if row[name].strip()} or None
    cell = row[column].strip()
    if not cell:
        return None
    if part.encoder == "text_model":
        return cell
    if part.encoder in ("image_model", "pixel_patches"):
        return read_image(folder / cell)
    rate, samples = wavfile.read(folder / cell)
    scale = np.iinfo(samples.dtype).max if samples.dtype.kind == "i" else 1
    return {"array": samples.T.astype(np.float32) / scale, "sampling_rate": int(rate)}


def as_number(cell: str) -> float | None:
    """Returns the finite number that a cell holds, None if it holds none."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def fitted_table(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> TablePart:
    """Returns how a table is read: of numbers, mean and deviation; of words, the most frequent ones, sorted."""
    numbers: dict[str, tuple[float, float]] = {}
    categories: dict[str, tuple[str, ...]] = {}
    for name in columns:
        if name not in rows[0]:
            raise SystemExit(f"the table has no column {name!r} (--columns); it has {', '.join(rows[0])}")
        words = [row[name].strip() for row in rows if row[name].strip().lower() not in ("", "nan")]
        found = [number for word in words if (number := as_number(word)) is not None]
        if not words:
            raise SystemExit(f"the column {name!r} is empty in all rows to learn from; leave it out of --columns")
        if len(found) >= LEAST_NUMBERS * len(words):
            numbers[name] = (float(np.mean(found)), float(np.std(found)) or 1.0)
        else:
            categories[name] = tuple(sorted(word for word, _ in Counter(words).most_common(MOST_CATEGORIES)))
    return TablePart("table", numbers, categories)


def open_composite(folder: Path, rows: Sequence[Mapping[str, str]], columns: Mapping[str, str]) -> CompositeBackbone:
    """Loads the composite; tables that its file says nothing about are fitted to rows.

    Args:
        columns: By modality, its column, or several with ``+`` between them.
    """
    composition = read_composition(folder)
    fitted = {
        modality: fitted_table(rows, columns[modality].split("+"))
        for modality, part in composition.modalities.items()
        if is_unfitted(part)
    }
    if not fitted:
        return CompositeBackbone.from_pretrained(folder)
    composition = replace(composition, modalities={**composition.modalities, **fitted})
    encoders = {modality: load_encoder(part, folder) for modality, part in composition.modalities.items()}
    return CompositeBackbone(composition, encoders, JointLayers(composition, encoders), str(folder))


def is_unfitted(part: Part) -> bool:
    """Returns whether a part is a table whose columns are still to be told."""
    return isinstance(part, TablePart) and not part.numbers and not part.categories


def encode_rows(
    backbone: CompositeBackbone, rows: Sequence[Mapping[str, str]], columns: Mapping[str, str], folder: Path
) -> Encoded:
    """Runs the encoders once over all rows.

    Args:
        columns: By modality, its column.
        folder: What files are relative to.
    """
    encoded: dict[str, list[Tensor | None]] = {}
    with torch.no_grad():
        for modality in backbone.modalities:
            values = [read_value(backbone, modality, row, columns.get(modality, modality), folder) for row in rows]
            there = [index for index, value in enumerate(values) if value is not None]
            encoded[modality] = [None] * len(rows)
            for start in range(0, len(there), ENCODED_AT_ONCE):
                chunk = there[start : start + ENCODED_AT_ONCE]
                tokens = backbone.encoders[modality].encode([values[index] for index in chunk])
                for index, part in zip(chunk, tokens, strict=True):
                    encoded[modality][index] = part
    return encoded


def features(
    backbone: CompositeBackbone,
    encoded: Encoded,
    rows: Int[np.ndarray, " row"],
    shown: Bool[np.ndarray, "row modality"],
) -> Tensor:
    """Returns the features of samples of which only some modalities are shown, differentiable in the joint layers.

    Args:
        shown: Which modalities of each.
    """
    embedded = {
        modality: [encoded[modality][row] if shown[place, column] else None for place, row in enumerate(rows)]
        for column, modality in enumerate(backbone.modalities)
    }
    return backbone.encode(backbone.assemble(embedded))


def draw_shown(present: Bool[np.ndarray, "row modality"], rng: np.random.Generator) -> Bool[np.ndarray, "row modality"]:
    """Hides modalities at random, but never all that a sample has.

    Args:
        present: What there is.
    """
    shown = present & (rng.random(present.shape) >= HIDDEN_SHARE)
    nothing = ~shown.any(axis=1)
    keys = np.where(present[nothing], rng.random(present[nothing].shape), -1.0)
    shown[np.flatnonzero(nothing), keys.argmax(axis=1)] = True
    return shown


def train(arguments: argparse.Namespace) -> dict[str, float]:
    """Trains and writes the composite; returns what it can do on held-out rows, by what is shown of them."""
    columns = dict(pair.split("=", 1) for pair in arguments.columns)
    rows = read_rows(arguments.table, arguments.rows)
    backbone = open_composite(arguments.composite, rows, columns)
    labels = sorted({row[arguments.label] for row in rows})
    targets = torch.tensor([labels.index(row[arguments.label]) for row in rows])
    encoded = encode_rows(backbone, rows, columns, arguments.table.parent)
    present = presence(encoded)
    joint = backbone.joint.requires_grad_(True)
    head = build_head(backbone.dim, len(labels), torch_stream(arguments.seed, "composite", "head"))
    parameters = [*joint.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=arguments.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, arguments.lr, total_steps=arguments.steps, pct_start=0.15)
    started = time.perf_counter()
    for step in range(arguments.steps):
        rng = stream(arguments.seed, "composite", "step", step)
        batch = rng.choice(len(rows), size=min(arguments.batch_size, len(rows)), replace=False)
        logits = head(features(backbone, encoded, batch, draw_shown(present[batch], rng)))
        loss = nn.functional.cross_entropy(logits, targets[batch], label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}  loss {loss.item():.4f}  {time.perf_counter() - started:.0f} s", flush=True)
    joint.requires_grad_(False)
    backbone.save_pretrained(arguments.output)
    quality = {"steps": float(arguments.steps), "seed": float(arguments.seed), "rows": float(len(rows))}
    if arguments.held_out:
        held_out = read_rows(arguments.table, arguments.held_out)
        quality |= measure(
            backbone,
            head,
            encode_rows(backbone, held_out, columns, arguments.table.parent),
            np.array([labels.index(row[arguments.label]) for row in held_out]),
        )
    (arguments.output / "quality.json").write_text(json.dumps(quality, indent=2) + "\n")
    print(json.dumps(quality))
    return quality


def build_head(num_inputs: int, num_outputs: int, rng: torch.Generator) -> nn.Linear:
    """Returns a linear layer whose weights come from a stream of randomness."""
    head = cast("nn.Linear", nn.utils.skip_init(nn.Linear, num_inputs, num_outputs))
    with torch.no_grad():
        head.weight.copy_(torch.randn(num_outputs, num_inputs, generator=rng) * num_inputs**-0.5)
        head.bias.zero_()
    return head


def presence(encoded: Encoded) -> Bool[np.ndarray, "row modality"]:
    """Returns what there is of each sample."""
    return np.array([[part is not None for part in parts] for parts in encoded.values()]).T


@torch.no_grad()
def measure(
    backbone: CompositeBackbone, head: nn.Module, encoded: Encoded, targets: Int[np.ndarray, " row"]
) -> dict[str, float]:
    """Returns the accuracy on samples of which every set of modalities is shown, by the set's name."""
    present, quality = presence(encoded), {}
    for pattern in itertools.product([True, False], repeat=len(backbone.modalities)):
        rows = np.flatnonzero((present & np.array(pattern)).any(axis=1))
        if not len(rows):
            continue
        right = 0
        for batch in np.array_split(rows, 1 + len(rows) // ENCODED_AT_ONCE):
            guesses = head(features(backbone, encoded, batch, present[batch] & np.array(pattern))).argmax(dim=1)
            right += int((guesses.numpy() == targets[batch]).sum())
        name = "+".join(itertools.compress(backbone.modalities, pattern))
        quality[f"accuracy_{name}"] = round(right / len(rows), 4)
    return quality


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Train the joint layers of a composite from scratch.")
    parser.add_argument("composite", type=Path, help="folder with a composite.json")
    parser.add_argument("--table", type=Path, required=True, help="CSV file with a header; paths are relative to it")
    parser.add_argument("--columns", nargs="*", default=[], metavar="MODALITY=COLUMN", help="of a table COLUMN+COLUMN")
    parser.add_argument("--label", default="label")
    parser.add_argument("--rows", nargs="*", default=[], metavar="COLUMN=VALUE,...", help="rows to learn from")
    parser.add_argument("--held-out", nargs="*", default=[], metavar="COLUMN=VALUE,...", help="rows to measure on")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(words)
    missing = [
        modality
        for modality, part in read_composition(arguments.composite).modalities.items()
        if (is_unfitted(part) or not isinstance(part, TablePart))
        and modality not in {pair.split("=")[0] for pair in arguments.columns}
    ]
    if missing:
        parser.error(f"--columns does not say which column {', '.join(missing)} is in")
    return arguments


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    train(parse())
