"""A folder like a user's project: drills, an ini file, and a stack that is used by many runs of pytest."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sevdrill.clock import SystemClock
from sevdrill.ports import Release
from sevdrill.stacks.choice import named

PROJECT = Path(__file__).resolve().parents[2]
IMAGES = os.environ.get("STAGING_IMAGES", "sevdrill-staging")
"""What the names of the staging system's images begin with."""

# Every sabotage acts for real, on the running stack, once it is ready and before the drill looks at it.
CONFTEST = """
import os
import subprocess
import sys

from sevdrill.faults import FAULTS
from sevdrill.ports import Admin, Lifecycle, Release
from sevdrill.session import DrillSession

SABOTAGE = os.environ.get("SABOTAGE", "")
ready = DrillSession._ready_stack


def sabotaged(self):
    stack = ready(self)
    kind, _, argument = SABOTAGE.partition(" ")
    if kind == "kill":
        subprocess.run(["docker", "kill", f"{stack.project}-{argument}-1"], check=True, capture_output=True)
    elif kind == "end":
        lifecycle = stack.ports()[Lifecycle]
        lifecycle.kill(argument, [replica.name for replica in lifecycle.replicas(argument)])
    elif kind == "deploy":
        stack.ports()[Release].deploy("app", argument)
    elif kind == "set":
        stack.ports()[Admin].change(*argument.split(" "))
    return stack


DrillSession._ready_stack = sabotaged
if SABOTAGE == "no-op":
    # Whichever fault a drill has: it says that it was injected, and nothing is done.
    for fault in FAULTS:
        fault.inject = lambda self, ports, record: None
if "SABOTAGE_PLAN" in os.environ:
    sys.path.insert(0, {HELPERS})
    import saboteur

    saboteur.install()
""".replace("{HELPERS}", repr(str(Path(__file__).parent)))


def run_folders(root: Path) -> set[Path]:
    return set((root / "drill-runs").glob("*"))


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True, timeout=60).stdout


class Result:
    """What one run of pytest left: its exit code, its output, and the one new folder under drill-runs."""

    def __init__(self, code: int, output: str, root: Path, before: set[Path]) -> None:
        self.code, self.output = code, output
        # A run that ends before its first drill leaves none: then nothing of an earlier run may speak for it.
        new = run_folders(root) - before
        self.folder = new.pop() if new else root / "drill-runs" / "none"
        summaries = list(self.folder.glob("*/summary.json"))
        self.drill: dict[str, Any] = json.loads(summaries[0].read_text(encoding="utf-8")) if summaries else {}

    @property
    def outcome(self) -> str:
        return str(self.drill.get("outcome", f"none:\n{self.output}"))

    @property
    def reasons(self) -> str:
        return " | ".join(self.drill.get("reasons", []))


class DrillRoot:
    """Runs drills as a user would, with a pytest process each, on one stack."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = f"sevdrill-test-{secrets.token_hex(3)}"
        (folder / "drills").mkdir(parents=True)
        (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        files = json.dumps([str(PROJECT / "docker-compose.drill.yml")])
        ini = ["[tool.pytest]", "strict = true", 'addopts = ["-p", "no:cacheprovider"]', 'drill_patience = "30s"']
        ini += ['drill_blast_radius = "services=2,replicas=100%"']
        text = "\n".join([*ini, f"drill_stack = {files}", ""])
        (folder / "pyproject.toml").write_text(text, encoding="utf-8")

    def drill(self, name: str, *changes: tuple[str, str]) -> Path:
        """A copy of one of the project's drills, quicker to run, with changes: (pattern, replacement)."""
        text = (PROJECT / "drills" / name).read_text(encoding="utf-8")
        quicker = [
            (r"\.\./fixtures", str(PROJECT / "fixtures")),
            (r"hold: 3s", "hold: 1s"),
            (r"over: 5s", "over: 3s"),
            (r"limit: \dm", "limit: 60s"),
            (r"targets: \{.*\}", "targets: {}"),
        ]
        if name != "provider-slow.yml":
            # A busy machine makes users wait, and that is not what these drills are about.
            quicker.append((r"p95: \{below: 500ms\}", "p95: {below: 2s}"))
        for pattern, replacement in [*quicker, *changes]:
            text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
            assert count or (pattern, replacement) in quicker, f"{name} has no {pattern}"
        path = self.folder / "drills" / name
        path.write_text(text, encoding="utf-8")
        return path

    def start(self, path: Path, *options: str, sabotage: str = "") -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pytest", str(path), "--drill-project", self.project, *options]
        environment = {**os.environ, "SABOTAGE": sabotage}
        environment.pop("PYTEST_CURRENT_TEST", None)
        self._before = run_folders(self.folder)
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, path: Path, *options: str, sabotage: str = "") -> Result:
        return self.finish(self.start(path, *options, sabotage=sabotage), timeout=400)

    def finish(self, process: subprocess.Popen[str], timeout: float = 120) -> Result:
        output, _ = process.communicate(timeout=timeout)
        return Result(process.returncode, output, self.folder, self._before)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sevdrill", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120)

    def down(self) -> None:
        self.cli("down", self.project)

    def journals(self) -> list[Path]:
        return list((self.folder / ".sevdrill" / "journal").glob("*.jsonl"))

    def timelines(self) -> set[Path]:
        return set((self.folder / "drill-runs").glob("*/*/timeline.jsonl"))

    def lines(self, path: Path) -> list[dict[str, Any]]:
        found = []
        for line in path.read_text(encoding="utf-8").split("\n"):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def redeploy(self, release: str) -> None:
        """Bring the app back to a release, as it was before a test deployed another."""
        stack = named(self.project, self.folder / ".sevdrill", SystemClock())
        stack.ports()[Release].deploy("app", release)

    # What the stack itself says, asked past every record of ours.

    def running(self, service: str) -> list[str]:
        """Image of each running replica of a service."""
        label = f"label=com.docker.compose.project={self.project}"
        listed = docker("ps", "--filter", label, "--filter", "status=running", "--format", "{{.Names}} {{.Image}}")
        return [
            line.split()[1]
            for line in listed.splitlines()
            if re.match(rf"{self.project}-{service}(--real)?-\d+ ", line)
        ]

    def whole(self) -> bool:
        """Whether database and app run as they did before any fault, and orders are served."""
        return self.running("db") == [f"{IMAGES}-db"] and self.running("app") == [f"{IMAGES}-app:1.0.0"] * 2


BUSY = 3
"""How many times slower than promised anything may be, as these machines are shared."""


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + BUSY * seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what}"
        time.sleep(0.1)


def interrupt(process: subprocess.Popen[str], how: str) -> None:
    """`SIGINT`, `SIGTERM`, `SIGKILL`, or `SIGINT twice`."""
    name, _, twice = how.partition(" ")
    process.send_signal(signal.Signals[name])
    if twice:
        time.sleep(0.3)
        if process.poll() is None:
            process.send_signal(signal.Signals[name])
