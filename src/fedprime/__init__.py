"""fedprime: federated prompt-tuning of frozen multimodal models when clients' data is incomplete."""

from importlib.metadata import version

from fedprime.alignment import Alignment, align
from fedprime.backbones import load_backbone
from fedprime.backbones.backbone import Backbone, BackboneError, Tokens
from fedprime.checkpoints import RunError, RunFolder
from fedprime.config import Settings, SettingsError
from fedprime.data.batches import Batch, DataError, EmbeddedSamples, SampleSource, Shard
from fedprime.data.builtin import BuiltinWorld
from fedprime.data.images import InputError, read_image
from fedprime.evaluation import Scores, predict, score
from fedprime.experiment import Experiment, build_experiment
from fedprime.federation import Clients, Round, federate
from fedprime.grid import GridError, run_grid
from fedprime.methods import METHODS, Method
from fedprime.methods.method import ServerState, Update
from fedprime.model import ModelError, PromptedModel
from fedprime.plans import Plan, read_plan
from fedprime.prediction import predict_samples
from fedprime.recipes import find_plan, find_recipe
from fedprime.report import ReportError, write_report
from fedprime.run import resume_run, start_run
from fedprime.settings_reading import read_settings

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
    "Scores",
    "ServerState",
    "Settings",
    "SettingsError",
    "Shard",
    "Tokens",
    "Update",
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
