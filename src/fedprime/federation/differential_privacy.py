"""Client-level differential privacy: whatever a client sends is clipped, and noise hides whether it was sent.

The unit is a client with all its samples. Two sets of clients are *neighbours* if one client is replaced by another.
Its whole update, all values together, is clipped to norm ``C``, so that replacing it moves the sum by at most ``2 C``.

* Of what is averaged, the sum of the clipped updates gets normal noise of standard deviation ``z C`` once.
* Alignment has to see single prompts: there, every client's clipped update gets noise of ``z C`` of its own.

Both together are one Gaussian mechanism of sensitivity ``2 C`` and noise ``z C``: its noise multiplier, in the sense of
accountants, is ``z / 2``. All that a server does with it is post-processing.

Source: McMahan, Ramage, Talwar, Zhang. Learning Differentially Private Recurrent Language Models. ICLR 2018, for the
mechanism; Wang, Balle, Kasiviswanathan. Subsampled Rényi Differential Privacy and Analytical Moments Accountant.
AISTATS 2019, for rounds in which a fixed number of clients, drawn without replacement, takes part.
"""

import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from fedprime.federation.processors import ServerRound, UpdateProcessor
from fedprime.federation.training_options import PrivacyOptions
from fedprime.methods.aggregation.robust import clip_towards, moved
from fedprime.methods.method import Update
from fedprime.models.prompted_model import Weights
from fedprime.reproducibility.seeding import torch_stream

#: Standard normal values in double precision, of a shape.
Noise = Callable[[Sequence[int]], Float64[Tensor, "..."]]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClientPrivacy(PrivacyOptions, UpdateProcessor):
    """The server makes updates private before the method sees them; C is `clip_norm`, z `noise_multiplier`."""

    hides_clients = True

    @property
    def hides_choice(self) -> bool:
        """Whether nobody may know from the seed who takes part in a round."""
        return self.secret

    def of_round(self, updates: Sequence[Update], asked: ServerRound) -> list[Update]:
        """Returns private updates, one for each client that was asked, whether it answered or not."""
        if not updates:
            # Left out, the step would tell that nobody answered: failures may depend on samples.
            _logger.warning("round %d: nobody answered; noise alone is added (see runtime.quorum)", asked.number)
        _logger.debug(
            "round %d: updates are clipped to %g, noise is %g times that",
            *(asked.number, self.clip_norm, self.noise_multiplier),
        )
        received, privacy = asked.method.travelling(asked.state.shared), self
        if asked.start:  # what is measured there has norm 1 at most
            form = asked.start.form(asked.state.shared)
            received = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in form.items()}
            privacy = replace(self, clip_norm=1.0)
        return private_updates(
            updates,
            asked.clients,
            received,
            aligned="" if asked.start else asked.method.aligned,
            privacy=privacy,
            noise=operating_system_noise if self.secret else seeded_noise(asked.seed, asked.number),
        )


def private_updates(
    updates: Sequence[Update],
    asked: Sequence[int],
    received: Weights,
    *,
    aligned: str,
    privacy: PrivacyOptions,
    noise: Noise,
) -> list[Update]:
    """Returns updates that any server step may be made from: averaging and aligning them is post-processing.

    All of them have the same private mean for everything that is averaged; what is aligned is each client's own, under
    noise of its own. A client that failed counts as one that changed nothing, so that the number of updates, by which
    the sum is divided, tells nothing. Numbers of samples and losses are left out: every client counts as one sample.

    Args:
        updates: The valid updates, in the order of clients.
        asked: The clients that were asked to train, in ascending order, at least one.
        received: What the server sent out of what travels, the same to everybody.
        aligned: Name of the value that is aligned; empty if none is.
    """
    sent = {update.client: clip_towards(received, update.weights, privacy.clip_norm)[0] for update in updates}
    deviation = privacy.noise_multiplier * privacy.clip_norm
    private: dict[int, Weights] = {client: {} for client in asked}
    for name, before in sorted(received.items()):
        nothing = torch.zeros(before.shape, dtype=torch.float64)
        changes = [sent[client][name] if client in sent else nothing for client in asked]
        if name == aligned:
            changes = [change + deviation * noise(before.shape) for change in changes]
        else:
            total = sum(changes, start=nothing) + deviation * noise(before.shape)
            changes = [total / len(asked)] * len(asked)
        for own, change in zip(private.values(), changes, strict=True):
            own[name] = moved(before, change)
    return [Update(client, 1, own) for client, own in private.items()]


def seeded_noise(seed: int, round_number: int) -> Noise:
    """Returns noise that follows from the seed: for experiments, which must be repeatable, and not for privacy."""
    rng = torch_stream(seed, "server", "round", round_number, "privacy")
    return lambda shape: torch.randn(tuple(shape), generator=rng, dtype=torch.float64)


def operating_system_noise(shape: Sequence[int]) -> Float64[Tensor, "..."]:
    """Returns noise from the operating system's cryptographic generator, by the inverse of the normal distribution."""
    from scipy.special import ndtri  # slow to import, and few runs need it

    words = np.frombuffer(os.urandom(8 * math.prod(shape)), dtype=np.uint64)
    # 52 bits and a half: strictly between 0 and 1, and symmetric about one half.
    uniform = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return torch.from_numpy(ndtri(uniform)).reshape(tuple(shape))


def spent_epsilon(
    privacy: PrivacyOptions,
    *,
    num_clients: int,
    num_asked: int,
    rounds: int,
    start_rounds: int = 0,
    measurements: int = 0,
) -> float:
    """Returns epsilon of a run for the `delta` asked for, under replacement of one client; infinity without noise.

    Rounds are composed as Rényi differential privacy. That who took part is not known counts in favour of privacy, if
    it is not: if `PrivacyOptions.secret`. The bound without that is taken where it is the lower one.

    Args:
        num_asked: How many of them are drawn, without replacement, in every round.
        rounds: How many rounds there were, each as often as it was made.
        start_rounds: How many more before the first, in which all clients are asked.
        measurements: How often sites were asked for scores, all of them each time (`private_scores.noisy_scores`).

    Source: the accountant is `dp_accounting`'s.
    """
    from dp_accounting import DpEvent, GaussianDpEvent, NeighboringRelation, SampledWithoutReplacementDpEvent
    from dp_accounting.rdp import RdpAccountant

    if not privacy.noise_multiplier > 0:
        return math.inf
    mechanism = GaussianDpEvent(privacy.noise_multiplier / 2)  # the sum moves by up to twice the norm
    events: list[DpEvent] = [mechanism]
    if privacy.secret:
        events.append(SampledWithoutReplacementDpEvent(num_clients, num_asked, mechanism))
    epsilons: list[float] = []
    for event in events:
        accountant = RdpAccountant(neighboring_relation=NeighboringRelation.REPLACE_ONE)
        for released, times in ((event, rounds), (mechanism, start_rounds + measurements)):
            if times > 0:
                accountant.compose(released, times)
        epsilons.append(float(accountant.get_epsilon(privacy.delta)))
    return min(epsilons)
