"""What decides the last bits of a computation beside its input."""

import torch

from fedprime.reproducibility.environment import numeric_environment, processor_name


def test_the_environment_names_the_machine_the_threads_and_the_libraries() -> None:
    found = numeric_environment()
    assert torch.__version__.startswith(found["torch"])  # which build it is, its metadata need not say
    assert found["threads"] == str(torch.get_num_threads())
    assert found["processor"] == processor_name() != ""
