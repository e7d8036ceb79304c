"""fedprime: federated prompt-tuning of frozen multimodal models when clients' data is incomplete.

Names are imported when they are used: importing the package itself takes hardly any time.
"""

import importlib
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedprime.backbones import load_backbone
    from fedprime.backbones.backbone import Backbone, BackboneError, Tokens
    from fedprime.data.batches import Batch, EmbeddedSamples, Shard
    from fedprime.data.images import InputError, read_image
    from fedprime.data.sets.builtin import BuiltinWorld
    from fedprime.data.sources import DataError, SampleSource
    from fedprime.experiment.build import Experiment, build_experiment
    from fedprime.experiment.embedded_data import open_data
    from fedprime.experiment.loading import load_experiment
    from fedprime.experiment.missingness import ClientSamples, draw_missingness
    from fedprime.experiment.partitioning import Partition, partition
    from fedprime.experiment.run_folder import RunError, RunFolder
    from fedprime.federation.clients import Clients
    from fedprime.federation.local_training import LocalTraining
    from fedprime.federation.processors import UpdateProcessor
    from fedprime.federation.rounds import Round, Schedule, federate
    from fedprime.methods import METHODS
    from fedprime.methods.aggregation.alignment import Alignment, align
    from fedprime.methods.method import Method, ServerState, Update
    from fedprime.models.evaluation import Scores, predict, score
    from fedprime.models.model_folder import ModelError
    from fedprime.models.prediction import predict_samples
    from fedprime.models.prompted_model import PromptedModel
    from fedprime.report.collection import ReportError
    from fedprime.report.writing import write_report
    from fedprime.reproducibility.errors import FedprimeError
    from fedprime.runs.callbacks import AfterRound, Callback, EarlyStopping
    from fedprime.runs.grid import GridError, run_grid
    from fedprime.runs.merging import Merged, merge_models
    from fedprime.runs.metrics import Progress
    from fedprime.runs.predictor import FederatedPredictor
    from fedprime.runs.run import complete_run, resume_run, start_run
    from fedprime.runtime.in_process import InProcessClients
    from fedprime.settings.plans import Plan, read_plan
    from fedprime.settings.problems import SettingsError
    from fedprime.settings.reading import read_settings
    from fedprime.settings.recipes import find_plan, find_recipe
    from fedprime.settings.settings import Settings

__all__ = [
    "METHODS",
    "AfterRound",
    "Alignment",
    "Backbone",
    "BackboneError",
    "Batch",
    "BuiltinWorld",
    "Callback",
    "ClientSamples",
    "Clients",
    "DataError",
    "EarlyStopping",
    "EmbeddedSamples",
    "Experiment",
    "FederatedPredictor",
    "FedprimeError",
    "GridError",
    "InProcessClients",
    "InputError",
    "LocalTraining",
    "Merged",
    "Method",
    "ModelError",
    "Partition",
    "Plan",
    "Progress",
    "PromptedModel",
    "ReportError",
    "Round",
    "RunError",
    "RunFolder",
    "SampleSource",
    "Schedule",
    "Scores",
    "ServerState",
    "Settings",
    "SettingsError",
    "Shard",
    "Tokens",
    "Update",
    "UpdateProcessor",
    "align",
    "build_experiment",
    "complete_run",
    "draw_missingness",
    "federate",
    "find_plan",
    "find_recipe",
    "load_backbone",
    "load_experiment",
    "merge_models",
    "open_data",
    "partition",
    "predict",
    "predict_samples",
    "read_image",
    "read_plan",
    "read_settings",
    "resume_run",
    "run_grid",
    "score",
    "start_run",
    "write_report",
]


@cache
def _places() -> dict[str, str]:
    """Returns by name the module that it comes from: the imports above are read, so that they stand here once."""
    import ast
    from pathlib import Path

    imports = [node for node in ast.walk(ast.parse(Path(__file__).read_text())) if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("fedprime")
    if name not in __all__:
        raise AttributeError(f"module 'fedprime' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_places()[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), "__version__", *__all__})
