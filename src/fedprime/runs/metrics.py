"""What is told of a run whatever its samples are: after each round, and in all."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fedprime.federation.clients import num_taking_part
from fedprime.federation.differential_privacy import spent_epsilon
from fedprime.federation.processors import form_on_the_way
from fedprime.federation.rounds import Round
from fedprime.federation.traffic import size_bytes
from fedprime.methods.method import Method
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.runtime.processors import processors_of
from fedprime.settings.settings import Settings

#: Of validation samples: also with each modality alone, predicted as their clients would, or with the shared prior.
_LOSSES = ("selection_loss", "own_validation_loss", "validation_loss")


@dataclass(frozen=True)
class Progress:
    """What is known after a round, for display.

    Attributes:
        round_number: Rounds that are finished.
        num_rounds: Rounds of the whole run.
        loss: Mean training loss of the round; None if no client measured one.
        accuracy: On the validation samples when they were last measured, 0 to 1; None before that.
        best_accuracy: The best possible on the same samples (Bayes limit); None before that or where it is not known.
        bytes_sent: In both directions, over all rounds so far.
        seconds_left: Estimated from the rounds of this process.
        start: Rounds of the start that are finished, and all of them; None once training has begun.
    """

    round_number: int
    num_rounds: int
    loss: float | None
    accuracy: float | None
    best_accuracy: float | None
    bytes_sent: int
    seconds_left: float
    start: tuple[int, int] | None = None


def progress_after(history: Sequence[Mapping[str, Any]], num_rounds: int, first_round: int, seconds: float) -> Progress:
    """Returns what is known after a round, for display.

    Args:
        first_round: The round that this process began with.
        seconds: How long this process has been at it, without what encoding took: that is done once.
    """
    done = sum(row["round"] >= 0 for row in history)
    measured = next((row for row in reversed(history) if "accuracy" in row), {})
    last, num_start = history[-1], -min(0, history[0]["round"])
    return Progress(
        done,
        num_rounds,
        last["loss"],
        measured.get("accuracy"),
        measured.get("bayes_accuracy"),
        sum(row["bytes_down"] + row["bytes_up"] for row in history),
        seconds / max(1, done - max(0, first_round)) * (num_rounds - done),
        (num_start + last["round"] + 1, num_start) if last["round"] < 0 else None,
    )


def round_metrics(finished: Round, model: PromptedModel) -> dict[str, Any]:
    """Returns what the line of metrics of a round says apart from what is measured on samples."""
    state = finished.state
    return {
        "round": finished.number,
        "loss": finished.loss if math.isfinite(finished.loss) else None,
        "asked": len(finished.asked),
        "answered": len(finished.updates),
        "left_out": {str(client): reason for client, reason in sorted(finished.left_out.items())},
        "pool_sizes": {name: len(state.shared[f"prompter.{name}"]) for name in sorted(model.prompter.resizable)},
        "bytes_down": finished.bytes_down,
        "bytes_up": finished.bytes_up,
        "bytes_by_part": {"down": dict(finished.sent_down), "up": dict(finished.sent_up)},
        "seconds": round(finished.seconds, 3),
        **({"rejected": {"reason": finished.rejected}} if finished.rejected else {}),
        **state.observations,
    }


def validation_metrics(scores: Mapping[str, Any], each_alone: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Returns what the line of metrics of a round says of the validation samples.

    Args:
        scores: Their scores; those that are not known are left out.
        each_alone: Those of samples with several modalities, with each of these alone. The mean loss of all of these
            rows chooses the state that is kept: whoever trains where nothing is missing is not to lose what the model
            makes of samples that lack something.
    """
    names = ("accuracy", "bayes_accuracy", "macro_f1", "micro_f1", "auroc", "own_accuracy", "own_bayes_accuracy")
    losses = {f"{own}validation_loss": scores[f"{own}loss"] for own in ("", "own_") if f"{own}loss" in scores}
    if each_alone:
        parts = (scores, each_alone)
        total = sum(part["num_samples"] for part in parts)
        if all("own_loss" in part for part in parts):  # a site may leave it out
            losses["selection_loss"] = sum(part["num_samples"] / total * part["own_loss"] for part in parts)
    return {name: scores[name] for name in names if name in scores} | losses


def rejection(
    scores: Mapping[str, float], history: Sequence[Mapping[str, Any]], guessing: float, max_loss: float
) -> str:
    """Says why a state is not gone on from, by what was measured of it; nothing if it can be.

    Args:
        scores: What was measured, as `validation_metrics` returns it; nothing, if nobody measured.
        guessing: The loss of a model that knows nothing.
        max_loss: How many times the loss before, or that of guessing, it may be; 0 for any loss.
    """
    if "validation_loss" not in scores:
        return ""
    loss = _loss_to_reject_by(scores)
    name = "validation loss at the median site" if "median_loss" in scores else "validation loss"
    if not math.isfinite(loss):
        return f"its {name} is not finite"
    before = next((_loss_to_reject_by(row) for row in reversed(history) if "validation_loss" in row), guessing)
    if max_loss and loss > max_loss * max(before, guessing):
        return f"its {name} is {loss:.4g}, before it was {before:.4g} (runtime.max_loss is {max_loss:g})"
    return ""


