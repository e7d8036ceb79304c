"""A client behind Flower: it says which one it is, trains and measures; what it needs to know comes in the message.

An engine may keep a process for many clients, and a site keeps a worker for many messages; the experiment is built once
in each.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedprime.backbones import NAMES, backbone_plugin
from fedprime.experiment.build import Experiment
from fedprime.experiment.site import Site, build_site_experiment, measured_names
from fedprime.federation.private_scores import noisy_scores
from fedprime.federation.processors import UpdateProcessor, form_on_the_way, values_arrived
from fedprime.federation.start import start_rounds
from fedprime.federation.updates import form_problems
from fedprime.methods.method import ServerState
from fedprime.models.prompted_model import Weights
from fedprime.reproducibility.determinism import reproducible
from fedprime.reproducibility.errors import FedprimeError
from fedprime.runtime.client_state import KeptWeights
from fedprime.runtime.flower.messages import ANY_CLIENT, PARTS, Content, MessageError, pack, unpack
from fedprime.runtime.flower.processes import BACKBONE_KEY, DATA_KEY, FORMAT_KEY, NUMBER_KEY, STATE_KEY
from fedprime.runtime.local_clients import local_clients
from fedprime.runtime.processors import processors_of
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import check_settings
from fedprime.settings.recipe_tables import parse_toml
from fedprime.settings.settings import Settings

__all__ = ["BACKBONE_KEY", "DATA_KEY", "FORMAT_KEY", "NUMBER_KEY", "STATE_KEY", "answer", "app"]

_logger = logging.getLogger(__name__)

app = ClientApp()


@app.query()
def describe(message: Message, context: Context) -> Message:
    """Answers which client this is, and what the server has to know about its samples."""
    return Message(answer("query", message.content, context.node_config), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Trains from what the server sent."""
    return Message(answer("train", message.content, context.node_config), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Measures what the server sent on the client's own samples."""
    return Message(answer("evaluate", message.content, context.node_config), reply_to=message)


@dataclass(frozen=True)
class _Task:
    """A message that is what it should be, and the site that it is for."""

    site: Site
    settings: Settings
    facts: Mapping[str, Any]
    sent: Weights
    own: Mapping[str, Weights]  # what the client kept, and the residual of its last message
    disk: KeptWeights | None
    initial: Weights

    @property
    def round_number(self) -> int:
        return self.facts["round"]

    def received(self, processors: Sequence[UpdateProcessor]) -> Weights:
        """Returns a value for every parameter: what was sent, what the client kept, what everybody began with."""
        experiment = self.site.experiment
        resizable = {f"prompter.{name}" for name in experiment.model.prompter.resizable}
        expected = experiment.method.travelling(self.initial)
        if self.round_number < 0:
            start = start_rounds(experiment.method, experiment.model.task, processors)[self.round_number]
            expected = {**expected, **start.sent(expected)}
        for name in expected.keys() & self.sent.keys() & resizable:
            rows = self.sent[name].shape[:1] or (1,)
            expected[name] = torch.empty((*rows, *expected[name].shape[1:]), device="meta")
        problems = form_problems(self.sent, form_on_the_way(processors, expected))
        sent = {} if problems else values_arrived(processors, self.sent)
        # A finite step can still be so long that values are not.
        problems = problems or form_problems(sent, expected)
        if problems:
            raise MessageError(f"what the server sent is not used: {'; '.join(problems)}")
        return {**self.initial, **sent, **self.own["kept"]}


def answer(kind: str, records: RecordDict, node: Mapping[str, Any]) -> RecordDict:
    """Does what a message asks for, and returns what to reply.

    Args:
        kind: ``query``, ``train`` or ``evaluate``.
        node: What the node knows about itself.
    """
    carry_out: Callable[[_Task], Content] = {"query": _describe, "train": _train, "evaluate": _evaluate}[kind]
    try:
        content = unpack(records, () if kind == "query" else PARTS)
        settings = _settings_at_site(content.facts, node)
        with reproducible(settings.threads):
            task = _read_task(content, settings, node)
            try:
                found = carry_out(task)
            finally:
                task.site.experiment.validation.samples.save()  # the next message may be for another process
        # Repeated, so that nobody takes it for the answer to another task.
        told = {"run": task.facts["run"], "round": task.round_number, "client": task.site.client}
        return pack(Content({**found.facts, **told}, found.weights))
    except (FedprimeError, OSError) as error:
        _logger.error("%s", error)  # the server is told; here, nobody has to look for it in a traceback
        return pack(Content({"error": str(error), "client": int(node.get(NUMBER_KEY, ANY_CLIENT))}))


def _describe(task: _Task) -> Content:
    said = task.site.description()
    return Content(said | {"num_samples": 1} if _hides_itself(task) else said)


def _train(task: _Task) -> Content:
    site, settings, client = task.site, task.settings, task.site.client
    clients = local_clients(site.experiment, {client: site.shard}, settings)
    if task.own["residual"]:
        clients.residuals[client] = task.own["residual"]
    state = ServerState(task.received(processors_of(site.experiment.method, settings)))
    (update,) = clients.train_from_arrived(task.round_number, (client,), state)
    own = {"kept": clients.kept.get(client, {}), "residual": clients.residuals.get(client, {})}
    if task.disk is not None:
        # A client that diverged keeps what it had.
        lasting = _joined({**own, "kept": own["kept"] or task.own["kept"]})
        if lasting:
            task.disk.save(task.round_number, lasting)
        own = {"kept": {}, "residual": {}}
    facts = {"num_samples": update.num_samples, "metrics": dict(update.metrics)}
    if _hides_itself(task) and task.round_number >= 0:
        facts = {"num_samples": 1, "metrics": {}}  # the server uses neither
    return Content(facts, {"sent": dict(update.weights), **own})


def _evaluate(task: _Task) -> Content:
    names = task.facts["names"]
    scores = task.site.measure(task.received(()), names)
    if _hides_itself(task):
        privacy, num_clients = task.settings.privacy, task.settings.partition.num_clients
        asked = sorted(measured_names(task.site.experiment.model.backbone.modalities)) if names is None else names
        return Content({"scores": noisy_scores(scores, asked, privacy, num_clients)})
    return Content({"scores": scores})


def _hides_itself(task: _Task) -> bool:
    """Says whether nothing that is this site's alone may be told without noise."""
    return task.settings.privacy.is_on and task.settings.runtime.kind == "deployment"


def _joined(parts: Mapping[str, Weights]) -> Weights:
    """Returns the values of several parts as those of one file."""
    return {f"{part}/{name}": value for part, weights in parts.items() for name, value in weights.items()}


def _parted(joined: Weights) -> dict[str, Weights]:
    parts: dict[str, Weights] = {"kept": {}, "residual": {}}
    for name, value in joined.items():
        part, _, own = name.partition("/")
        parts[part][own] = value
    return parts


def _settings_at_site(facts: Mapping[str, Any], node: Mapping[str, Any]) -> Settings:
    """Returns the settings of a task; nobody but the site says which of its folders are read."""
    checked = {"settings": str, "run": str, "round": int, "client": int}
    wrong = [name for name, kind in checked.items() if type(facts.get(name)) is not kind]
    if wrong:
        raise MessageError(f"{', '.join(wrong)} of the task is not what it should be; do both sides run one version?")
    try:
        tables = parse_toml(facts["settings"])
    except SettingsError as error:
        raise MessageError(f"the settings of the task are not TOML: {error}") from error
    settings = check_settings(tables)
    if STATE_KEY not in node:
        return settings
    name, own_format = settings.data.name, node.get(FORMAT_KEY)
    if DATA_KEY in node and name != own_format:
        raise SettingsError(
            f"the run is on {name}, this site's data is {own_format}; start this client with --format {name}"
        )
    if DATA_KEY not in node and settings.data.path:
        raise SettingsError(f"the run is on {name}; start this client with --data FOLDER --format {name}")
    # What stands after the colon of a package's backbone may be a folder.
    is_here = settings.backbone in ("auto", *NAMES) or backbone_plugin(settings.backbone) == settings.backbone
    if BACKBONE_KEY not in node and not is_here:
        raise SettingsError(f"the run is around {settings.backbone}; start this client with --backbone FOLDER")
    return settings


def _read_task(content: Content, settings: Settings, node: Mapping[str, Any]) -> _Task:
    facts = content.facts
    client = int(node[NUMBER_KEY])
    if facts["client"] not in (client, ANY_CLIENT):
        raise MessageError(f"the task is for client {facts['client']}, this is client {client}")
    # A message may be tampered with, but its name of the run must not lead out of the folder.
    if not re.fullmatch(r"[0-9a-f]{1,64}", facts["run"]):
        raise MessageError(f"the run is called {facts['run']!r}, expected hexadecimal digits")
    path = str(node.get(DATA_KEY, ""))
    backbone = str(node.get(BACKBONE_KEY, ""))
    experiment, initial = _experiment(facts["settings"], client if path else 0, path, backbone)
    site = Site(client, experiment, bool(path))
    if not path and client >= len(experiment.holders):
        raise SettingsError(f"this is client {client}, the run has clients 0 to {len(experiment.holders) - 1}")
    own, disk = {part: content.weights.get(part, {}) for part in ("kept", "residual")}, None
    if STATE_KEY in node:
        disk = KeptWeights(Path(str(node[STATE_KEY])) / facts["run"] / str(client))
        own = _parted(disk.before(facts["round"]))
    return _Task(site, settings, facts, content.weights.get("sent", {}), own, disk, initial)


@lru_cache(maxsize=1)  # of two experiments, only one is kept in memory
def _experiment(settings_toml: str, client: int, data_path: str, backbone: str) -> tuple[Experiment, Weights]:
    """Returns what the client trains in, and the weights that everybody begins with."""
    experiment = build_site_experiment(check_settings(parse_toml(settings_toml)), client, data_path, backbone)
    initial = experiment.method.initial_state(experiment.model, len(experiment.holders))
    return experiment, initial.shared
