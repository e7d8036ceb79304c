"""Clients behind a Flower grid: whichever node a client is on, it is known by its own number."""

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from flwr.app import Message

from fedprime.experiment.site import measured_names
from fedprime.federation.processors import UpdateProcessor, values_sent
from fedprime.federation.start import start_rounds
from fedprime.federation.traffic import size_bytes
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.prompted_model import Weights
from fedprime.reproducibility.errors import quoted
from fedprime.runtime.flower.exchange import Exchange, Grid, SiteError
from fedprime.runtime.flower.messages import ANY_CLIENT, PARTS, MessageError
from fedprime.runtime.flower.schema import (
    Description,
    Measured,
    NoisyMeasured,
    Trained,
    disagreement,
)
from fedprime.runtime.processors import processors_of
from fedprime.settings.reading import dump_toml
from fedprime.settings.settings import Settings

_logger = logging.getLogger(__name__)
_POLL_SECONDS = 1.0
#: Whoever runs a site may have mended it.
_ASK_AGAIN_SECONDS = 60.0


class GridClients:
    """The clients of a run, on the nodes of a Flower grid.

    Node ids are random, so every node is asked once which client it is. Of two nodes that say they are the same one,
    neither is believed. Whatever the answer of one client is, only that client is left out for it.

    Attributes:
        kept: By client, its trained values that do not travel, where clients have no disk of their own.
        residuals: By client, what rounding held back of its last message, likewise.
        descriptions: By client that was found, what it said about itself.
        failures: By client whose last answer could not be used, why.
    """

    def __init__(
        self,
        grid: Grid,
        method: Method,
        settings: Settings,
        num_clients: int,
        *,
        run_id: str,
        check: Callable[[], None] = lambda: None,
        tell: Callable[[str], object] = _logger.warning,
    ) -> None:
        """Takes the parts; nobody is asked yet.

        Args:
            settings: The settings of the run; they travel with every message.
            run_id: Hexadecimal digits that tell this run from others.
            check: Raises an error if the engine has failed; called while waiting.
            tell: Is told once of each client that is not used, and why.
        """
        self._grid = grid
        self._method = method
        self._processors = processors_of(method, settings)
        self._start = start_rounds(method, "one_class", self._processors)  # what travels does not depend on the task
        self._settings = settings
        self._num_clients = num_clients
        self._check = check
        facts = {"settings": dump_toml(settings), "run": run_id}
        self._exchange = Exchange(grid, facts, num_clients, settings.runtime.deadline_seconds, check)
        self._nodes: dict[int, int] = {}  # by client
        self._refused: dict[int, float] = {}  # by node, when
        self.kept: dict[int, Weights] = {}
        self.residuals: dict[int, Weights] = {}
        self.descriptions: dict[int, dict[str, Any]] = {}
        self.failures: dict[int, str] = {}
        self._disagreed: dict[int, str] = {}  # by client that was put aside, why
        self._agreed: dict[str, Any] = {}
        self._tell, self._told = tell, dict[str, str]()

    def __len__(self) -> int:
        return self._num_clients

    def find(self, clients: Collection[int], needed: int) -> None:
        """Finds out which node each client is on; waits for them as long as the settings say."""
        patience = time.monotonic() + self._settings.runtime.wait_seconds
        while True:
            self._check()
            online = set(self._grid.get_node_ids())
            self._nodes = {client: node for client, node in self._nodes.items() if node in online}
            lately = time.monotonic() - _ASK_AGAIN_SECONDS
            refused = {node for node, when in self._refused.items() if when > lately}
            self._ask_who_they_are(online - set(self._nodes.values()) - refused)
            found = self._nodes.keys() & set(clients)
            if len(found) >= needed or time.monotonic() > patience:
                return
            time.sleep(_POLL_SECONDS)

    def agree_on(self, facts: Mapping[str, Any]) -> None:
        """Puts aside every client that says something else about itself, now or when it comes."""
        self._agreed = dict(facts)
        for client, said in list(self.descriptions.items()):
            reason = disagreement(said, self._agreed)
            if reason:
                del self.descriptions[client]
                self._refuse(self._nodes.pop(client, None), client, reason)

    def train(self, round_number: int, clients: Sequence[int], state: ServerState) -> list[Update]:
        """Lets clients train at the same time; one that fails or is late is logged and left out."""
        quorum = self._settings.runtime.quorum
        self.find(clients, len(clients) if not self._nodes else max(1, math.ceil(quorum * len(clients))))
        weights = {client: self._parts(client, state.answer(client), self._processors) for client in clients}
        answers = self._ask("train", round_number, weights, {})
        self.failures = {
            client: self._disagreed.get(client, "it is not connected")
            for client in sorted(set(clients) - answers.keys())
        }
        updates: list[Update] = []
        for client, answer in sorted(answers.items()):
            try:
                expected = state.answer(client) if round_number >= 0 else self._start[round_number].form(state.shared)
                most = size_bytes(self._method.travelling(expected)) if self._is_deployment else None
                said, weights_of = self._exchange.read(answer, client, round_number, Trained, PARTS, most)
                updates.append(self._update(client, said, weights_of))
            except Exception as error:  # what one client sends must not end the run of all others
                self.failures[client] = _reason(error)
                _logger.warning("round %d: what client %d sent is not used: %s", round_number, client, _reason(error))
        return updates

    def evaluate(self, round_number: int, state: ServerState, names: Collection[str] | None) -> dict[int, Any]:
        """Lets every client that is there measure the weights after a round on its own samples.

        Args:
            names: Which samples, as for `fedprime.experiment.site.Site.measure`.

        Returns:
            By client that answered, scores by name of the samples.
        """
        # What is measured is the model that the server holds, and not what is left of it on a line that rounds.
        weights = {client: self._parts(client, state.answer(client), ()) for client in range(self._num_clients)}
        # What a client kept after this round is what it has before the next.
        extra = {"names": None if names is None else list(names)}
        answers = self._ask("evaluate", round_number + 1, weights, extra)
        scores: dict[int, Any] = {}
        form = NoisyMeasured if self._settings.privacy.is_on and self._is_deployment else Measured
        for client, answer in sorted(answers.items()):
            try:
                said, _ = self._exchange.read(answer, client, round_number + 1, form)
                self._refuse_unasked(said.scores, names)
                scores[client] = said.scores
            except Exception as error:  # as above
                _logger.warning("the scores of client %d are not used: %s", client, _reason(error))
        return scores

    def _refuse_unasked(self, found: Mapping[str, Any], names: Collection[str] | None) -> None:
        known = names
        if names is None and "modalities" in self._agreed:
            known = measured_names(self._agreed["modalities"])
        unknown = [name for name in found if known is not None and name not in known]
        if unknown:
            raise MessageError(f"it measured {unknown[0]!r}, and nobody asked for that")

    def _ask_who_they_are(self, nodes: Collection[int]) -> None:
        if not nodes:
            return
        replies = self._exchange.ask("query", 0, dict.fromkeys(nodes, (ANY_CLIENT, {})))
        found: dict[int, list[tuple[int, Description]]] = {}
        for node in sorted(nodes):
            try:
                said, _ = self._exchange.read(replies.get(node), ANY_CLIENT, 0, Description)
                found.setdefault(said.client, []).append((node, said))
            except Exception as error:  # as above
                self._refuse(node, error.client if isinstance(error, SiteError) else None, _reason(error))
        for client, candidates in found.items():
            if client in self._nodes or len(candidates) > 1:
                for node, _ in candidates:
                    self._refuse(
                        node,
                        client,
                        f"another node says too that it is client {client}; give every site the folder of keys, "
                        "client-N, that was made for it",
                    )
                continue
            ((node, said),) = candidates
            facts = said.model_dump(exclude={"run", "round"})
            reason = disagreement(facts, self._agreed)
            if reason:
                self._refuse(node, client, reason)
            else:
                self._nodes[client], self.descriptions[client] = node, facts
                self.failures.pop(client, None)
                self._disagreed.pop(client, None)

    def _refuse(self, node: int | None, client: int | None, reason: str) -> None:
        if node is not None:
            self._refused[node] = time.monotonic()
        if client is not None and client not in self._nodes:
            self.failures[client] = self._disagreed[client] = reason
        who = f"node {node}" if client is None else f"client {client} (node {node})"
        if self._told.get(who) != reason:
            self._told[who] = reason
            self._tell(f"{who} is not used: {reason}; it is asked again each minute")

    def _parts(self, client: int, values: Weights, processors: Sequence[UpdateProcessor]) -> dict[str, Weights]:
        sent = self._method.travelling(values)
        packed = values_sent(processors, sent)
        if self._is_deployment:
            return {"sent": packed, "kept": {}, "residual": {}}
        # A simulated client has no disk: what it keeps, and what it begins with, stays here and goes along.
        own = {name: value for name, value in values.items() if name not in sent}
        kept = {**own, **self.kept.get(client, {})}
        return {"sent": packed, "kept": kept, "residual": self.residuals.get(client, {})}

    def _ask(
        self, kind: str, round_number: int, weights: Mapping[int, dict[str, Weights]], extra: Mapping[str, Any]
    ) -> dict[int, Message | None]:
        """Sends tasks to those clients whose node is known, and returns what came back by client."""
        client_of = {node: client for client, node in self._nodes.items() if client in weights}
        tasks = {node: (client, weights[client]) for node, client in client_of.items()}
        for client in sorted(weights.keys() - self._nodes.keys()):
            _logger.warning("client %d is not connected", client)
        replies = self._exchange.ask(kind, round_number, tasks, extra)
        return {client: replies.get(node) for node, client in client_of.items()}

    def _update(self, client: int, said: Trained, weights: Mapping[str, Weights]) -> Update:
        # Under privacy, a site does not say how many samples it has.
        if not self._settings.privacy.is_on and said.num_samples > self.descriptions[client]["num_samples"]:
            raise MessageError(f"it says that it trained on {said.num_samples} samples, more than it said it has")
        if not self._is_deployment:
            for part, known in (("kept", self.kept), ("residual", self.residuals)):
                if weights[part]:
                    known[client] = weights[part]
        return Update(client, said.num_samples, weights["sent"], dict(said.metrics))

    @property
    def _is_deployment(self) -> bool:
        return self._settings.runtime.kind == "deployment"


def _reason(error: Exception) -> str:
    return quoted(error if isinstance(error, MessageError) else repr(error))
