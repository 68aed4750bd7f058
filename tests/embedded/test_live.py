"""Live drills on the embedded stack: a process plays the on-call person, and each run is judged for what it was.

Everything is real: servers, fault, load, alert, the plain commands, and the time that people take.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from drill_root import Result, wait_for
from embedded_root import EmbeddedRoot

pytestmark = pytest.mark.embedded

RESPONDER = Path(__file__).parents[1] / "helpers" / "responder.py"
POLICY = """
policy: live
document: {file: live.md, cite: Live, title: Live}
severities:
  SEV-1:
    name: Critical
    source: Times
    response: {sop: soon, limit: RESPONSE, source: Times}
    detect: {sop: soon, limit: 100s, source: Times}
    mitigate: {sop: soon, limit: 100s, source: Times}
    recover: {sop: soon, limit: 110s, source: Times}
"""


class Team:
    """A live run of the drill of a dead database, and who answers it."""

    def __init__(self, root: EmbeddedRoot, response: str = "100s", limit: str = "120s") -> None:
        self.root = root
        policy = root.folder / "live.yml"
        policy.write_text(POLICY.replace("RESPONSE", response), encoding="utf-8")
        options = ["--drill-mode", "live", "--drill-policy", str(policy), "--drill-limit", limit]
        self.process = root.start(root.drill("database-down.yml"), *options)

    def plays(self, *plan: str) -> subprocess.CompletedProcess[str]:
        wait_for(lambda: bool(list(self.root.folder.glob(".sevdrill/journal/*.now"))), "the drill to run", 120)
        return subprocess.run(
            [sys.executable, RESPONDER, *plan],
            cwd=self.root.folder,
            env={**os.environ},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def ends(self) -> Result:
        return self.root.finish(self.process, 180)


def lines(result: Result, kind: str) -> list[dict[str, Any]]:
    (path,) = result.folder.glob("*/timeline.jsonl")
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in found if line["type"] == kind]


def test_people_who_answer_in_time_pass(whole_stack: EmbeddedRoot) -> None:
    team = Team(whole_stack)
    played = team.plays("paged", "ack", "talk", "restart", "healthy", "mitigated")
    result = team.ends()
    assert played.returncode == 0, played.stderr + result.output
    assert result.outcome == "passed", (result.reasons, played.stdout, result.output)
    assert {"mttd", "mtta", "mttm", "mttr"} <= result.drill["times"].keys()
    assert "on the timeline: Ana: ack" in played.stdout
    said = [(line["by"], line["does"], line["what"], line["text"]) for line in lines(result, "person")]
    assert said == [
        ("Ana", "ack", "", ""),
        ("Ana", "role", "commander", ""),
        ("Ben", "note", "", "the database is gone"),
        ("Ana", "announce", "investigating", ""),
        ("Ana", "mitigated", "", ""),
    ]
    # Whom the SOP brings in is told as well, by nobody.
    assert [line["by"] for line in lines(result, "message") if line["status"] != "escalated"] == ["Ana"]
    assert lines(result, "step") == []


def test_a_late_acknowledgement_misses_the_response_time(whole_stack: EmbeddedRoot) -> None:
    team = Team(whole_stack, response="1s")
    played = team.plays("paged", "restart", "wait:1", "ack", "healthy", "mitigated")
    result = team.ends()
    assert played.returncode == 0, played.stderr + result.output
    assert result.outcome == "failed"
    assert result.reasons.startswith('respond: the limit is 1s (Live, "Times"), measured '), result.reasons
    assert " | " not in result.reasons


def test_a_page_that_nobody_answers_fails_and_is_undone(whole_stack: EmbeddedRoot) -> None:
    team = Team(whole_stack, limit="8s")
    result = team.ends()
    assert result.outcome == "failed"
    for mark in ("responded", "mitigated", "recovered"):
        assert f"never {mark}" in result.reasons
    assert not result.drill["dirty"]


def test_what_is_called_mitigated_too_early_fails(whole_stack: EmbeddedRoot) -> None:
    team = Team(whole_stack)
    played = team.plays("paged", "ack", "mitigated", "wait:8", "restart")
    result = team.ends()
    assert played.returncode == 0, played.stderr + result.output
    assert result.outcome == "failed"
    assert "mitigated: Ana said so after" in result.reasons
    assert "never mitigated" in result.reasons
    assert "mttr" in result.drill["times"]


def test_a_drill_that_is_stopped_is_aborted_and_undone(whole_stack: EmbeddedRoot) -> None:
    team = Team(whole_stack)
    played = team.plays("paged", "ack", "stop")
    result = team.ends()
    assert "stopped; everything is undone" in played.stdout, played.stderr
    assert result.outcome == "aborted"
    assert "stopped by `sevdrill stop`" in result.reasons
    assert "mtta" in result.drill["times"]
