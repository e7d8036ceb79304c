"""What decides the last bits of a computation beside its input."""

import platform

import torch

from fedprime.reproducibility.environment import describe_environment, numeric_environment, processor_name


def test_the_environment_names_the_machine_the_threads_and_the_libraries() -> None:
    found = numeric_environment()
    assert torch.__version__.startswith(found["torch"])  # which build it is, its metadata need not say
    assert found["threads"] == str(torch.get_num_threads())
    assert found["processor"] == processor_name() != ""


def test_the_environment_names_versions_commit_and_machine():
    environment = describe_environment("fingerprint")
    assert environment["versions"]["python"] == platform.python_version()
    assert environment["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert environment.keys() == {"versions", "commit", "backbone_fingerprint", "machine"}
    assert environment["backbone_fingerprint"] == "fingerprint"
    assert environment["machine"]["cores"] >= 1
