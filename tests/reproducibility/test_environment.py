"""What decides the last bits of a computation beside its input."""

import shutil
from pathlib import Path

import pytest
import torch

from fedprime.reproducibility import environment as machine
from fedprime.reproducibility.environment import code_digest, numeric_environment, processor_name


def test_the_environment_names_the_machine_the_threads_and_the_libraries() -> None:
    found = numeric_environment()
    assert found["torch"] == torch.__version__
    assert found["threads"] == str(torch.get_num_threads())
    assert found["processor"] == processor_name() != ""


def test_the_digest_of_code_changes_with_the_code_it_names_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(
        shutil.copytree(Path(machine.__file__).parents[1] / "backbones", tmp_path / "fedprime" / "backbones")
    )
    (tmp_path / "fedprime" / "seeding.py").write_text("one")
    (tmp_path / "fedprime" / "run.py").write_text("one")
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "fedprime" / "reproducibility" / "environment.py"))
    parts = ("backbones", "seeding.py")
    first = code_digest(parts)
    (tmp_path / "fedprime" / "run.py").write_text("other")
    assert code_digest(parts) == first
    (tmp_path / "fedprime" / "seeding.py").write_text("other")
    second = code_digest(parts)
    (package / "new.py").touch()
    assert len({first, second, code_digest(parts)}) == 3
