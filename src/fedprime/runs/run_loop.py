"""The life of a run from where it stands: the rounds that are left, what is kept of them, and the final table."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from fedprime.experiment.run_folder import Checkpoint, RunFolder
from fedprime.federation.clients import KeepingClients
from fedprime.methods.method import Method
from fedprime.models.prompted_model import PromptedModel
from fedprime.report.single_run import plot_scenarios
from fedprime.runs.callbacks import Callback, EarlyStopping
from fedprime.runs.evaluators import Evaluator
from fedprime.runs.metrics import absent_clients, best_round, progress_after, run_totals
from fedprime.runs.round_maker import RoundMaker, sound_round, start_of
from fedprime.runs.saved_models import check_blocks, describe_models, save_models, statistics_of_start
from fedprime.settings.settings import Settings


def before_start(method: Method, model: PromptedModel, settings: Settings, num_clients: int) -> Checkpoint:
    """Returns the state before the first of all rounds."""
    start = start_of(method, model, settings)
    return Checkpoint(-len(start), method.initial_state(model, num_clients))


def see_through(
    run: RunFolder,
    settings: Settings,
    method: Method,
    model: PromptedModel,
    opened: AbstractContextManager[KeepingClients],
    evaluator: Evaluator,
    callbacks: Sequence[Callback],
) -> dict[str, Any]:
    """Makes the rounds that are left and the final table."""
    start = start_of(method, model, settings)
    last, training = method.num_rounds(settings.training.rounds), settings.training
    told = "none" if settings.privacy.is_on else settings.runtime.statistics
    keeps_best = training.keep == "best" or (training.keep == "auto" and method.start == "closed-form")
    callbacks = [*callbacks, EarlyStopping(training.patience)]
    with run.locked(), opened as clients:
        checkpoint = run.newest_sound()
        check_blocks(run, model, checkpoint)
        run.drop_unfinished(checkpoint, len(start))
        clients.kept.update(checkpoint.kept)
        clients.residuals.update(checkpoint.residuals)
        history = run.metrics()
        first_round, started = checkpoint.next_round, time.perf_counter() - evaluator.encoding_seconds
        maker = RoundMaker(run, settings, method, model, clients, evaluator)
        _keep_if_best(run, checkpoint, history, keeps_best)
        _best(run, checkpoint, history, keeps_best, goes_on=True)  # it is there, before more is trained in vain
        run.start()  # likewise
        while checkpoint.next_round < last and not _is_over(callbacks, history):
            metrics, checkpoint = maker.next(checkpoint, history)
            history.append(metrics)
            if checkpoint.next_round == 0 and start and told != "none":
                run.save_start(statistics_of_start(checkpoint.state, history).weights())
            run.save_round(metrics, checkpoint, settings.runtime.keep, sound_round(history))
            _keep_if_best(run, checkpoint, history, keeps_best)
            seconds = time.perf_counter() - evaluator.encoding_seconds - started
            progress = progress_after(history, last, first_round, seconds)
            for callback in callbacks:
                callback.round_finished(progress)
        checkpoint = _best(run, checkpoint, history, keeps_best)
        save_models(run, method, model, checkpoint, evaluator, told)
        if evaluator.is_release:
            run.note_release("scores", checkpoint.next_round)
        results = run_totals(
            method,
            settings,
            model,
            checkpoint.state.shared,
            history,
            releases=run.releases("state"),
            measurements=run.releases("scores"),
        )
        results |= absent_clients(history, len(clients))
        if keeps_best:
            results["kept_round"] = checkpoint.next_round - 1
        results |= evaluator.on_test(checkpoint)
        describe_models(run, settings, method, checkpoint, results, history)
        plot_scenarios(results, run.path / "scenarios.png")
        run.save_results(results)
        for callback in callbacks:
            callback.run_finished(results)
        return results


def _keep_if_best(run: RunFolder, checkpoint: Checkpoint, history: Sequence[dict[str, Any]], keeps_best: bool) -> None:
    """Keeps the state after the last round if no other has likelier validation labels."""
    if keeps_best and best_round(history) == checkpoint.next_round - 1:
        run.states.save_best(checkpoint)


def _best(
    run: RunFolder,
    checkpoint: Checkpoint,
    history: Sequence[dict[str, Any]],
    keeps_best: bool,
    *,
    goes_on: bool = False,
) -> Checkpoint:
    """Returns the state with the likeliest validation labels, if it is to be kept; else the last one.

    Args:
        goes_on: Whether more rounds are made: the state that is kept may be of one that is made again.
    """
    best = best_round(history) if keeps_best else None
    if best in (None, checkpoint.next_round - 1):
        return checkpoint
    return run.states.best(best + 1, made_again=checkpoint.next_round if goes_on else None)


def _is_over(callbacks: Sequence[Callback], history: Sequence[dict[str, Any]]) -> bool:
    return bool(history) and any(callback.is_over(history) for callback in callbacks)
