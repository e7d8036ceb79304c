"""A finished run: what a report needs of it."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from fedprime.settings.reading import completed_settings

#: Settings that do not make two runs different experiments.
IGNORED = frozenset(
    (
        *("seed", "threads", "evaluation.batch_size", "evaluation.every", "runtime.kind", "runtime.processes"),
        *("runtime.stacked_clients", "runtime.deadline_seconds", "runtime.wait_seconds"),
        *("runtime.quorum", "runtime.repeats"),
    )
)

#: What stands before the names of objects that were used in the place of what settings name.
OWN_OBJECTS = "own_objects."

_DIGITS = 5


def _rounded(value: Any) -> Any:
    """Rounds a number to what is reported; a loss that is not finite becomes None."""
    if not isinstance(value, float):
        return value
    return round(value, _DIGITS) if math.isfinite(value) else None


_CONFIG = ConfigDict(extra="ignore")
Share = Annotated[float, BeforeValidator(_rounded), Field(ge=0, le=1)]
Number = Annotated[float | None, BeforeValidator(_rounded)]
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, config=_CONFIG)
class Scores:
    """How good a run was on some samples.

    Attributes:
        bayes_accuracy: The accuracy that no classifier can beat on them, where it is known.
        loss: Mean task loss; None if it was not finite.
        own_accuracy: With the label frequencies of the client that a sample belongs to; None where they are not known.
        own_bayes_accuracy: The best possible for whoever knows these frequencies, where it is known.
        majority_accuracy: Of naming the most frequent class each time; None where it was not measured.
    """

    accuracy: Share
    macro_f1: Share
    num_samples: Count
    bayes_accuracy: Share | None = None
    loss: Number = None
    own_accuracy: Share | None = None
    own_bayes_accuracy: Share | None = None
    majority_accuracy: Share | None = None


@dataclass(frozen=True, config=_CONFIG)
class PrivacySpent:
    """The bound on what a run tells about any one client.

    Attributes:
        epsilon: The bound; None if there is none, because updates were clipped without noise.
        delta: Probability with which it may be exceeded.
    """

    epsilon: Number = None
    delta: Share = 0.0


@dataclass(frozen=True, config=_CONFIG)
class Results:
    """What ``results.json`` says.

    Attributes:
        seconds: How long all rounds took.
        bytes_down: Sent by the server, in all.
        bytes_up: Sent by the clients, in all.
        sent_values: How many of the trained values travel.
        scenarios: By test scenario, the scores.
        clients: By client, the scores on its own test samples; None if it has none.
        privacy: What it tells about any one client; None if the run was not private.
        bytes_by_part: By direction, the bytes sent in all by part of the model; empty if not known.
    """

    method: str
    seed: int
    rounds: Count
    seconds: float
    bytes_down: Count
    bytes_up: Count
    trained_values: Count
    sent_values: Count
    scenarios: Annotated[dict[str, Scores], Field(min_length=1)]
    clients: dict[str, Scores | None] = Field(default_factory=dict)
    privacy: PrivacySpent | None = None
    bytes_by_part: dict[Literal["down", "up"], dict[str, Count]] = Field(default_factory=dict)

    @property
    def bytes_sent(self) -> int:
        """Sent in both directions, in all."""
        return self.bytes_down + self.bytes_up


@dataclass(frozen=True, config=_CONFIG)
class History:
    """What was measured round by round, one entry per round.

    Attributes:
        accuracy: On the validation samples; None where it was not measured.
        bayes_accuracy: The best possible on them; None where it was not measured or is not known.
        loss: Mean training loss; None where it was not finite.
        bytes: Sent in both directions.
        pool_sizes: By pool, its size after the round.
        start: How many of the entries are of the start, before the first round of training.
    """

    accuracy: tuple[Share | None, ...]
    bayes_accuracy: tuple[Share | None, ...]
    loss: tuple[Number, ...]
    bytes: tuple[Count, ...]
    pool_sizes: dict[str, tuple[Count, ...]] = Field(default_factory=dict)
    start: Count = 0

    def sizes_of(self, pool: str) -> list[int | None]:
        """Returns the size of a pool after each round; None before the end of the start, which moves no prompt."""
        before = max(0, self.start - 1)
        return [None] * before + list(self.pool_sizes[pool][before:])


@dataclass(frozen=True, config=_CONFIG)
class PromptRecord:
    """Where prompts met and how often they were chosen, by pool.

    Attributes:
        matches: Per client that took part in the last round, the centre that each of its prompts was matched to; None
            for one that was left unmatched.
        moved: By round, the share of prompts that ended in another centre than most prompts that began as they did.
        usage: By missing pattern, how often each prompt was chosen in the last round for which it is known.
    """

    matches: dict[str, tuple[tuple[Count | None, ...], ...]] = Field(default_factory=dict)
    moved: dict[str, tuple[Share | None, ...]] = Field(default_factory=dict)
    usage: dict[str, dict[str, tuple[Count, ...]]] = Field(default_factory=dict)


@dataclass(frozen=True, config=_CONFIG)
class Environment:
    """Where a run ran.

    Attributes:
        commit: Of the code; None if it was installed from a package.
        cores: How many the machine has.
        backbone: Fingerprint of the frozen backbone.
    """

    commit: str | None
    processor: str
    cores: int | None
    backbone: str


@dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    Attributes:
        place: Its folder, or the file that it was read from, for messages.
        settings: Every setting by its dotted name, and under `OWN_OBJECTS` what was used in the place of some.
        finished: The day on which it was finished, as in 2026-11-23.
        labels: By axis, the label that holds for it; empty if it belongs to no plan.
        patterns: By missing pattern, how many training samples of each client have it; empty if not known.
        prompts: What its prompts did; None if not known.
    """

    place: str
    settings: dict[str, Any]
    results: Results
    history: History
    environment: Environment
    finished: str
    labels: dict[str, str] = Field(default_factory=dict)
    patterns: dict[str, tuple[Count, ...]] = Field(default_factory=dict)
    prompts: PromptRecord | None = None


