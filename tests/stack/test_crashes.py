"""The crash matrix: however and whenever the runner dies, the fault is gone soon and stays gone, for every kind.

Runners are killed for real, on a small stack of light services; whether a fault is there is asked of the stack itself.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from crash_matrix import KILLED, MOMENTS, PROMISED, Cell, Matrix, proved, sampled
from crash_stack import EXAMPLES, compose
from drill_root import docker, wait_for

from sevdrill.actions.undoing import Heal
from sevdrill.clock import SystemClock
from sevdrill.diagnostics import load_data
from sevdrill.errors import StackError
from sevdrill.ports import Endpoints, Ports
from sevdrill.session import DrillSession, Options
from sevdrill.shield import Shield
from sevdrill.stacks.compose import ComposeConfig, ComposeStack

pytestmark = pytest.mark.stack

MEDDLED = ("restarted", "recreated")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, engine: object) -> Iterator[ComposeStack]:
    folder, name = tmp_path_factory.mktemp("small"), f"sevdrill-test-{secrets.token_hex(4)}"
    for tag in ("1.0", "1.1"):
        docker("tag", "debian:bookworm-slim", f"{name}:{tag}")
    (folder / "compose.yml").write_text(compose(name))
    stack = ComposeStack(ComposeConfig((folder / "compose.yml",), name, folder / ".sevdrill"), SystemClock())
    try:
        stack.up()
        yield stack
    finally:
        try:
            stack.down()
        except StackError as error:
            if "active endpoints" not in str(error):
                raise
        docker("rmi", f"{name}:1.0", f"{name}:1.1")
    left = docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={name}")
    left += docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={name}")
    # Where many containers come and go at once, some engines lose count of what is on a network: it is empty, and they
    # keep it until they are restarted.
    for network in docker("network", "ls", "-q", "--filter", f"label=com.docker.compose.project={name}").split():
        left += docker("network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{end}}", network).strip()
    assert left == ""


@pytest.fixture(scope="module")
def matrix(small: ComposeStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    matrix = Matrix(small, tmp_path_factory.mktemp("matrix"))
    yield matrix
    matrix.close()


@pytest.fixture(scope="module")
def cells(matrix: Matrix, request: pytest.FixtureRequest) -> Matrix:
    """Every cell that is asked for, begun at once."""
    matrix.begin_those_of(request)
    return matrix


@pytest.mark.parametrize(("kind", "moment"), sampled(list(EXAMPLES), [*MOMENTS, *MEDDLED]))
def test_a_killed_runner_leaves_nothing(cells: Matrix, kind: str, moment: str) -> None:
    proved(cells.cell(kind, moment))


# -- worse than a dead runner -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "moment"), [("container.pause", "group"), ("network.down", "torn")])
def test_a_killed_group_and_a_torn_journal(cells: Matrix, kind: str, moment: str) -> None:
    proved(cells.cell(kind, moment))


@pytest.mark.parametrize("kind", ["container.kill", "flag"])
def test_a_full_disk_injects_nothing(matrix: Matrix, kind: str) -> None:
    cell = matrix.new(kind, "full")
    matrix.let_die(cell)
    assert cell.code == 0, cell.output
    said = (cell.folder / "run" / "timeline.jsonl").read_text()
    assert "what the run must write down cannot be written" in said
    assert matrix.look(kind) == cell.baseline
    assert f'"fault": "{kind}", "event": "injected"' not in said


@pytest.mark.parametrize("kind", ["container.pause", "network.latency", "throttle"])
def test_a_runner_that_hangs_past_the_faults_time(matrix: Matrix, kind: str) -> None:
    cell = matrix.new(kind, "stopped")
    process = matrix.start(cell)
    assert process.pid is not None
    try:
        wait_for((cell.folder / "seen.json").exists, "the runner to stop", 60)
        seen = json.loads((cell.folder / "seen.json").read_text())
        assert seen != cell.baseline
        wait_for(lambda: matrix.look(kind) == cell.baseline, "the watchdog to end it", 30)
        wait_for(lambda: "overdue" in (cell.folder / "journal" / "run.jsonl").read_text(), "its note", 10)
        # The runner comes to itself again, and must not claim what it did not do.
        os.kill(process.pid, signal.SIGCONT)
        matrix.ended(cell, process)
    finally:
        process.kill()
    assert cell.code == 0, cell.output
    assert "the watchdog ended" in (cell.folder / "run" / "timeline.jsonl").read_text()
    assert matrix.look(kind) == cell.baseline
    assert not (cell.folder / "journal" / "run.jsonl").exists()


@pytest.mark.parametrize("kind", ["container.kill", "network.latency", "network.partition", "change.deploy"])
def test_a_healer_that_is_killed_and_run_again(matrix: Matrix, kind: str) -> None:
    cell = matrix.new(kind, "alone")
    matrix.let_die(cell)
    assert json.loads((cell.folder / "seen.json").read_text()) != cell.baseline
    journal = cell.folder / "journal" / "run.jsonl"
    assert journal.exists()
    healer = Cell(kind, "heal", cell.folder, cell.baseline)
    matrix.let_die(healer)
    assert healer.code in KILLED, healer.output
    assert journal.exists()
    command = [sys.executable, "-m", "sevdrill", "heal", "--state", str(cell.folder)]
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 0, again.stderr
    assert kind in again.stdout
    assert matrix.look(kind) == cell.baseline
    assert not journal.exists()
    once_more = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert once_more.stdout == "nothing to heal\n"


def test_an_engine_that_is_away_meanwhile(matrix: Matrix, engine: Any) -> None:
    cell = matrix.new("container.stop", "engine away")
    link = matrix.folder / "engine.sock"
    link.symlink_to(engine.host.removeprefix("unix://"))
    matrix.let_die(cell, host=f"unix://{link}")
    assert cell.code in KILLED, cell.output
    log = cell.folder / "watchdog.log"
    wait_for(lambda: "no container engine answers" in log.read_text(), "the watchdog to try", 60)
    assert matrix.look(cell.kind) != cell.baseline
    link.symlink_to(engine.host.removeprefix("unix://"))
    matrix.watch(cell)
    proved(cell)


# -- a proxy that is wedged -------------------------------------------------------------------------------------------


def test_a_wedged_proxy_is_noticed_and_replaced_and_the_drill_judged(
    small: ComposeStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = urlsplit(small.ports()[Endpoints].url("http://big:8080/"))
    layout = small._project.service("big")
    api = f"http://127.0.0.1:{layout.api}"
    proxy = f"{small.project}-big--proxy-1"
    began = docker("inspect", "--format", "{{.State.StartedAt}}", proxy)
    clients: list[socket.socket] = []
    wedged: list[bool] = []

    heal = Heal.run

    def wedge(self: Heal, ports: Ports, record: dict[str, Any]) -> None:
        # Clients that ask for much and read nothing, and the toxic is taken away by a DELETE: it never answers again.
        where = (endpoint.hostname or "", endpoint.port or 0)
        clients.extend(socket.create_connection(where, timeout=5) for _ in range(4))
        time.sleep(1)
        for method, path in (("DELETE", "/proxies/big-8080/toxics/sevdrill-latency-downstream"), ("GET", "/proxies")):
            try:
                httpx.request(method, api + path, timeout=1.5, trust_env=False)
            except httpx.TimeoutException:
                wedged.append(True)
        heal(self, ports, record)

    monkeypatch.setattr(Heal, "run", wedge)
    drill = load_data(
        {
            "drill": "Big is slow",
            "severity": "SEV-4",
            "steady_state": {
                "throughout": True,
                "hold": "200ms",
                "every": "50ms",
                "probes": [{"probe": "tcp", "service": "base", "port": 8080}],
            },
            "inject": [{"fault": "network.latency", "service": "big", "latency": "300ms"}],
            "respond": [{"action": "heal"}],
            "limit": "60s",
        },
        tmp_path / "drill.py",
        1,
        shown="drill",
        name="drill",
    )
    state = small._config.state_dir
    options = Options(tmp_path, small._config.files, project=small.project, state_dir=state, patience=20)
    session = DrillSession(options, Shield(), tmp_path / "runs")
    try:
        result = session.run(drill)
    finally:
        session.close()
        for client in clients:
            client.close()
    assert wedged == [True, True], "the proxy was not wedged, so that it works proves nothing"
    assert result.verdict.outcome == "passed", result.verdict.reasons
    assert not result.verdict.dirty
    assert docker("inspect", "--format", "{{.State.StartedAt}}", proxy) != began, "it was not replaced"
    assert small.is_up()
    with socket.create_connection((endpoint.hostname, endpoint.port), timeout=5) as client:
        assert client.recv(10)


# -- an undo that fails -----------------------------------------------------------------------------------------------

DIRTY = """
drill: Stopped for good
severity: SEV-4
steady_state: {throughout: true, hold: 200ms, every: 50ms, probes: [{probe: tcp, service: base, port: 8080}]}
inject: [{fault: container.stop, service: kill, replicas: 1}]
respond: [{action: announce, status: identified}]
limit: 20s
"""
# Somebody removes the container of the first drill: then there is nothing that could be started again.
REMOVES = """
import subprocess
import sevdrill.engine as engine
from sevdrill.session import DrillSession

