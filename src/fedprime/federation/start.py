"""The start: rounds before the first, in which clients sum up or measure, and a head comes out in closed form.

They are numbered from below zero, so that the rounds of training keep their numbers. Every client is asked, and none
trains. `SumsRound` makes the head; `ShrinkageRound` and `TemperatureRound` choose what it leaves open, on validation
samples, which stay where they are: clients send how likely the labels are.

Source: see docs/learning.md.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from fedprime.data.sources import Task
from fedprime.federation.calibration_rounds import ShrinkageRound, TemperatureRound
from fedprime.federation.differential_privacy import ClientPrivacy
from fedprime.federation.private_sums_round import PrivateSumsRound
from fedprime.federation.processors import UpdateProcessor
from fedprime.federation.start_round import LocalSamples, StartRound, by_block
from fedprime.federation.sums_round import SumsRound
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.class_sums import ClassSums
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.models.statistics import Statistics


def start_rounds(
    method: Method, task: Task, processors: Sequence[UpdateProcessor] = (), alike: Collection[str] = ()
) -> tuple[StartRound, ...]:
    """Returns the rounds before the first; the last of them has the number -1.

    There are none where clients share no head: each starts alone then (`started_alone`).

    Args:
        processors: Those of the run: with privacy there is one round, of bounded sums under noise.
        alike: The blocks of which all samples are about as large (`alike_blocks`): who has far larger ones is left out.
    """
    if not (method.shares_head and method.reads_blocks):
        return ()
    for processor in processors:
        if isinstance(processor, ClientPrivacy):
            makes_head = method.start == "closed-form"
            return (PrivateSumsRound(task, processor.noise_multiplier, makes_head=makes_head),)
    return _rounds(method, task, alike)


def _rounds(method: Method, task: Task, alike: Collection[str] = ()) -> tuple[StartRound, ...]:
    if not method.reads_blocks:
        return ()
    if method.start == "closed-form":
        return _closed_form(task, alike)
    return (SumsRound(task, makes_head=False, alike=alike),)


def _closed_form(task: Task, alike: Collection[str] = ()) -> tuple[StartRound, ...]:
    several = TemperatureRound(task, is_of_several=True)
    return (SumsRound(task, alike=alike), ShrinkageRound(task), TemperatureRound(task), TemperatureRound(task), several)


def started_alone(method: Method, model: PromptedModel, samples: LocalSamples, received: Weights) -> Weights:
    """Returns the values of a client that shares its head with nobody, after a start of its own.

    Args:
        model: A model of the method's shape; its weights are overwritten.
    """
    return _alone(_rounds(method, model.task), model, samples, received)[0].shared


def statistics_alone(model: PromptedModel, samples: LocalSamples) -> Statistics:
    """Returns what samples sum up to as a model reads them, and what a start of its own would choose.

    Args:
        model: A model that reads blocks; its weights are overwritten.
    """
    state, chosen = _alone(_closed_form(model.task), model, samples, model.weights())
    return Statistics.of_start(ClassSums.of_weights(state.server), chosen)


def _alone(
    rounds: Iterable[StartRound], model: PromptedModel, samples: LocalSamples, received: Weights
) -> tuple[ServerState, list[Mapping[str, Mapping[str, float]]]]:
    """Returns what rounds of one client come to, and what each of them chose."""
    state, chosen = ServerState(received), []
    for step in rounds:
        model.load_weights(state.shared)
        update = Update(0, len(samples.train), step.measure(model, samples, state.shared))
        state = step.aggregate(state, [update])
        chosen.append(state.observations.get("start", {}))
    return state, chosen


def is_started(weights: Weights) -> bool:
    """Says whether blocks have been standardised."""
    return any(bool(value[0].any()) for value in by_block(weights, "head.moments.").values())
