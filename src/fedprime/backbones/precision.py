"""Which numbers a frozen transformer computes with: 32 bits, or bfloat16 where the processor multiplies it faster."""

from typing import Literal, get_args

import torch

from fedprime.backbones.backbone import BackboneError

#: What can be asked for; ``"auto"`` is bfloat16 where it is faster.
Precision = Literal["auto", "float32", "bfloat16"]

# Narrower transformers spend their time between matrix products, where bfloat16 saves nothing.
_LEAST_DIM = 256


def multiplies_bfloat16(device: torch.device) -> bool:
    """Says whether a device has instructions that multiply matrices of bfloat16.

    Args:
        device: A CPU (AVX512-BF16 or AMX) or a GPU.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def choose_dtype(precision: Precision, dim: int, device: torch.device) -> torch.dtype:
    """Returns the type of numbers that a transformer's frozen weights are cast to."""
    if precision == "auto":
        return torch.bfloat16 if dim >= _LEAST_DIM and multiplies_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def check_precision(precision: str) -> None:
    """Refuses what is no precision.

    Raises:
        BackboneError: If it is unknown.
    """
    if precision not in get_args(Precision):
        raise BackboneError(f"precision is {precision!r}; expected one of {', '.join(get_args(Precision))}")
