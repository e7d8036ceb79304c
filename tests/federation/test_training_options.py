"""The options of local training."""

import dataclasses

from fedprime.federation.training_options import LocalTraining
from fedprime.settings.sections import TrainingSettings


def test_settings_of_training_can_be_given_to_a_client():
    settings = TrainingSettings(lr=0.5)
    assert isinstance(settings, LocalTraining)
    plain = LocalTraining(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(LocalTraining)})
    assert plain.lr == 0.5
