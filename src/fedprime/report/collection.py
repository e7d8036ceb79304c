"""Which runs belong together, and what they are called: every run of a report has one label on each axis."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedprime.methods import METHODS
from fedprime.report.finished_runs import OWN_OBJECTS, FinishedRun, comparable_settings
from fedprime.report.load import find_runs
from fedprime.report.runs_file import RunSet
from fedprime.reproducibility.errors import FedprimeError, counted

#: The axis whose labels are compared with each other, where there is one of this name.
METHOD = "method"

# In runs of no plan, these make two worlds rather than two treatments in one.
_SAME_WORLD = ("evaluation.rate", "data.", f"{OWN_OBJECTS}source")
_MAY_DIFFER = "data.num_train"


class ReportError(FedprimeError):
    """Runs that cannot be reported, or not together, or not there."""


@dataclass(frozen=True)
class Collection:
    """Runs that belong together.

    Attributes:
        axes: By name, the labels in order; at least one axis.
        runs: All runs, labelled, in the order of labels, then of seeds.
        kept: The same as they are kept in ``runs.json``: runs of no plan without labels.
        problems: One line on everything that was left out.
        notes: One line on everything else worth knowing.
    """

    axes: Mapping[str, tuple[str, ...]]
    runs: tuple[FinishedRun, ...]
    kept: RunSet
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def compared(self) -> str:
        """The axis whose labels are compared: that of methods, or the first."""
        return METHOD if METHOD in self.axes else next(iter(self.axes))


def collect_runs(paths: Sequence[Path]) -> Collection:
    """Finds finished runs, makes sure that they belong together, and gives each its labels.

    Args:
        paths: As for `find_runs`.

    Raises:
        ReportError: If there are none, or they do not belong together; with every reason, naming the folders.
    """
    sets, problems = find_runs(paths)
    if not sets:
        raise ReportError("\n".join([*problems, "nothing is left to report"]))
    runs, notes = _without_duplicates(_joined(sets), problems)
    _refuse_strangers(runs)
    axes, labelled = dict(runs.axes or {}), list(runs.runs)
    if runs.axes is None:
        axes, labelled, more_notes = _labelled_by_settings(runs.runs)
        notes += more_notes
    if not axes:
        axes = {METHOD: tuple(dict.fromkeys(run.results.method for run in labelled))}
        labelled = [replace(run, labels={METHOD: run.results.method}) for run in labelled]
    axes = {
        axis: tuple(label for label in labels if any(run.labels.get(axis) == label for run in labelled))
        for axis, labels in axes.items()
    }

    def order(run: FinishedRun) -> tuple[int, ...]:
        return (*(axes[axis].index(label) for axis, label in run.labels.items()), run.results.seed)

    labelled = _with_details_of_first_seeds(sorted(labelled, key=order))
    known = None if runs.axes is None else {axis: axes[axis] for axis in runs.axes}
    kept = tuple(labelled) if runs.axes else tuple(replace(run, labels={}) for run in labelled)
    return Collection(axes, tuple(labelled), RunSet(kept, known, runs.varied), tuple(problems), tuple(notes))


def in_words(labels: Mapping[str, str]) -> str:
    """Returns labels, by axis, as one phrase.

    >>> in_words({"trained on": "miss text", "missing rate": "0.5"})
    'trained on miss text, missing rate 0.5'
    """
    return ", ".join(f"{axis} {label}" for axis, label in labels.items())


def _joined(sets: Sequence[RunSet]) -> RunSet:
    """Returns all runs as one set: those of several grids with the same axes have all their labels."""
    first = sets[0]
    for other in sets[1:]:
        if (first.axes is None) != (other.axes is None) or set(first.axes or ()) != set(other.axes or ()):
            raise ReportError(
                f"{first.runs[0].place} and {other.runs[0].place} do not belong together: the former has "
                f"{_axes(first)}, the latter {_axes(other)}; report them separately"
            )
    joined = tuple(run for runs in sets for run in runs.runs)
    if first.axes is None:
        return RunSet(joined, None)
    axes = {
        axis: tuple(dict.fromkeys(label for runs in sets for label in (runs.axes or {})[axis])) for axis in first.axes
    }
    in_order = tuple(replace(run, labels={axis: run.labels[axis] for axis in axes}) for run in joined)
    return RunSet(in_order, axes, frozenset[str]().union(*(runs.varied for runs in sets)))


def _axes(runs: RunSet) -> str:
    return "no plan" if runs.axes is None else f"the axes {', '.join(runs.axes) or '(none)'}"


def _without_duplicates(runs: RunSet, problems: list[str]) -> tuple[RunSet, list[str]]:
    """Counts a run that is given twice once; says so where its results are not the same."""
    known: dict[str, FinishedRun] = {}
    twice: list[tuple[str, str]] = []
    for run in runs.runs:
        what = comparable_settings(run) if runs.axes is None else run.labels
        key = json.dumps([what, run.results.seed], sort_keys=True)
        other = known.setdefault(key, run)
        if other is run:
            continue
        differing = _differences([other, run])
        if differing:
            raise ReportError(
                f"{other.place} and {run.place} have the same labels and seed but do not belong together: "
                f"{'; '.join(differing)}; report them separately"
            )
        if other.results.scenarios != run.results.scenarios:
            commits = f"(commits {other.environment.commit} and {run.environment.commit})"
            problems.append(
                f"{run.place} has the settings and seed of {other.place} but other results {commits}; it is left out: "
                "name only one of them"
            )
        else:
            twice.append((other.place, run.place))
    notes = []
    if twice:
        example = f"{twice[0][0]} and {twice[0][1]}"
        are = "is" if len(twice) == 1 else "are"
        notes.append(
            f"{counted(len(twice), 'run')} {are} there twice with the same results, each to count once, for example "
            f"{example}"
        )
    return replace(runs, runs=tuple(known.values())), notes


def _refuse_strangers(runs: RunSet) -> None:
    """Refuses runs of other worlds, and in a plan whatever its labels do not stand for."""
    if runs.axes is None:
        differing = _differences(runs.runs, lambda name: name.startswith(_SAME_WORLD) and name != _MAY_DIFFER)
    else:
        # What a plan says of a method by name decides its other settings, too: its class has defaults of its own.
        decides = bool(runs.varied & {"method.name", "method.paper"})

        def is_varied(name: str) -> bool:
            return name in runs.varied or (decides and name.startswith("method."))

        differing = _differences(runs.runs, lambda name: not is_varied(name))
        by_labels: dict[tuple[str, ...], list[FinishedRun]] = {}
        for run in runs.runs:
            by_labels.setdefault(tuple(run.labels.values()), []).append(run)
        differing += [text for same in by_labels.values() for text in _differences(same, is_varied)]
    if differing:
        lines = [f"  {text}" for text in differing]
        raise ReportError("\n".join(["these runs do not belong together; report them separately:", *lines]))


def _differences(runs: Sequence[FinishedRun], counts: Callable[[str], bool] = lambda _: True) -> list[str]:
    """Returns for every setting that differs which runs have which value."""
    settings = [comparable_settings(run) for run in runs]
    texts: list[str] = []
    for name in dict.fromkeys(name for of_run in settings for name in of_run if counts(name)):
        places: dict[str, list[str]] = {}
        for run, of_run in zip(runs, settings, strict=True):
            if not _lacks(of_run, name):
                places.setdefault(repr(of_run.get(name)), []).append(run.place)
        if len(places) > 1:
            parts = [
                f"{value} in {where[0]}{f' and {len(where) - 1} more' if len(where) > 1 else ''}"
                for value, where in places.items()
            ]
            texts.append(f"{name} is {', '.join(parts)}")
    return texts


def _labelled_by_settings(
    runs: Sequence[FinishedRun],
) -> tuple[dict[str, tuple[str, ...]], list[FinishedRun], list[str]]:
    """Makes the settings in which runs of no plan differ their axes; what the method's name decides is none."""
    settings = [comparable_settings(run) for run in runs]
    names = list(dict.fromkeys(name for of_run in settings for name in of_run))
    names.sort(key=lambda name: name == "method.name")  # the method last, as tables show it
    axes: dict[str, tuple[str, ...]] = {}
    notes: list[str] = []
    labels: list[dict[str, str]] = [{} for _ in runs]
    for name in names:
        values = [_label(of_run.get(name), name, run) for of_run, run in zip(settings, runs, strict=True)]
        if len({value for value, own in zip(values, settings, strict=True) if not _lacks(own, name)}) <= 1:
            continue
        methods = [of_run["method.name"] for of_run in settings]
        if name != "method.name" and len(set(zip(methods, values, strict=True))) == len(set(methods)):
            by_method = dict(zip(methods, values, strict=True))
            notes.append(f"{name} differs with the method: {', '.join(f'{m}: {v}' for m, v in by_method.items())}")
            continue
        axis = METHOD if name == "method.name" else name
        axes[axis] = tuple(sorted(set(values), key=_label_order))
        for own, value in zip(labels, values, strict=True):
            own[axis] = value
    return axes, [replace(run, labels=own) for run, own in zip(runs, labels, strict=True)], notes


