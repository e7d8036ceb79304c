"""Times the built-in world and its frozen embedding, one thread.

Run it from a checkout:

    python benchmarks/world_speed.py --samples 10000
"""

import argparse
import time

import torch

from fedprime import BuiltinWorld, load_backbone


def main() -> None:
    """Reads the command line and prints seconds."""
    parser = argparse.ArgumentParser(description="Time the built-in world.")
    parser.add_argument("--samples", type=int, default=10_000)
    num_samples = parser.parse_args().samples
    torch.set_num_threads(1)
    backbone = load_backbone()
    started = time.perf_counter()
    world = BuiltinWorld(num_samples)
    samples = [world.read(index, world.modalities) for index in range(num_samples)]
    generated = time.perf_counter()
    for modality in backbone.modalities:
        backbone.embed(modality, [sample[modality] for sample in samples])
    embedded = time.perf_counter()
    print(f"{num_samples} samples: {generated - started:.1f} s to generate, {embedded - generated:.1f} s to embed")


if __name__ == "__main__":
    main()
