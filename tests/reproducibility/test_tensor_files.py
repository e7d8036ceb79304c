"""Files of tensors may be read by whoever may read the other files of a folder."""

import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from fedprime.reproducibility.tensor_files import save_tensors


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_of_tensors_has_the_permissions_of_any_new_file(mask: int, mode: int, tmp_path: Path):
    before = os.umask(mask)
    try:
        save_tensors({"a": torch.ones(2)}, tmp_path / "a", {"round": "3"})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
    with safe_open(tmp_path / "a", "pt") as file:
        assert file.metadata() == {"round": "3"}
        assert file.get_tensor("a").tolist() == [1.0, 1.0]
