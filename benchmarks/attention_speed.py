"""Which form of attention is fastest on this CPU: the fused kernel, or its steps one by one; forward and backward.

    python benchmarks/attention_speed.py

The shapes are those of a micro-batch of a ViLT-B/32: 12 heads of 64, 7 samples with image and text, or 24 of texts.
"""

import argparse

import torch

from fedprime.backbones.attention import attend_in_steps
from machine import Clock, describe


def main() -> None:
    """Prints a Markdown table of the least CPU milliseconds, by type of numbers and shape."""
    parser = argparse.ArgumentParser(description="Times forms of attention.")
    parser.add_argument("--repeats", type=int, default=4)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    print("; ".join(f"{name} {value}" for name, value in describe().items()) + ".\n")
    print("| numbers | samples | rows | fused, ms | in steps, ms |")
    print("|:--|--:|--:|--:|--:|")
    for dtype in (torch.float32, torch.bfloat16):
        for num_samples, length in ((7, 195), (24, 56)):
            rows = torch.randn(num_samples * length, 3 * 768).to(dtype).requires_grad_()
            clock = Clock()
            for _ in range(repeats + 1):
                for name, form in (
                    ("fused", torch.nn.functional.scaled_dot_product_attention),
                    ("in steps", lambda *parts: attend_in_steps(*parts, mask=None)),
                ):

                    def step(form=form, rows=rows, num_samples=num_samples, length=length) -> None:  # noqa: ANN001
                        parts = [part.view(num_samples, length, 12, 64).transpose(1, 2) for part in rows.split(768, 1)]
                        torch.autograd.grad(form(parts[0], parts[1], parts[2]).sum(), rows)

                    clock.time(name, step)
            least = {name: 1000 * min(seconds) for name, seconds in clock.cpu_seconds.items()}
            name = str(dtype).removeprefix("torch.")
            print(f"| {name} | {num_samples} | {length} | {least['fused']:.1f} | {least['in steps']:.1f} |", flush=True)


if __name__ == "__main__":
    main()
