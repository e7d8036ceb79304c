"""What is told about a run while it is made, and may end it before its last round."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedprime.data.batches import Encoded
from fedprime.runs.metrics import Progress, loss_to_choose_by


class Callback:
    """What is told about a run while it is made; a subclass overrides what it needs."""

    def values_encoded(self, encoded: Encoded) -> None:
        """Is called before the first round, again and again while the values of real data are encoded."""

    def round_finished(self, progress: Progress) -> None:
        """Is called after each round, when it is saved: an error here, as Ctrl-C, loses nothing."""

    def is_over(self, history: Sequence[Mapping[str, Any]]) -> bool:  # noqa: ARG002
        """Says after each round whether it was the last one, before all rounds of the settings are made.

        The answer follows from `history` alone: a run that was stopped and goes on asks again, with the same lines.

        Args:
            history: The lines of metrics so far, as in ``metrics.jsonl``.
        """
        return False

    def run_finished(self, results: Mapping[str, Any]) -> None:
        """Is called at the end, when the final table is saved."""


@dataclass(frozen=True)
class AfterRound(Callback):
    """Calls a function after each round."""

    function: Callable[[Progress], object]

    def round_finished(self, progress: Progress) -> None:
        """Calls the function."""
        self.function(progress)


class ProgressLine(Callback):
    """Shows how far a run is, in one line that is written over and over, in a terminal or a notebook; else nothing."""

    def __init__(self) -> None:
        self._is_seen = sys.stderr.isatty() or "ipykernel" in sys.modules
        self._length = 0

    def values_encoded(self, encoded: Encoded) -> None:
        """Says how far the values are encoded."""
        self._show(f"encoding {encoded.modality} {encoded.done:,}/{encoded.total:,}")

    def round_finished(self, progress: Progress) -> None:
        """Says how far the run is."""
        done = f"round {progress.round_number}/{progress.num_rounds}" if progress.start is None else "start"
        measured = "" if progress.accuracy is None else f", accuracy {100 * progress.accuracy:.1f} %"
        self._show(done + measured)

    def run_finished(self, results: Mapping[str, Any]) -> None:
        """Ends the line."""
        del results
        if self._is_seen:
            sys.stderr.write("\n")

    def _show(self, line: str) -> None:
        if self._is_seen:
            sys.stderr.write(f"\r{line:{self._length}}")  # over all of the line before
            sys.stderr.flush()
            self._length = len(line)


@dataclass(frozen=True)
class EarlyStopping(Callback):
    """Ends a run whose validation loss, by which the kept state is chosen, gets no better.

    Source: Prechelt. Early Stopping - But When? 1998 (his criterion UP, with a lowest loss that none of the last
    `patience` rounds has undercut).

    Attributes:
        patience: As many rounds after the one with the lowest loss a run may go on; 0 for no end.
    """

    patience: int

    def is_over(self, history: Sequence[Mapping[str, Any]]) -> bool:
        """Says whether the last round was measured, and is `patience` rounds after the best measured one.

        >>> losses = [3.0, 2.0, 2.5, 2.0]
        >>> history = [{"round": number, "validation_loss": loss} for number, loss in enumerate(losses)]
        >>> EarlyStopping(2).is_over(history), EarlyStopping(3).is_over(history)
        (True, False)
        """
        measured = [(loss_to_choose_by(line), line["round"]) for line in history if "validation_loss" in line]
        if not self.patience or not measured or measured[-1][1] != history[-1]["round"]:
            return False
        _, best_round = min(measured)
        return history[-1]["round"] - best_round >= self.patience
