"""What a run says of where it was made."""

import platform

import torch

from fedprime.experiment.run_environment import describe_environment


def test_the_environment_names_versions_commit_and_machine():
    environment = describe_environment("fingerprint")
    assert environment["versions"]["python"] == platform.python_version()
    assert environment["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert environment.keys() == {"versions", "commit", "backbone_fingerprint", "machine"}
    assert environment["backbone_fingerprint"] == "fingerprint"
    assert environment["machine"]["cores"] >= 1
