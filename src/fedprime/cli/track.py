"""The verb ``track`` of the command line: finished runs are sent to trackers of experiments."""

import sys
from pathlib import Path

from fedprime.cli.stopping import importing
from fedprime.reproducibility.errors import counted
from fedprime.runs.trackers import TRACKERS, refuse_missing_trackers
from fedprime.settings.flags import take_values
from fedprime.settings.problems import SettingsError

_HELP = f"""\
usage: fedprime track RUNS ... --to TRACKER ...

Sends finished runs to trackers of experiments: settings, what was measured after each round, the final table, the saved
model. What a tracker has already, it does not get again. Runs that are being made: fedprime run --track, grid --track.

  RUNS              run folders, folders that contain some at any depth, folders of grids
  --to TRACKER ...  {", ".join(TRACKERS)}; each is installed by: pip install "fedprime[TRACKER]"

Nothing leaves this machine unless the environment says so: MLFLOW_TRACKING_URI, WANDB_MODE=online, TRACKIO_SPACE_ID.
Scores of single clients are not sent from private runs and runs of sites (docs/tracking.md).

For example: fedprime track runs/main --to tensorboard mlflow

Exit code: 0 when all is sent, 1 when something had to be left out, 2 when nothing could be sent."""


def track_runs(words: list[str]) -> int:
    """Sends finished runs to trackers, as asked for on a command line, and returns the exit code."""
    if "--help" in words or "-h" in words:
        print(_HELP)
        return 0
    trackers = take_values(words, "--to", "--to tensorboard")
    unknown = [word for word in words if word.startswith("-")]
    if unknown:
        raise SettingsError(f"{unknown[0]} is not a flag of fedprime track (--to)")
    if not words or not trackers:
        raise SettingsError("name runs and trackers, for example: fedprime track runs/main --to tensorboard")
    refuse_missing_trackers(trackers)
    with importing():
        from fedprime.report.load import find_runs
        from fedprime.runs.tracking import Tracking
    problems: list[str] = []
    num_sent = 0
    for path in map(Path, words):
        sets, left_out = find_runs([path])
        problems += left_out
        for run in (run for found in sets for run in found.runs):
            if not Path(run.place).is_dir():
                problems.append(f"{run.place} is the file of a report, which has no run folders; name the folders")
                continue
            with Tracking(Path(run.place), trackers, path, run.labels) as tracking:
                pass  # what there is, is sent at the end
            num_sent += not tracking.failures
            problems += [f"{run.place}: {name} failed" for name in tracking.failures]
    for problem in problems:
        print(f"fedprime: left out: {problem}", file=sys.stderr)
    print(f"{counted(num_sent, 'run')} sent to {', '.join(dict.fromkeys(trackers))}")
    return (1 if num_sent else 2) if problems else 0