def _lacks(settings: Mapping[str, Any], name: str) -> bool:
    """Says whether a run's method has no such setting; a run does not differ in what it cannot have."""
    return name.startswith("method.") and settings.get(name) is None


def _label(value: Any, name: str, run: FinishedRun) -> str:
    if name == "backbone":
        return f"{Path(run.settings[name]).name} {value}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "all"
    return str(value) if value not in ("", None) else "none"


def _label_order(label: str) -> tuple[int, float, str]:
    if label in METHODS:
        return 0, float(list(METHODS).index(label)), label
    try:
        return 1, float(label), label
    except ValueError:
        return 2, 0.0, label


def _with_details_of_first_seeds(runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    """Keeps what is known per client, and of prompts, of the first seed of all that have the same labels."""
    seen: set[tuple[str, ...]] = set()
    kept: list[FinishedRun] = []
    for run in runs:
        labels = tuple(run.labels.values())
        clients, prompts = ("clients", *labels), ("prompts", *labels)
        if not run.results.clients or clients in seen:
            run = replace(run, patterns={}, results=replace(run.results, clients={}))
        else:
            seen.add(clients)
        if run.prompts is None or prompts in seen:
            run = replace(run, prompts=None)
        else:
            seen.add(prompts)
        kept.append(run)
    return kept