def history_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what the lines of metrics say round by round, to make a `History` of."""
    pools = rows[-1]["pool_sizes"] if rows else ()
    return {
        "accuracy": [row.get("accuracy") for row in rows],
        "bayes_accuracy": [row.get("bayes_accuracy") for row in rows],
        "loss": [row["loss"] for row in rows],
        "bytes": [row["bytes_down"] + row["bytes_up"] for row in rows],
        "start": sum(row["round"] < 0 for row in rows),
        "pool_sizes": {name: [row["pool_sizes"][name] for row in rows] for name in pools},
    }


def over_seeds(
    columns: Sequence[Sequence[float | int | None]], start: int = 0
) -> tuple[Int[np.ndarray, " round"], Float[np.ndarray, " round"], Float[np.ndarray, " round"]]:
    """Returns the rounds in which every seed has a value, with mean and standard deviation over seeds.

    Rounds of training are counted from 1, so the start ends with 0.

    Args:
        columns: By seed, what was measured in each round; None where it was not.
        start: How many of these rounds came before the first of training.

    >>> rounds, mean, deviation = over_seeds([[None, 1.0, 2.0], [0.0, 3.0, 2.0]])
    >>> rounds.tolist(), mean.tolist(), deviation.round(3).tolist()
    ([2, 3], [2.0, 2.0], [1.414, 0.0])
    """
    length = min(len(column) for column in columns)
    values = np.array([column[:length] for column in columns], dtype=float)  # None becomes NaN
    rounds = np.flatnonzero(np.isfinite(values).all(axis=0))
    values = values[:, rounds]
    deviation = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(rounds))
    return rounds + 1 - start, values.mean(axis=0), deviation


def plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings, by dotted name, as JSON gives them back, and as this version writes them down."""
    wrong = [name for name, value in settings.items() if value is not None and not _is_plain(value)]
    if wrong:
        raise ValueError(f"the setting {wrong[0]} is none that TOML could write")
    completed = completed_settings(settings)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in completed.items()}


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return isinstance(value, bool | int | float | str)


def comparable_settings(run: FinishedRun) -> dict[str, Any]:
    """Returns the settings that make a run the experiment that it is, except the seed.

    A backbone is known by its fingerprint: its folder may be called otherwise elsewhere. What a quirk of the research
    code adds to that is said by the setting already. Where a method was given as an object, no setting of method was
    used.
    """
    settings = {name: value for name, value in run.settings.items() if name not in IGNORED}
    settings.pop(f"{OWN_OBJECTS}backbone", None)
    if f"{OWN_OBJECTS}method" in settings:
        settings = {name: value for name, value in settings.items() if not name.startswith("method.")}
        settings["method.name"] = run.results.method
    return settings | {"backbone": run.environment.backbone.partition("+")[0]}
