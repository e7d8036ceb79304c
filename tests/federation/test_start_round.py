"""What all rounds of the start need."""

import numpy as np

from fedprime.experiment.build import Experiment
from fedprime.federation.start_round import own_log_prior
from started import model_of


def test_own_frequencies_are_those_of_the_clients_training_samples(small_experiment: Experiment):
    shard = small_experiment.shards[0]
    labels = small_experiment.source.labels[shard.indices]
    expected = (np.bincount(labels, minlength=3) + 1 / 3) / (len(labels) + 1)
    found = own_log_prior(model_of(small_experiment), shard).exp().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
