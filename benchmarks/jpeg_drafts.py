"""What it would change to decode large JPEG files at a reduced scale (`Image.draft`), and what it would save.

    python benchmarks/jpeg_drafts.py --data FOLDER/images --output docs/results/speed

FOLDER/images has JPEG photos. They are too small for drafts, so larger ones are made of them: each enlarged, and 16 of
them side by side, which has as much detail as a photo of a camera. A draft is at least twice as large as the encoder's
input, or at least four times. Compared are the block of EfficientNet and the shapes beside it, of the backbone `small`.
"""

import argparse
import io
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fedprime.backbones import load_backbone
from fedprime.backbones.blocks import block_of
from fedprime.data.images import read_image
from machine import describe, show_page

_PRINTED_MINUTES = 4
_SIDE, _WIDTH = 224, 1280  # of the encoder's input, and of its block
_LARGE = 2048


def enlarged(photos: list[Image.Image]) -> Image.Image:
    """Returns the first photo, enlarged."""
    return photos[0].resize((_LARGE, _LARGE * 3 // 4), Image.Resampling.LANCZOS)


def mosaic(photos: list[Image.Image]) -> Image.Image:
    """Returns 16 photos side by side."""
    whole, side = Image.new("RGB", (_LARGE, _LARGE)), _LARGE // 4
    for place in range(16):
        whole.paste(photos[place].resize((side, side)), (place % 4 * side, place // 4 * side))
    return whole


def decoded(content: bytes, least: int) -> tuple[np.ndarray, float]:
    """Returns the pixels of a JPEG file and the CPU milliseconds of decoding it.

    Args:
        content: The file.
        least: How many pixels the shorter side of a draft must have; 0 for no draft.
    """
    began = time.process_time()
    if least:
        with Image.open(io.BytesIO(content)) as image:
            image.draft("RGB", (least, least))
            pixels = np.asarray(image.convert("RGB"))
    else:
        pixels = read_image(content)
    return pixels, 1e3 * (time.process_time() - began)


def apart(ours: Tensor, theirs: Tensor) -> float:
    """Returns the length of the difference relative to that of what is expected."""
    return float((ours - theirs).norm() / theirs.norm())


@torch.no_grad()
def main() -> None:
    """Measures both kinds of large photos."""
    parser = argparse.ArgumentParser(description="JPEG drafts.")
    parser.add_argument("--data", type=Path, required=True, help="a folder of JPEG photos")
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--output", type=Path, help="folder for jpeg_drafts.md")
    arguments = parser.parse_args()
    print(f"at most {_PRINTED_MINUTES} minutes", flush=True)
    torch.set_num_threads(1)
    lines = [", ".join(f"{name} {value}" for name, value in describe().items()), ""]
    lines += [
        "| photos | draft | decoding, CPU ms | whole, CPU ms | block apart, median | most | shapes apart, median |"
    ]
    lines += ["|:--|--:|--:|--:|--:|--:|--:|"]
    backbone = load_backbone("small", ("image",))
    files = sorted(arguments.data.glob("*.jpg"))
    for make in (enlarged, mosaic):
        for times in (2, 4):
            cost, whole_cost, blocks, shapes = [], [], [], []
            for number in range(arguments.photos):
                photos = [Image.open(files[(number + 16 * own) % len(files)]).convert("RGB") for own in range(16)]
                file = io.BytesIO()
                make(photos).save(file, "JPEG", quality=90)
                expected, whole = decoded(file.getvalue(), 0)
                found, own = decoded(file.getvalue(), times * _SIDE)
                of_found, of_expected = block_of(backbone, "image", backbone.embed("image", [found, expected]))
                cost.append(own)
                whole_cost.append(whole)
                blocks.append(apart(of_found[:_WIDTH], of_expected[:_WIDTH]))
                shapes.append(apart(of_found[_WIDTH:], of_expected[_WIDTH:]))
            told = [f"{statistics.median(own):.1f}" for own in (cost, whole_cost)]
            told += [f"{own:.4f}" for own in (statistics.median(blocks), max(blocks), statistics.median(shapes))]
            lines.append(f"| {make.__name__} | {times} x {_SIDE} | {' | '.join(told)} |")
            print(lines[-1], flush=True)
    show_page(lines, arguments.output and arguments.output / "jpeg_drafts.md")


if __name__ == "__main__":
    main()
