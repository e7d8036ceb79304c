"""What one client cannot do to all others: move the server far beyond their steps, or outweigh them by its word.

A step is left out if it is longer than `Guard.max_step` times the median of the others' steps, and longer than all that
the server holds: so nothing is left out where the others have converged and one client has not. Medians and trimmed
means need no such guard. Under differential privacy every step is clipped, and whose is left out must not depend on
others: there is no other guard then.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fedprime.federation.processors import ServerRound
from fedprime.federation.sums_round import SumsRound
from fedprime.methods.aggregation.robust import clip_towards
from fedprime.methods.method import ServerState, Update

__all__ = ["Guard", "most_samples", "unsound"]

#: A client counts as at most as many times the samples of the median client, if no number is set.
_TIMES_MEDIAN = 10


@dataclass(frozen=True)
class Guard:
    """The limits of one client.

    Attributes:
        max_step: Longest step, in units of the median of the others' steps; 0 for no limit.
        max_samples: A client counts as at most as many samples; 0 for ten times the median of the clients of the round,
            None for as many as it says.
    """

    max_step: float = 1000.0
    max_samples: int | None = None

    def too_far(self, updates: Sequence[Update], asked: ServerRound) -> dict[int, str]:
        """Says by client whose step is far beyond the others', and how long it is."""
        # A median or a trimmed mean is its own guard.
        if not self.max_step or len(updates) < 2 or asked.method.aggregation != "mean":
            return {}
        steps = {update.client: _step(update, asked) for update in updates}
        found: dict[int, str] = {}
        for client, (step, ground) in steps.items():
            usual = statistics.median_low([other for name, (other, _) in steps.items() if name != client])
            if step > max(self.max_step * usual, ground) > 0:
                found[client] = (
                    f"its step is {step:.3g} long, that of the others {usual:.3g}; more than {self.max_step:g} "
                    "times as much is not used (runtime.max_step)"
                )
        return found

    def weighed(self, updates: Sequence[Update], *, are_sums: bool) -> list[Update]:
        """Returns updates that count as no more samples than one client may have.

        Args:
            are_sums: Whether their values are sums over samples, which are scaled down then.
        """
        if self.max_samples is None:
            return list(updates)
        counts = [_num_summed(update) if are_sums else update.num_samples for update in updates]
        most = most_samples(counts, self.max_samples)
        return [
            update if count <= most else _as_if(update, count, most, are_sums)
            for update, count in zip(updates, counts, strict=True)
        ]


def most_samples(counts: Sequence[int], limit: int = 0) -> int:
    """Returns as how many samples one client may count: a limit, or ten times the median of what clients say."""
    return limit or _TIMES_MEDIAN * statistics.median_low(counts)


def unsound(state: ServerState) -> str:
    """Says which values of a state are not finite; nothing if all are."""
    parts = [state.shared, state.server, *state.personal.values()]
    broken = sorted({name for part in parts for name, value in part.items() if not value.isfinite().all()})
    return f"{', '.join(broken[:3])} would not be finite" if broken else ""


def _step(update: Update, asked: ServerRound) -> tuple[float, float]:
    """Returns how long a client's step is, and how long all is that it steps from."""
    if asked.start is None:
        received = asked.answer(update.client)
        return clip_towards(received, update.weights, float("inf"))[1], clip_towards({}, received, float("inf"))[1]
    if isinstance(asked.start, SumsRound):
        return clip_towards({}, update.weights, float("inf"))[1] / update.num_samples, 0.0
    return 0.0, 0.0  # likelihoods are checked by themselves


def _num_summed(update: Update) -> int:
    """Returns over how many samples a client sums, as it says beside the sums: they may be others than it trains on."""
    counts = [update.weights[name].max() for name in update.weights if name.partition(".")[0] == "count"]
    return max([update.num_samples, *map(int, counts)])


def _as_if(update: Update, count: int, most: int, are_sums: bool) -> Update:
    num_samples = min(update.num_samples, most)
    if not are_sums:
        return replace(update, num_samples=num_samples)
    weights = {name: value * (most / count) for name, value in update.weights.items()}
    return replace(update, num_samples=num_samples, weights=weights)
