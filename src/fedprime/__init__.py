"""fedprime: federated prompt-tuning of frozen multimodal models when clients' data is incomplete."""

from importlib.metadata import version

from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone, BackboneError, Tokens
from fedprime.data.batches import Batch, DataError, EmbeddedSamples, SampleSource, Shard
from fedprime.data.images import InputError, read_image
from fedprime.data.sets.builtin import BuiltinWorld
from fedprime.experiment.build import Experiment, build_experiment
from fedprime.experiment.run_folder import RunError, RunFolder
from fedprime.federation.clients import Clients
from fedprime.federation.processors import UpdateProcessor
from fedprime.federation.rounds import Round, Schedule, federate
from fedprime.methods import METHODS, Method
from fedprime.methods.aggregation.alignment import Alignment, align
from fedprime.methods.method import ServerState, Update
from fedprime.models.evaluation import Scores, predict, score
from fedprime.models.prediction import predict_samples
from fedprime.models.prompted_model import ModelError, PromptedModel
from fedprime.report import ReportError, write_report
from fedprime.runs.grid import GridError, run_grid
from fedprime.runs.run import resume_run, start_run
from fedprime.settings.plans import Plan, read_plan
from fedprime.settings.reading import read_settings
from fedprime.settings.recipes import find_plan, find_recipe
from fedprime.settings.settings import Settings, SettingsError

__version__ = version("fedprime")

__all__ = [
    "METHODS",
    "Alignment",
    "Backbone",
    "BackboneError",
    "Batch",
    "BuiltinWorld",
    "Clients",
    "DataError",
    "EmbeddedSamples",
    "Experiment",
    "GridError",
    "InputError",
    "Method",
    "ModelError",
    "Plan",
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
    "federate",
    "find_plan",
    "find_recipe",
    "load_backbone",
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
