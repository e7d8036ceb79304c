"""The verb ``evaluate`` of the command line: a finished run measured again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from fedprime.cli.stopping import importing


@dataclass(frozen=True)
class _EvaluateOptions:
    """Measures a finished run's model on every test scenario again."""

    run: tyro.conf.Positional[Path]
    """Folder of a finished run."""
    model: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Measure this saved model in the place of the run's, for example a merged one."""
    json: bool = False
    """Print JSON instead of a table."""


def evaluate(words: list[str]) -> int:
    """Measures a finished run's model on every test scenario again, or another in its place; returns the exit code."""
    options = tyro.cli(_EvaluateOptions, args=words, prog="fedprime evaluate", config=(tyro.conf.FlagCreatePairsOff,))
    with importing():
        from rich.console import Console

        from fedprime.experiment.loading import load_experiment
        from fedprime.experiment.run_folder import RunFolder
        from fedprime.report.single_run import scenario_table
        from fedprime.reproducibility.strict_json import dump_json
        from fedprime.runs.evaluators import OwnSamples, measure_model
    folder = RunFolder(options.run)
    results = folder.results()
    experiment = load_experiment(folder)
    if options.model is None:
        measured = results | OwnSamples(experiment).on_test(folder.final_checkpoint())
    else:
        measured = results | measure_model(experiment, options.model)
    if options.json:
        print(dump_json(measured, indent=2))
    else:
        Console().print(scenario_table(measured))
    return 0
