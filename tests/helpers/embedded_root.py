"""A user's folder with a small stack of child processes, and what is left of it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drill_root import PROJECT, DrillRoot, Result, run_folders

from sevdrill.clock import SystemClock
from sevdrill.ports import Lifecycle
from sevdrill.stacks.embedded.stack import EmbeddedStack

# Of Alertmanager, `watch` has what is asked here: it holds the heartbeat, and an alert while web does not answer.
SMALL = """
x-sevdrill:
  target: staging
  healthy_within: 10s
  proxies: {web: [8080]}
  monitoring: {alertmanager: "http://watch:9093", heartbeat: Heartbeat}
services:
  watch:
    expose: ["9093"]
    environment: {WEB: "http://web:8080/"}
    x-sevdrill: {process: {command: [python, watch.py, "{port:9093}"]}}
  web:
    expose: ["8080"]
    stop_grace_period: 1s
    deploy: {replicas: 2}
    x-sevdrill: {process: {command: [python, web.py, "{port:8080}"], ready: {port: 8080, http: /}}}
"""
WEB = """
import http.server, os, subprocess, sys

# A child in a group of its own, as those of PostgreSQL are.
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)


class Here(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{os.getpid()} {child.pid}".encode())

    def log_message(self, *_): ...


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Here).serve_forever()
"""
WATCH = """
import http.server, json, os, sys, urllib.request


class Alerts(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        names = ["Heartbeat"]
        try:
            urllib.request.urlopen(os.environ["WEB"], timeout=1).read()
        except OSError:
            names.append("WebDown")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps([{"labels": {"alertname": name}} for name in names]).encode())

    def log_message(self, *_): ...


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Alerts).serve_forever()
"""
DRILL = """
drill: Web down
severity: SEV-2
blast_radius: {replicas: 100%}
steady_state:
  hold: 300ms
  probes: [{probe: http, url: "http://web:8080/", status: "200", timeout: 1s}]
inject: [{fault: container.kill, service: web}]
detect: [{alert: WebDown}]
respond: [{action: restart, service: web}]
limit: 15s
"""
# The stack's folders are where the test can look for what is left of them.
CONFTEST = """
import os
from pathlib import Path

from sevdrill.engine import Engine

phase = Engine._phase


def marked(self, name):
    phase(self, name)
    if os.environ.get("MARK", "").split(" ")[0] == name:
        Path(os.environ["MARK"].split(" ")[1]).touch()


Engine._phase = marked
"""


def processes(text: str) -> dict[int, str]:
    """Processes that live and have this text in their command line or environment, or work in a folder of this name."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            where = str((entry / "cwd").readlink())
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX" and (text.encode() in command + environment or text in where):
            found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


class SmallPlace:
    """A user's folder: Compose file, drill, ini file, and a temporary folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        (folder / "drills").mkdir()
        (folder / "drills" / "web-down.yml").write_text(DRILL)
        (folder / "web.py").write_text(WEB)
        (folder / "watch.py").write_text(WATCH)
        (folder / "conftest.py").write_text(CONFTEST)
        ini = ["[tool.pytest]", "strict = true", 'addopts = ["-p", "no:cacheprovider"]', 'drill_patience = "15s"']
        ini += ['drill_blast_radius = "replicas=100%"']
        ini += ['drill_stack = ["docker-compose.yml"]', 'drill_stack_kind = "embedded"', ""]
        (folder / "pyproject.toml").write_text("\n".join(ini))
        self.compose(SMALL)
        self.environment = {key: value for key, value in os.environ.items() if key not in ("PYTEST_CURRENT_TEST", "CI")}
        self.environment["TMPDIR"] = str(self.temporary)

    def compose(self, text: str) -> None:
        (self.folder / "docker-compose.yml").write_text(text)

    def start(self, *options: str, **environment: str) -> subprocess.Popen[str]:
        self._before = run_folders(self.folder)
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "drills", *options],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *options: str, **environment: str) -> Result:
        process = self.start(*options, **environment)
        output, _ = process.communicate(timeout=120)
        return Result(process.returncode, output, self.folder, self._before)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sevdrill", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def stack(self, project: str) -> EmbeddedStack:
        return EmbeddedStack.named(project, self.folder / ".sevdrill", SystemClock())

    def journals(self) -> list[Path]:
        """Journals, and what stands beside them."""
        return list((self.folder / ".sevdrill").glob("journal/*"))

    def left(self) -> list[str]:
        """Processes and folders that are left."""
        return [f"{pid} {command}" for pid, command in processes(str(self.temporary)).items()] + [
            path.name for path in self.temporary.glob("sevdrill-*")
        ]


class EmbeddedRoot(DrillRoot):
    """Runs copies of the project's own drills on the embedded stack."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.project = f"sevdrill-test-{secrets.token_hex(3)}"

    def start(self, path: Path, *options: str, sabotage: str = "") -> subprocess.Popen[str]:
        return super().start(path, "--drill-stack", "embedded", *options, sabotage=sabotage)

    @property
    def stack(self) -> EmbeddedStack:
        return EmbeddedStack.named(self.project, self.folder / ".sevdrill", SystemClock())

    def prepare(self, *profiles: str) -> None:
        """Bring the stack up, to be used by every run, with what these profiles bring."""
        from sevdrill.stacks.embedded.stack import EmbeddedConfig

        files = (PROJECT / "docker-compose.drill.yml",)
        state = self.folder / ".sevdrill"
        EmbeddedStack(EmbeddedConfig(files, self.project, state, True, profiles), SystemClock()).up()

    def stands(self) -> bool:
        """Whether there is a stack that a run would use."""
        return self._description.exists()

    @property
    def _description(self) -> Path:
        return self.folder / ".sevdrill" / "stacks" / self.project / "embedded.json"

    def data(self) -> Path:
        """The folder of the stack's data."""
        file = self._description
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return Path(document["folder"])


def restart(root: EmbeddedRoot, service: str) -> None:
    """Bring a service of the stack down and up."""
    lifecycle = root.stack.ports()[Lifecycle]
    names = [replica.name for replica in lifecycle.replicas(service)]
    lifecycle.kill(service, names)
    lifecycle.start(service, names)


@contextmanager
def without_rule(root: EmbeddedRoot, alert: str) -> Iterator[None]:
    """The rule is there, but its alert has another name: the one that the drill waits for never fires."""
    with _rules(root, lambda before: before.replace(f"alert: {alert}\n", "alert: Renamed\n")):
        yield


@contextmanager
def with_rule(root: EmbeddedRoot, alert: str, expr: str) -> Iterator[None]:
    """One rule more, whose alert pages."""
    rule = f"- name: more\n    rules: [{{alert: {alert}, expr: '{expr}', labels: {{severity: page}}}}]"
    with _rules(root, lambda before: f"{before}\n  {rule}\n"):
        yield


@contextmanager
def _rules(root: EmbeddedRoot, change: Callable[[str], str]) -> Iterator[None]:
    rules = root.data() / "own" / "prometheus-1" / "rules.yml"
    before = rules.read_text(encoding="utf-8")
    assert change(before) != before
    rules.write_text(change(before), encoding="utf-8")
    restart(root, "prometheus")
    try:
        yield
    finally:
        # A run that found its stack dirty has taken it down, and the rules with it.
        if rules.exists():
            rules.write_text(before, encoding="utf-8")
            restart(root, "prometheus")