def _loss_to_reject_by(row: Mapping[str, Any]) -> float:
    return row.get("median_loss", row["validation_loss"])


def best_round(history: Sequence[Mapping[str, Any]]) -> int | None:
    """Returns the round after which validation labels were likeliest; None if none has been measured."""
    measured = [row for row in history if "validation_loss" in row]
    best = min(measured, key=loss_to_choose_by, default=None)
    return None if best is None else best["round"]


def loss_to_choose_by(row: Mapping[str, Any]) -> float:
    """Returns, of a line of metrics with a validation loss, the most telling one that was measured."""
    return next(row[name] for name in _LOSSES if name in row)


def run_totals(
    method: Method,
    settings: Settings,
    model: PromptedModel,
    shared: Weights,
    history: Sequence[Mapping[str, Any]],
    *,
    releases: int = 0,
    measurements: int = 0,
) -> dict[str, Any]:
    """Returns what ``results.json`` says apart from what is measured on samples.

    Args:
        shared: The weights that every client gets in the end.
        releases: How often a state was made under secret noise, also in rounds that were repeated.
        measurements: How often scores were.
    """
    sent = {} if method.is_centralized else method.travelling(shared)
    rounds = sum(row["round"] >= 0 for row in history)
    return {
        "method": method.name,
        "seed": settings.seed,
        "rounds": rounds,
        **_stopped_early(rounds, method.num_rounds(settings.training.rounds)),
        "seconds": round(sum(row["seconds"] for row in history), 1),
        "bytes_down": sum(row["bytes_down"] for row in history),
        "bytes_up": sum(row["bytes_up"] for row in history),
        "bytes_by_part": _bytes_by_part(history),
        "trained_values": sum(shared[name].numel() for name, value in model.named_parameters() if value.requires_grad),
        "sent_values": sum(value.numel() for value in sent.values()),
        "sent_bytes_per_client_and_round": 2 * size_bytes(form_on_the_way(processors_of(method, settings), sent)),
        **_privacy_spent(settings, history, releases, measurements),
    }


def absent_clients(history: Sequence[Mapping[str, Any]], num_clients: int) -> dict[str, Any]:
    """Returns, by client, how many rounds it answered of those it was asked in: of clients below half, and why not.

    Args:
        history: The lines of metrics; those of the start count as well.

    Returns:
        ``absent_clients``; nothing if there are none, or if the lines do not say who was asked.
    """
    asked, lost, reasons = Counter[str](), Counter[str](), dict[str, str]()
    for row in history:
        clients = row.get("asked_clients", range(num_clients) if row["asked"] == num_clients else None)
        if clients is None:
            continue  # secret: who was asked must not be known
        asked.update(str(client) for client in clients)
        lost.update(row["left_out"].keys())
        reasons |= row["left_out"]
    absent = {
        client: {"asked": asked[client], "answered": asked[client] - lost[client], "reason": reasons[client]}
        for client in sorted(lost, key=int)
        if 2 * lost[client] > asked[client] > 0
    }
    return {"absent_clients": absent} if absent else {}


def _stopped_early(rounds: int, asked: int) -> dict[str, Any]:
    """Returns what is told of a run that ended before the rounds that its settings ask for: nothing of others."""
    return {} if rounds == asked else {"stopped_early": {"after_rounds": rounds, "of": asked}}


def _privacy_spent(
    settings: Settings, history: Sequence[Mapping[str, Any]], releases: int, measurements: int
) -> dict[str, Any]:
    """Returns what is told of privacy in the final table: nothing if there is none; an epsilon of None is no bound."""
    privacy, num_clients = settings.privacy, settings.partition.num_clients
    if not privacy.is_on:
        return {}
    asked = num_taking_part(num_clients, settings.training.fraction)
    before_first = sum(row["round"] < 0 for row in history)
    epsilon = spent_epsilon(
        privacy,
        num_clients=num_clients,
        num_asked=asked,
        rounds=max(len(history), releases) - before_first,
        start_rounds=before_first,
        measurements=measurements,
    )
    counted = {"releases": max(len(history), releases), "measurements": measurements} if privacy.secret else {}
    return {"privacy": {"epsilon": epsilon if math.isfinite(epsilon) else None, **asdict(privacy), **counted}}


def _bytes_by_part(history: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Returns the bytes sent in all rounds, by direction and part of the model."""
    total = {"down": Counter[str](), "up": Counter[str]()}
    for row in history:
        for direction, parts in row.get("bytes_by_part", {}).items():  # runs of earlier versions do not tell
            total[direction].update(parts)
    return {direction: dict(parts) for direction, parts in total.items()}
