"""A backbone of three modalities, samples with every pattern of them, and a model around it."""

import numpy as np
import pytest

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone
from fedprime.data.batches import Batch, EmbeddedSamples
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.models.prompted_model import PromptedModel
from three_modalities import THREE, model_of, seven_patterns_twice


@pytest.fixture(scope="session")
def three() -> Backbone:
    return load_backbone(modalities=THREE)


@pytest.fixture(scope="session")
def world() -> BuiltinWorld:
    return BuiltinWorld(num_samples=14, num_classes=3)


@pytest.fixture(scope="session")
def batch(three: Backbone, world: BuiltinWorld) -> Batch:
    """Fourteen samples of three modalities, with each of the seven patterns twice."""
    return EmbeddedSamples(world, THREE, three.embed).batch(np.arange(14), seven_patterns_twice())


@pytest.fixture
def pooled(three: Backbone) -> PromptedModel:
    return model_of(three, "pools")
