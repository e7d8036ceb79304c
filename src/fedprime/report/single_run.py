"""From the results of one run, as in ``results.json``, to a table and a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from fedprime.reproducibility.atomic_files import replaced_file
from fedprime.reproducibility.errors import counted

_LOSS_ROSE = 1.05  # times the lowest
_ACCURACY_HELD = 0.005  # may be lost
_SHARES = {
    "accuracy": "accuracy",
    "bayes_accuracy": "Bayes\nlimit",
    "own_accuracy": "at its\nclient",
    "own_bayes_accuracy": "limit\nthere",
    "majority_accuracy": "majority",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "auroc": "AUROC",
}


def scenario_table(results: Mapping[str, Any]) -> Table:
    """Returns the final table: accuracy per test scenario, beside the best possible where it is known.

    *At its client* is the accuracy with the label frequencies of the client that a sample belongs to; *majority* is
    that of naming the most frequent class each time.
    """
    title = f"{results['method']}, {counted(results['rounds'], 'round')}, seed {results['seed']}"
    # As narrow as it can be: what does not fit into a terminal of 80 columns is cut in the middle of its heads.
    table = Table(title=title, caption=_privacy(results), show_edge=False, pad_edge=False)
    table.add_column("test scenario", no_wrap=True)
    scenarios = results["scenarios"]
    known = {key: head for key, head in _SHARES.items() if any(key in scores for scores in scenarios.values())}
    for column in (*(f"{head}\n%" for head in known.values()), "loss"):
        table.add_column(column, justify="right")
    for name, scores in scenarios.items():
        shares = [f"{100 * scores[key]:.1f}" if key in scores else "" for key in known]
        table.add_row(name, *shares, f"{scores['loss']:.3f}")
    return table


def _privacy(results: Mapping[str, Any]) -> str | None:
    """Returns what the run tells about any one client, in words; None if it was not private."""
    spent = results.get("privacy")
    if not spent:
        return None
    if spent["epsilon"] is None:
        return "updates clipped without noise: no privacy"
    known = "" if spent["secret"] else ", for whoever does not know the seed"
    return f"client-level privacy: epsilon {spent['epsilon']:.2f} at delta {spent['delta']:g}{known}"


def traffic_table(results: Mapping[str, Any]) -> Table | None:
    """Returns what was sent by part of the model, the largest first; None if nothing was, or it is not known."""
    sent: Mapping[str, Mapping[str, int]] = results.get("bytes_by_part", {})
    parts = {part: sum(parts.get(part, 0) for parts in sent.values()) for parts in sent.values() for part in parts}
    total = sum(parts.values())
    if total == 0:
        return None
    table = Table(title="sent over all rounds")
    table.add_column("part of the model")
    for column in ("down, kB", "up, kB", "share %"):
        table.add_column(column, justify="right")
    for part in sorted(parts, key=parts.__getitem__, reverse=True):
        both = [f"{sent[direction].get(part, 0) / 1000:,.1f}" for direction in ("down", "up")]
        table.add_row(part, *both, f"{100 * parts[part] / total:.1f}")
    return table


def notices(results: Mapping[str, Any]) -> list[str]:
    """Returns what to know beside the scores: values that could not be used, clients that were not there."""
    told: list[str] = []
    unusable: Mapping[str, int] = results.get("unusable", {})
    if unusable:
        counts = ", ".join(f"{count:,} of {modality}" for modality, count in unusable.items())
        told.append(f"values that could not be used and count as missing: {counts} (unusable.json names them)")
    told += [
        f"client {client} answered {found['answered']} of {counted(found['asked'], 'round')} it was asked in: "
        f"{found['reason']}"
        for client, found in results.get("absent_clients", {}).items()
    ]
    return told


def rising_loss(history: Sequence[Mapping[str, Any]]) -> str:
    """Returns an explanation if the validation loss rose while accuracy held, which alarms who sees it first; or "".

    Args:
        history: The lines of ``metrics.jsonl``.

    >>> measured = [(1, 0.7, 0.9), (9, 0.71, 1.2)]
    >>> lines = [dict(zip(("round", "accuracy", "validation_loss"), row)) for row in measured]
    >>> rising_loss(lines).partition(":")[0], rising_loss(lines[:1])
    ('the validation loss rose from 0.900 (round 2) to 1.200 while accuracy held', '')
    """
    measured = [row for row in history if row.get("validation_loss") is not None and "accuracy" in row]
    if not measured:
        return ""
    lowest, last = min(measured, key=lambda row: row["validation_loss"]), measured[-1]
    rose = last["validation_loss"] > _LOSS_ROSE * lowest["validation_loss"]
    if not rose or last["accuracy"] < lowest["accuracy"] - _ACCURACY_HELD:
        return ""
    return (
        f"the validation loss rose from {lowest['validation_loss']:.3f} (round {lowest['round'] + 1}) to "
        f"{last['validation_loss']:.3f} while accuracy held: the classes named are as good, but the model has grown "
        "too sure of the wrong ones; where its probabilities matter, take --training.keep best, or fewer rounds"
    )


def plot_scenarios(results: Mapping[str, Any], path: Path) -> None:
    """Draws the accuracy per test scenario, against the best possible where it is known.

    Args:
        path: Where to; its ending gives the format.
    """
    import matplotlib as mpl  # slow to import, and only needed once the run is over
    from matplotlib.figure import Figure

    scenarios = results["scenarios"]
    names = list(scenarios)
    with mpl.rc_context(
        {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "fedprime"}
    ):
        figure = Figure(figsize=(7.5, 4), layout="constrained")
        axes = figure.subplots()
        heights = [100 * scenarios[name]["accuracy"] for name in names]
        bars = axes.bar(names, heights, color="#3b6ea5", width=0.6, label=results["method"])
        axes.bar_label(bars, fmt="%.1f", padding=-16, color="white")
        limits = {
            position: 100 * scenarios[name]["bayes_accuracy"]
            for position, name in enumerate(names)
            if "bayes_accuracy" in scenarios[name]
        }
        for position, limit in limits.items():
            label = "best possible (Bayes)" if position == min(limits) else ""
            axes.hlines(limit, position - 0.38, position + 0.38, color="#c2571a", linewidth=2.5, label=label)
            axes.annotate(
                f"{limit:.1f}", (position, limit), (0, 4), textcoords="offset points", ha="center", color="#c2571a"
            )
        axes.set_ylim(0, 105)
        axes.set_ylabel("accuracy, %")
        axes.set_xlabel("what test samples have")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
        with replaced_file(path) as beside:
            figure.savefig(beside, format=path.suffix.removeprefix("."), dpi=150)
