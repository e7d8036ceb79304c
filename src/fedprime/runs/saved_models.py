"""The models that a run leaves, and what they tell of the samples behind them, for `fedprime merge`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedprime.experiment.run_folder import Checkpoint, RunError, RunFolder
from fedprime.methods.method import Method, ServerState
from fedprime.models.class_sums import ClassSums
from fedprime.models.model_folder import describe_training
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.models.prompts import NoPrompts
from fedprime.models.readout import SUMMARY
from fedprime.models.statistics import Statistics
from fedprime.reproducibility.strict_json import parse_json
from fedprime.runs.evaluators import Evaluator, personal_clients
from fedprime.settings.settings import Settings


def statistics_of_start(state: ServerState, history: Sequence[Mapping[str, Any]]) -> Statistics:
    """Returns what the rounds of a start summed up and chose.

    Args:
        state: After the last of them.
        history: Their lines of metrics.
    """
    sums = {name: value for name, value in state.server.items() if name.startswith("sums.")}
    chosen = [row.get("start", {}) for row in history if row["round"] < 0]
    return Statistics.of_start(ClassSums.of_weights(sums), chosen)


def _shared_statistics(
    start: Weights | None, evaluator: Evaluator, method: Method, model: PromptedModel
) -> Statistics | None:
    """Returns what the shared model of a run tells.

    The summary feature goes through the prompts: where they were trained, whoever has the samples sums up anew. Nobody
    has the samples of sites: what they summed up before the first round still holds for all but that block.
    """
    if start is not None and (not method.trains or isinstance(model.prompter, NoPrompts)):
        return Statistics.of_weights(start)
    found = evaluator.statistics(model)
    if found is None and start is not None:
        before = Statistics.of_weights(start)
        return before.of_blocks(before.sums.total.keys() - {SUMMARY})
    return found


def check_blocks(run: RunFolder, model: PromptedModel, checkpoint: Checkpoint) -> None:
    """Refuses to go on with a run whose head has less than that of this version.

    Args:
        model: A model of this version.
        checkpoint: What the run has come to.

    Raises:
        RunError: If the run was begun by an earlier version.
    """
    if lacking := model.lacking(checkpoint.state.shared):
        bias = "head.bias."
        unread = [name.removeprefix(bias) for name in sorted(lacking) if name.startswith(bias)]
        raise RunError(
            f"{run.path} was begun by an earlier version of fedprime, whose head did not "
            f"{'read ' + ', '.join(unread) if unread else 'weigh what several modalities say together'}; go on "
            "with that version (environment.json names its commit), or start anew"
        )


def save_models(
    run: RunFolder, method: Method, model: PromptedModel, checkpoint: Checkpoint, evaluator: Evaluator, told: str
) -> None:
    """Saves what a run has come to: the shared model, unless nothing of it is shared, and those of single clients.

    Args:
        evaluator: Who sums up training samples.
        told: Which models carry such sums: "shared", "all" or "none".
    """
    shared = checkpoint.state.shared
    if method.is_centralized or method.travelling(shared):
        model.load_weights(shared)
        statistics = None if told == "none" else _shared_statistics(run.start(), evaluator, method, model)
        _save_model(model, shared, run.model_path, statistics)
    for client in personal_clients(method, checkpoint):
        model.load_weights(checkpoint.weights(client))
        statistics = evaluator.statistics(model, client) if told == "all" else None
        _save_model(model, checkpoint.weights(client), run.client_model_path(client), statistics)


def describe_models(
    run: RunFolder,
    settings: Settings,
    method: Method,
    checkpoint: Checkpoint,
    results: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
) -> None:
    """Says in the models that a run has saved how they were trained and what they scored.

    Under privacy, nothing is told but what was under noise when it was measured.
    """
    privacy = results.get("privacy")
    facts: dict[str, Any] = {
        "method": method.name,
        "rounds": results["rounds"],
        "num_clients": settings.partition.num_clients,
        "is_centralized": method.is_centralized,
        "sent_up": results["bytes_by_part"].get("up", {}),
        "sent_bytes": results["sent_bytes_per_client_and_round"],
    }
    if privacy is None:
        facts |= _samples_and_missing_rates(run)
        kept = results.get("kept_round", results["rounds"] - 1)
        facts["chosen"] = next((row["usage"] for row in history if row["round"] == kept and "usage" in row), {})
    else:
        facts["privacy"] = {name: privacy[name] for name in ("epsilon", "delta")}
    tells_scores = privacy is None or "measured_by" in results
    if run.model_path.is_dir():
        describe_training(run.model_path, facts | {"scores": results["scenarios"]} if tells_scores else facts)
    for client in personal_clients(method, checkpoint):
        own = results["clients"].get(str(client))
        told = {"scores": {"its own test samples": own}} if own and privacy is None else {}
        describe_training(run.client_model_path(client), facts | told)


def _samples_and_missing_rates(run: RunFolder) -> dict[str, Any]:
    """Returns how many training samples there were, and of which share of them each modality was missing."""
    rows = parse_json(run.verified("missingness.json").read_bytes(), is_lenient=True)
    of_clients = [row for row in rows if "client" in row and "samples" in row]
    number = sum(row["samples"] for row in of_clients)
    patterns = Counter[str]()
    for row in of_clients:
        patterns.update(row.get("present", {}))  # what is missing at a site, its server is not told
    modalities = dict.fromkeys(name for pattern in patterns for name in pattern.split("+"))
    total = sum(patterns.values())
    there = {
        modality: sum(count for pattern, count in patterns.items() if modality in pattern.split("+"))
        for modality in modalities
    }
    missing = {modality: 1 - count / total for modality, count in there.items()} if total else {}
    return {"num_samples": number, "missing": missing} if number else {}


def _save_model(model: PromptedModel, weights: Weights, path: Path, statistics: Statistics | None) -> None:
    model.load_weights(weights)
    model.save_pretrained(path, None if statistics is None else statistics.weights())
