"""Precision: what is asked for, and what "auto" makes of the device."""

import pytest
import torch

from fedprime.backbones.backbone import BackboneError
from fedprime.backbones.precision import check_precision, choose_dtype, multiplies_bfloat16

CPU = torch.device("cpu")


def test_what_is_asked_for_is_what_is_computed_with():
    assert choose_dtype("float32", 768, CPU) == torch.float32
    assert choose_dtype("bfloat16", 8, CPU) == torch.bfloat16


@pytest.mark.parametrize("has_instructions", [False, True])
def test_auto_is_bfloat16_for_wide_models_where_the_processor_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, has_instructions: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_instructions)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert multiplies_bfloat16(CPU) == has_instructions
    assert choose_dtype("auto", 768, CPU) == (torch.bfloat16 if has_instructions else torch.float32)
    assert choose_dtype("auto", 64, CPU) == torch.float32


def test_a_device_that_is_neither_cpu_nor_gpu_computes_with_float32_unless_told_otherwise():
    assert choose_dtype("auto", 768, torch.device("meta")) == torch.float32


def test_an_unknown_precision_is_refused():
    with pytest.raises(BackboneError, match="precision is 'half'; expected one of auto, float32, bfloat16"):
        check_precision("half")
