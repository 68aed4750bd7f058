"""A stack of one's own: an application that knows nothing of drills is drilled by one more file, and a running copy of
it feels nothing."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from drill_root import Result, docker, run_folders, wait_for

pytestmark = pytest.mark.stack
APP = Path(__file__).with_name("app")
COPY = "http://127.0.0.1:18431"
"""Where the running copy serves, by the fixed port in its files."""


def ask(url: str, body: str | None = None) -> str:
    data = None if body is None else body.encode()
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, data, timeout=5) as answer:
        return str(answer.read().decode())


class RunningCopy:
    """The application as its own team runs it: ``docker compose up``, its own name, its fixed ports and names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failures: list[str] = []
        self.answered = 0
        self._ended = threading.Event()

    def compose(self, *command: str) -> None:
        done = subprocess.run(
            ["docker", "compose", *command], cwd=self.folder, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr

    def listed(self, kind: str) -> list[str]:
        label = "label=com.docker.compose.project=lending-desk"
        return docker(*kind.split(), "--filter", label).split()

    def state(self) -> dict[str, Any]:
        """Everything by which a disturbance would show."""
        containers = {}
        for found in json.loads(docker("inspect", *self.listed("ps -aq"))):
            networks = {name: network["IPAddress"] for name, network in found["NetworkSettings"]["Networks"].items()}
            containers[found["Name"]] = {
                "id": found["Id"],
                "image": found["Image"],
                "pid": found["State"]["Pid"],
                "started": found["State"]["StartedAt"],
                "restarts": found["RestartCount"],
                "networks": networks,
                "ports": found["HostConfig"]["PortBindings"],
            }
        data = docker("exec", "lending-desk-db", "redis-cli", "--raw", "lrange", "loans", "0", "-1").split()
        return {
            "containers": containers,
            "volumes": sorted(self.listed("volume ls -q")),
            "networks": sorted(self.listed("network ls -q --no-trunc")),
            "loans": data,
            "served": json.loads(ask(f"{COPY}/loans")),
            "health": ask(f"{COPY}/health"),
        }

    def watch(self) -> None:
        """Use it, without a pause, until `unwatch`."""
        while not self._ended.wait(0.1):
            try:
                assert ask(f"{COPY}/health") == "well\n"
                self.answered += 1
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))

    def unwatch(self) -> None:
        self._ended.set()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, engine: object) -> Iterator[RunningCopy]:
    folder = tmp_path_factory.mktemp("team") / "lending-desk"
    shutil.copytree(APP, folder)
    copy = RunningCopy(folder)
    assert copy.listed("ps -aq") == [], "a copy of the lending desk runs already; take it down"
    images: list[str] = []
    watcher = threading.Thread(target=copy.watch)
    try:
        copy.compose("up", "-d", "--build")
        images = docker("compose", "-f", str(folder / "docker-compose.yml"), "config", "--images").split()
        wait_for(lambda: "healthy" in docker("ps", "--filter", "name=^lending-desk-web$"), "the copy")
        for number in range(5):
            ask(f"{COPY}/loans", f"loan-{number}")
        watcher.start()
        yield copy
    finally:
        copy.unwatch()
        if watcher.ident is not None:
            watcher.join()
        copy.compose("down", "-v", "-t", "1")
        for image in images:
            subprocess.run(["docker", "rmi", image], capture_output=True, timeout=60)


