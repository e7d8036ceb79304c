"""Shape checks at run time for everything under test, one thread, no network, and fixtures that many tests share."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

from jaxtyping import install_import_hook

# Must come before the first import of fedprime: what is imported earlier is not checked.
_hook = install_import_hook("fedprime", "beartype.beartype")

import pytest
import torch

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny() -> Backbone:
    """The backbone that comes with fedprime."""
    return load_backbone()
