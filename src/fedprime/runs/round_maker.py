"""Makes the rounds of a run, has them measured, and goes on from none whose state cannot be used."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from fedprime.experiment.run_folder import Checkpoint, RunFolder
from fedprime.federation.clients import KeepingClients
from fedprime.federation.guard import Guard
from fedprime.federation.rounds import Round, Schedule, federate
from fedprime.federation.start import start_rounds
from fedprime.federation.start_round import StartRound
from fedprime.methods.method import Method
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.readout import alike_blocks
from fedprime.runs.evaluators import Evaluator
from fedprime.runs.metrics import rejection, round_metrics
from fedprime.runtime.processors import processors_of
from fedprime.settings.settings import Settings

_logger = logging.getLogger(__name__)


class RoundMaker:
    """Makes one round after the other."""

    def __init__(
        self,
        run: RunFolder,
        settings: Settings,
        method: Method,
        model: PromptedModel,
        clients: KeepingClients,
        evaluator: Evaluator,
    ) -> None:
        self._run, self._settings, self._method, self._model = run, settings, method, model
        self._clients, self._evaluator = clients, evaluator
        self._last = method.num_rounds(settings.training.rounds)
        self._rounds: Iterator[Round] | None = None
        privacy = settings.privacy
        self._is_counted = privacy.is_on and privacy.secret  # what follows from a seed is the same when it is repeated

    def next(self, before: Checkpoint, history: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], Checkpoint]:
        """Makes the next round, or takes up the one that was made and that nobody has been told of.

        Args:
            history: The lines of metrics before it.

        Returns:
            Its line of metrics, and the state to go on from: that of `before`, or of an earlier round, if what came of
            it cannot be used.
        """
        metrics, after = self._run.states.pending(before.next_round) or self._made(before)
        done = after.next_round
        if done < 0 or (done % self._settings.evaluation.every and done != self._last):
            return metrics, after
        if self._evaluator.is_release:
            self._run.note_release("scores", done - 1)
        scores = self._evaluator.on_validation(after)
        reason = self._reason_against(scores, history) if done > 0 else ""
        if not reason:
            return metrics | {name: value for name, value in scores.items() if _is_usable(value)}, after
        _logger.warning("round %d is rejected, the weights stay as they were: %s", done - 1, reason)
        sound = self._sound(before, history)
        for known, then in ((self._clients.kept, sound.kept), (self._clients.residuals, sound.residuals)):
            known.clear()  # the very tables that the clients use
            known.update(then)
        self._rounds = None
        return metrics | {"rejected": {"reason": reason}}, replace(sound, next_round=done)

    def _made(self, before: Checkpoint) -> tuple[dict[str, Any], Checkpoint]:
        if self._rounds is None:
            self._rounds = self._rounds_from(before)
        finished = next(self._rounds)
        clients = self._clients
        after = Checkpoint(finished.number + 1, finished.state, dict(clients.kept), dict(clients.residuals))
        metrics = round_metrics(finished, self._model)
        if len(finished.asked) < len(clients) and not self._settings.privacy.secret:
            metrics["asked_clients"] = list(finished.asked)
        if self._is_counted:
            self._run.note_release("state", finished.number)
            self._run.states.save_pending(metrics, after)
        return metrics, after

    def _rounds_from(self, before: Checkpoint) -> Iterator[Round]:
        settings, runtime = self._settings, self._settings.runtime
        schedule = Schedule(
            self._last,
            settings.training.fraction,
            runtime.quorum,
            runtime.repeats,
            start_of(self._method, self._model, settings),
            Guard(runtime.max_step, runtime.max_samples if runtime.kind == "deployment" else None),
        )
        return federate(
            self._method,
            self._clients,
            before.state,
            schedule,
            seed=settings.seed,
            processors=processors_of(self._method, settings),
            first_round=before.next_round,
        )

    def _reason_against(self, scores: dict[str, Any], history: Sequence[dict[str, Any]]) -> str:
        if self._settings.privacy.is_on:
            return ""  # steps are clipped; and scores under noise say little of one round
        return rejection(scores, history, self._model.guessing_loss, self._settings.runtime.max_loss)

    def _sound(self, before: Checkpoint, history: Sequence[dict[str, Any]]) -> Checkpoint:
        """Returns the last state that was measured and found sound; that before the round, if there is none."""
        number = sound_round(history)
        kept = None if number == before.next_round else self._run.states.before(number)
        return before if kept is None else kept


def start_of(method: Method, model: PromptedModel, settings: Settings) -> tuple[StartRound, ...]:
    """Returns the rounds of a run before its first; the last of them has the number -1."""
    return start_rounds(method, model.task, processors_of(method, settings), alike_blocks(model.backbone))


def sound_round(history: Sequence[dict[str, Any]]) -> int:
    """Returns the number of the round after the last one whose state was measured and found sound; 0 for none."""
    return next((row["round"] + 1 for row in reversed(history) if "validation_loss" in row), 0)


def _is_usable(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