class Team:
    """The same folder, and a stack that is drilled beside the running copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = f"sevdrill-test-{secrets.token_hex(3)}"

    def pytest(self, *arguments: str) -> Result:
        command = [sys.executable, "-m", "pytest", *arguments, "-p", "no:cacheprovider", "--drill-project"]
        environment = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}
        before = run_folders(self.folder)
        done = subprocess.run(
            [*command, self.project], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=400
        )
        return Result(done.returncode, done.stdout + done.stderr, self.folder, before)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sevdrill", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120)

    def containers(self, state: str = "") -> list[str]:
        extra = ["--filter", f"status={state}"] if state else []
        label = f"label=sevdrill.project={self.project}"
        return docker("ps", "-a", "--filter", label, *extra, "--format", "{{.Names}}").split()

    def inspect(self, service: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(docker("inspect", f"{self.project}-{service}-1"))[0]
        return found


@pytest.fixture(scope="module")
def team(copy: RunningCopy) -> Iterator[Team]:
    team = Team(copy.folder)
    images: set[str] = set()
    try:
        yield team
        images = {json.loads(docker("inspect", name))[0]["Config"]["Image"] for name in team.containers()}
    finally:
        down = team.cli("down", team.project)
        for image in sorted(images):
            if image.startswith("sevdrill-built-"):
                subprocess.run(["docker", "rmi", image], capture_output=True, timeout=60)
    assert down.returncode == 0, down.stderr
    label = f"label=com.docker.compose.project={team.project}"
    left = [docker(*kind.split(), "--filter", label) for kind in ("ps -aq", "volume ls -q", "network ls -q")]
    assert left == ["", "", ""]


@pytest.fixture
def undisturbed(copy: RunningCopy) -> Iterator[RunningCopy]:
    """The claim that the running copy is afterwards what it was before, and served all the while."""
    before, answered = copy.state(), copy.answered
    assert before["loans"] == [f"loan-{number}" for number in range(5)]
    yield copy
    assert copy.state() == before
    assert copy.failures == []
    assert copy.answered > answered


def test_nothing_but_x_sevdrill_was_added() -> None:
    assert list(yaml.safe_load((APP / "docker-compose.drill.yml").read_text())) == ["x-sevdrill"]
    theirs = [path for path in APP.rglob("*") if path.is_file() and path.parent.name not in ("drills", "load")]
    ours = {path.name for path in theirs if "sevdrill" in path.read_text()}
    assert ours == {"docker-compose.drill.yml"}


def test_the_drill_passes_beside_a_running_copy(team: Team, undisturbed: RunningCopy) -> None:
    result = team.pytest("drills")
    assert result.outcome == "passed", result.output
    assert result.code == 0
    assert {check["result"] for check in result.drill["checks"]} == {"holds"}
    # The same application, whole: both replicas, the job done, its tool not started, no name or port of the copy's.
    names = {name.removeprefix(f"{team.project}-") for name in team.containers()}
    assert {"reminders-1", "reminders-2", "catalogue-1", "web--real-1", "db--real-1"} < names
    assert not any(name.startswith("report") for name in names)
    assert team.inspect("db--real")["HostConfig"]["RestartPolicy"]["Name"] == "always", "as in the files"
    found = json.loads(docker("inspect", *team.containers()))
    bound = [b for each in found for bindings in (each["HostConfig"]["PortBindings"] or {}).values() for b in bindings]
    assert bound
    assert not {"18431", "18432", "18433"} & {binding["HostPort"] for binding in bound}
    assert {binding["HostIp"] for binding in bound} == {"127.0.0.1"}


def test_without_the_restart_nothing_recovers(team: Team, undisturbed: RunningCopy) -> None:
    # `restart: always` does not bring it back either: to the engine, what was killed by order is meant to be down.
    text = (team.folder / "drills" / "loans-database-down.yml").read_text()
    text = re.sub(r"  - \{action: restart.*\n", "", text).replace("limit: 3m", "limit: 20s")
    broken = team.folder / "broken.yml"
    broken.write_text(re.sub(r"targets: .*", "targets: {}", text).replace("../load", "load"))
    result = team.pytest(str(broken))
    assert result.outcome == "failed", result.output
    assert "never recovered" in result.reasons
    assert result.code == 1
    wait_for(lambda: "db--real-1" in " ".join(team.containers("running")), "the database to be back")


def test_a_dead_prometheus_is_invalid(team: Team, undisturbed: RunningCopy) -> None:
    # There is no heartbeat alert: fresh evaluations are what proves the monitoring alive.
    prometheus = f"{team.project}-prometheus-1"
    conftest = team.folder / "conftest.py"
    conftest.write_text(
        "import subprocess\nfrom sevdrill.session import DrillSession\nready = DrillSession._ready_stack\n"
        "def sabotaged(self):\n    stack = ready(self)\n"
        f"    subprocess.run(['docker', 'kill', '{prometheus}'], check=True, capture_output=True)\n    return stack\n"
        "DrillSession._ready_stack = sabotaged\n"
    )
    try:
        result = team.pytest("drills", "-o", "drill_patience=5s")
    finally:
        conftest.unlink()
        docker("start", prometheus)
    assert result.outcome == "invalid", result.output
    assert "monitoring is not alive" in result.reasons
    assert result.code == 1


def test_a_crash_is_mended_by_the_restart_policy_and_a_kill_is_not(team: Team, undisturbed: RunningCopy) -> None:
    database = f"{team.project}-db--real-1"
    before = team.inspect("db--real")["State"]["StartedAt"]
    # The process dies by itself: that is what `restart: always` is for.
    docker("exec", database, "bash", "-c", "kill -9 $(pidof redis-server)")
    wait_for(lambda: team.inspect("db--real")["State"]["StartedAt"] != before, "the engine to restart it")
    wait_for(lambda: bool(team.inspect("db--real")["State"]["Running"]), "the database")
    assert team.inspect("db--real")["RestartCount"] == 1
    # Killed by order, as container.kill does it: it stays down until somebody starts it.
    docker("kill", database)
    wait_for(lambda: not team.inspect("db--real")["State"]["Running"], "the database to be dead")
    state = team.inspect("db--real")
    assert (state["State"]["Status"], state["RestartCount"]) == ("exited", 1)
    docker("start", database)
