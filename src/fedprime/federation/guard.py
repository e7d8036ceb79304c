"""What one client cannot do to all others: move the server far beyond their steps, or outweigh them by its word.

A step is left out if it is longer than `Guard.max_step` times the median of the others' steps, and longer than all that
the server holds: so nothing is left out where the others have converged and one client has not. Medians and trimmed
means need no such guard. Under differential privacy every step is clipped, and whose is left out must not depend on
others: there is no other guard then.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fedprime.federation.processors import ServerRound
from fedprime.federation.start_round import StartRound
from fedprime.federation.sums_round import SumsRound
from fedprime.methods.aggregation.robust import clip_towards
from fedprime.methods.method import ServerState, Update
from fedprime.models.prompted_model import Weights

#: A client counts as at most as many times the samples of the median client, if no number is set.
_TIMES_MEDIAN = 10
#: What one client's say in the start may cost the others more than anybody's does, as a share of what guessing costs;
#: and what all of them together, since of few clients each has much to say.
_MOST_COST, _MOST_COST_OF_ALL = 0.03, 0.4
#: How many times the mean square of a block in the median of the others that in the sums of one client may be.
_MOST_SQUARE = 10.0
#: Where fewer say something, one that disagrees may be the one that is right.
_LEAST_JUDGES = 4


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
        """Says by client whose step is far beyond the others', or in the start, whose say costs them too much."""
        # A median or a trimmed mean is its own guard; what is measured in the start is summed up whatever is set.
        if not self.max_step or len(updates) < 2 or (asked.start is None and asked.method.aggregation != "mean"):
            return {}
        steps = {update.client: _step(update, asked) for update in updates}
        usual_of_others = _medians_of_others({client: step for client, (step, _) in steps.items()})
        found: dict[int, str] = {}
        for client, (step, ground) in steps.items():
            usual = usual_of_others[client]
            if step > max(self.max_step * usual, ground) > 0:
                found[client] = (
                    f"its step is {step:.3g} long, that of the others {usual:.3g}; more than {self.max_step:g} "
                    "times as much is not used (runtime.max_step)"
                )
        if asked.start is not None:
            found |= _too_large(updates, asked.start) | _too_dear(updates, asked.start, asked.state.shared)
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


def _too_dear(updates: Sequence[Update], start: StartRound, shared: Weights) -> dict[int, str]:
    """Says by client what its say in the start costs the others, if that is too much: the dearest first."""
    found: dict[int, str] = {}
    left = list(updates)
    while len(left) >= _LEAST_JUDGES and (gains := start.gains(left, shared)):
        client = max(gains, key=lambda name: gains[name])
        # Second derivatives foretell something of everybody where a step is long: that is no client's doing.
        usual = _medians_of_others(gains)[client]
        most = max(_MOST_COST, _MOST_COST_OF_ALL / (len(left) - 1))
        if gains[client] - max(usual, 0.0) <= most:
            break
        found[client] = (
            f"without what it says of its validation samples, half of the others lose {gains[client]:.0%} of what "
            f"guessing costs less; more than {most:.0%} is not used (runtime.max_step 0 uses it)"
        )
        left = [update for update in left if update.client != client]
    return found


def _too_large(updates: Sequence[Update], start: StartRound) -> dict[int, str]:
    """Says by client in which block its samples are far larger than the others': encoders make all about as large."""
    found: dict[int, str] = {}
    squares = {update.client: start.squares(update) for update in updates}
    for block in dict.fromkeys(block for of_client in squares.values() for block in of_client):
        told = {client: of_client[block] for client, of_client in squares.items() if block in of_client}
        if len(told) < _LEAST_JUDGES:
            continue
        usual_of_others = _medians_of_others(told)
        for client, square in told.items():
            usual = usual_of_others[client]
            if square > _MOST_SQUARE * usual > 0:
                found[client] = (
                    f"the mean square of {block} is {square:.3g}, that of the others {usual:.3g}; more than "
                    f"{_MOST_SQUARE:g} times as much is not used (runtime.max_step 0 uses it)"
                )
    return found


def _medians_of_others(told: Mapping[int, float]) -> dict[int, float]:
    """Returns by client the lower median of what all others tell.

    >>> _medians_of_others({0: 5.0, 1: 1.0, 2: 3.0})
    {0: 1.0, 1: 3.0, 2: 1.0}
    """
    order = sorted(told.values())
    middle = (len(order) - 2) // 2  # of the others, in their order
    # Without one up to the middle, what follows moves down by one.
    return {client: order[middle + (value <= order[middle])] for client, value in told.items()}


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
