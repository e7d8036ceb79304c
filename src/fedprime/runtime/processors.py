"""From settings to what touches updates on their way, the same at the server and at every client."""

from dataclasses import asdict
from importlib.util import find_spec

from fedprime.federation.compression import Compression
from fedprime.federation.differential_privacy import ClientPrivacy
from fedprime.federation.processors import UpdateProcessor
from fedprime.methods.method import Method
from fedprime.runtime.attacks import Attack, draw_hostile
from fedprime.settings.problems import SettingsError
from fedprime.settings.settings import Settings


def processors_of(method: Method, settings: Settings) -> list[UpdateProcessor]:
    """Returns the update processors of a run, from the method to the network; those that would do nothing are left out.

    Args:
        method: The method; with a centralised one, for which holder and server are one, nothing is compressed.

    Raises:
        SettingsError: If what accounts for privacy is not installed; said before training, not in its final table.
    """
    processors: list[UpdateProcessor] = []
    if settings.privacy.is_on:
        if not find_spec("dp_accounting"):
            raise SettingsError('privacy needs dp-accounting; install it: pip install "fedprime[privacy]"')
        processors.append(ClientPrivacy(**asdict(settings.privacy)))
    attack = settings.attack
    if attack.kind not in ("none", "label-flip"):  # who trains on flipped labels is honest about what came of it
        hostile = draw_hostile(settings.partition.num_clients, attack.share, settings.seed)
        processors.append(Attack(attack.kind, attack.strength, frozenset(hostile), settings.seed))
    if settings.transport.bits != 32 and not method.is_centralized:
        processors.append(Compression(settings.transport.bits))
    return processors
