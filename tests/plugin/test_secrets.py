"""Secrets are planted wherever a stack, a drill or this machine may hold one; nothing that a run leaves has them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import secrets_planted
from secrets_planted import KNOWN, LEAK, PEM, PLANTED

pytest_plugins = ["pytester"]

COMPOSE = """
x-sevdrill: {target: staging, entry: "http://app:3000"}
services: {app: {image: app}, db: {image: db}}
"""
DRILL = f"""
drill: Leaky database
severity: SEV-1
about: {json.dumps(LEAK)}
runbook: {json.dumps(LEAK)}
load: {{locustfile: x.py, ledger: orders}}
steady_state:
  hold: 150ms
  every: 20ms
  probes:
    - {{probe: load, error_rate: {{below: 1%}}}}
inject: [{{fault: container.kill, service: db}}]
detect: [{{alert: DatabaseDown}}]
respond:
  - {{action: announce, status: investigating, text: {json.dumps(LEAK)}}}
  - {{action: restart, service: db, timeout: 300ms}}
verify:
  - {{check: no_lost_writes, ledger: orders, within: 100ms}}
  - {{check: paged_once}}
limit: 2s
"""
TOY = """
import sys
from types import SimpleNamespace

import pytest
from sevdrill import session
from sevdrill.actions import Action
from sevdrill.errors import StackError
from sevdrill.faults import Fault
from sevdrill.journal import Journal
from sevdrill.masking import MASKER

sys.path.insert(0, {helpers!r})


@pytest.fixture(autouse=True)
def toy(monkeypatch, request):
    import secrets_planted
    from toy_stack import Users

    monkeypatch.setattr(Fault, "in_flight", 0.3)
    monkeypatch.setattr(Action, "in_flight", 0.3)
    stack = secrets_planted.LeakyStack()
    stack.fails = "fails" in request.node.nodeid
    stack.settings = SimpleNamespace(entry="http://app:3000")

    MASKER.learn_compose(secrets_planted.compose(str(request.config.rootpath)))

    def ready(self):
        if "broken" in request.node.nodeid:
            raise StackError("no stack: " + secrets_planted.LEAK)
        if self._journal is None:
            self._journal = Journal(self.options.state_dir, "toy", self.clock, stack.descriptor(), keep=True)
            self._stack, self._stays = stack, True
        return stack

    monkeypatch.setattr(session.DrillSession, "_ready_stack", ready)
    monkeypatch.setattr(session, "LoadGenerator", lambda *_, **__: Users(stack))

"""


PYTHON = """
import pytest
import secrets_planted


@pytest.mark.drill(
    severity="SEV-4",
    load={"locustfile": "x.py"},
    steady_state={"hold": "150ms", "every": "20ms", "probes": [{"probe": "load", "error_rate": {"below": "1%"}}]},
    quiet={"for": "100ms"},
)
def test_surprise(drill):
    print(secrets_planted.LEAK)
    drill.run()
    raise RuntimeError(secrets_planted.LEAK)
"""


def left(folder: Path, output: str) -> dict[str, str]:
    """Everything that a run left: its output, and every file but those that were there before."""
    found = {"output": output}
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in (".yml", ".py", ".pyc", ".toml", ".txt"):
            found[str(path)] = path.read_bytes().decode("utf-8", "replace")
    return found


def slipped(found: dict[str, str]) -> list[tuple[str, str]]:
    secrets = [*PLANTED, *PEM.splitlines()[1:-1], *(json.dumps(value)[1:-1] for value in PLANTED)]
    return [(place, secret) for place, text in found.items() for secret in secrets if secret in text]


def test_nothing_that_a_run_leaves_holds_a_secret(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("DEPLOY_TOKEN", KNOWN["own environment"])
    monkeypatch.setenv("SLACK_WEBHOOK", KNOWN["webhook"])
    monkeypatch.setenv("PLAIN_NAME", KNOWN["secret variable"])
    folder = pytester.path
    (folder / "secret.txt").write_text(KNOWN["secret file"] + "\n", encoding="utf-8")
    (folder / "docker-compose.drill.yml").write_text(COMPOSE, encoding="utf-8")
    (folder / "x.py").touch()
    pytester.makepyprojecttoml('[tool.pytest]\nstrict = true\ndrill_patience = "1s"\n')
    pytester.makeconftest(TOY.format(helpers=str(Path(secrets_planted.__file__).parent)))
    pytester.makepyfile(test_surprise=PYTHON)
    for name in ("passes", "fails", "broken"):
        (folder / f"{name}.yml").write_text(DRILL, encoding="utf-8")
    result = pytester.runpytest_subprocess("-v", "-rA", "--junit-xml=junit.xml", "-o", "junit_logging=all")
    output = result.stdout.str() + result.stderr.str()
    assert "PASSED" in output
    assert "FAILED: Leaky database" in output
    assert "no stack: seen MASKED" in output
    found = left(folder, output)
    assert {"timeline.jsonl", "postmortem.md", "summary.json", "db.log", "junit.xml"} <= {Path(f).name for f in found}
    assert slipped(found) == []
    # What was masked is masked, not left out.
    assert sum(text.count("MASKED") for text in found.values()) > 200
    # And what is judged again is judged alike.
    drills = {Path(name).parent for name in found if name.endswith("timeline.jsonl")}
    (run,) = {drill.parent for drill in drills}
    again = pytester.run(sys.executable, "-m", "sevdrill", "report", str(run))
    assert again.ret == 0, again.stderr.str()
    assert all(str(drill) in again.stdout.str() for drill in drills)
    assert slipped(left(folder, again.stdout.str())) == []