settle, step, start = engine.settle, engine.Engine._step, DrillSession._start
engine.settle = lambda *args, **more: settle(*args, **more, patience=2)
ids = []


def started(self):
    stack = start(self)
    ids.append(subprocess.check_output(["docker", "inspect", "-f", "{{.Id}}", f"{stack.project}-base-1"], text=True))
    if len(ids) == 2:
        print("ANOTHER STACK", ids[0] != ids[1])
    return stack


def removes(self, part, index, what):
    if self.plan.scenario.drill.endswith("good"):
        name = self.timeline.path.parents[3] / "project"
        subprocess.run(["docker", "rm", "-f", f"{name.read_text()}-kill-1"], check=True, capture_output=True)
    step(self, part, index, what)


DrillSession._start, engine.Engine._step = started, removes
"""


def test_an_undo_that_fails_is_loud(small: ComposeStack, tmp_path: Path) -> None:
    project = f"{small.project}-dirty"
    (tmp_path / "project").write_text(project)
    (tmp_path / "conftest.py").write_text(REMOVES)
    (tmp_path / "drills").mkdir()
    (tmp_path / "drills" / "a.yml").write_text(DIRTY)
    (tmp_path / "drills" / "b.yml").write_text(DIRTY.replace("good", "a while"))
    few = json.loads(small._config.files[0].read_text())
    few["services"] = {name: few["services"][name] for name in ("base", "kill")}
    few["x-sevdrill"] = {"target": "staging"}
    (tmp_path / "few.yml").write_text(json.dumps({key: few[key] for key in ("x-sevdrill", "services")}))
    (tmp_path / "pyproject.toml").write_text('[tool.pytest]\nstrict = true\ndrill_stack = ["few.yml"]\n')
    command = [sys.executable, "-m", "pytest", "drills", "-sv", "-p", "no:cacheprovider", "--drill-project", project]
    try:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    finally:
        ComposeStack.named(project, tmp_path / ".sevdrill", SystemClock()).down()
    assert done.returncode == 1, done.stdout
    assert f"by hand: docker rm -fv $(docker ps -aq --filter label=sevdrill.project={project})" in done.stdout
    assert "ANOTHER STACK True" in done.stdout, done.stdout
    summaries = [json.loads(file.read_text()) for file in sorted(tmp_path.glob("drill-runs/*/*/summary.json"))]
    assert [one["dirty"] for one in summaries] == [True, False], done.stdout
    assert summaries[0]["outcome"] == "failed"
    assert list((tmp_path / ".sevdrill" / "journal").glob("*.jsonl")) == []


def test_nearly_all_are_gone_in_the_time_that_is_promised(cells: Matrix) -> None:
    took = sorted(cell.gone_after for cell in cells.every())
    assert took
    assert 0 <= took[int(len(took) * 0.95)] <= PROMISED, took


def test_the_stack_is_usable_after_it_all(cells: Matrix, small: ComposeStack) -> None:
    assert list(cells.every())
    wait_for(small.is_up, "the stack to be whole", 20)
