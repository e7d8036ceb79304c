"""A deployment seen by its server: when a run has ended, and when it has failed."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from fedprime.cli import deployment
from fedprime.experiment.run_folder import RunError
from fedprime.settings.settings import Settings


class Running:
    """A SuperLink's process that has not ended."""

    def poll(self) -> None:
        return None


@dataclass
class SlowLink:
    """A SuperLink that says that the run has ended; the app says so too while the answer is on its way, if it does."""

    outcome: Path
    app_says_so: bool
    process: Running

    def status(self, _: str) -> str:
        if self.app_says_so:
            self.outcome.write_text(json.dumps({"attempt": "1", "error": None}))
        return "finished:completed"


def test_who_is_left_out_of_a_round_is_said_while_it_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """The app that notices it writes to a log of Flower's, which nobody watches."""
    line = {"loss": 1.0, "bytes_down": 0, "bytes_up": 0}
    seen: list[int] = []

    class Link(SlowLink):
        def status(self, _: str) -> str:
            if (tmp_path / "run").exists():
                self.outcome.write_text(json.dumps({"attempt": "1", "error": None}))
                return "running"
            (tmp_path / "run").mkdir()
            (tmp_path / "run" / "settings.toml").touch()
            rows = [
                line | {"round": 0, "left_out": {}},
                line | {"round": 1, "left_out": {"4": "it says: No space left on device\x1b[2J"}},
            ]
            (tmp_path / "refused.log").write_text("client 3 (node 7) is not used: it has one class\nclient 2 is n")
            (tmp_path / "run" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            return "running"

    monkeypatch.setattr(deployment, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(deployment, "_STATUS_SECONDS", 0.0)
    outcome = tmp_path / "outcome.json"
    link = Link(outcome, False, Running())
    watch = lambda progress: seen.append(progress.round_number)  # noqa: E731
    deployment._follow(link, "7", Settings(), tmp_path / "run", outcome, "1", watch)
    assert seen == [2]
    assert caplog.messages == [
        "round 2: client 4 is left out: it says: No space left on device[2J",
        "client 3 (node 7) is not used: it has one class",
    ]


@pytest.mark.parametrize("app_says_so", [True, False])
def test_a_run_that_ends_while_flower_is_asked_has_not_failed(
    app_says_so: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(deployment, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(deployment, "_STATUS_SECONDS", 0.0)
    outcome = tmp_path / "outcome.json"
    link = SlowLink(outcome, app_says_so, Running())
    words = (link, "7", Settings(), tmp_path / "run", outcome, "1", lambda _: None)
    if app_says_so:
        deployment._follow(*words)
    else:
        with pytest.raises(RunError, match="Flower says that the run is finished:completed"):
            deployment._follow(*words)


def test_a_site_that_is_not_let_in_is_told_what_that_may_be(tmp_path: Path):
    (tmp_path / "supernode.log").write_text("INFO: SuperNode terminated gracefully.\n")
    assert "does the clock of this machine agree with the server's" in deployment._reason(tmp_path / "supernode.log")
    (tmp_path / "supernode.log").write_text("x\n[code: 2004] Failed to activate SuperNode\n")
    assert deployment._reason(tmp_path / "supernode.log") == "[code: 2004] Failed to activate SuperNode"
