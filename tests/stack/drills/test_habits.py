"""Habits that only a real stack can prove: the live line, two workers, a drill in Python, a fault of one's own."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from drill_root import CONFTEST, PROJECT, DrillRoot, docker, interrupt, wait_for

pytestmark = pytest.mark.stack

GREMLIN = '''
from typing import ClassVar, Literal

from sevdrill.faults import Fault, State
from sevdrill.ports import Exec


class Gremlin(Fault):
    """A file on a service that should not be there."""

    needs: ClassVar[tuple[type, ...]] = (Exec,)
    fault: Literal["gremlin"]
    service: str

    @property
    def services(self):
        return (self.service,)

    def prepare(self, ports):
        return {"path": "/tmp/gremlin"}

    def inject(self, ports, record):
        ports[Exec].run(self.service, ["touch", record["path"]], timeout=10)

    def undo(self, ports, record):
        ports[Exec].run(self.service, ["rm", "-f", record["path"]], timeout=10)

    def state(self, ports, record):
        found = ports[Exec].run(self.service, ["ls", record["path"]], timeout=10)
        return State.ON if found.code == 0 else State.OFF


def pytest_sevdrill_kinds():
    return [Gremlin]
'''


def _cache_drill(root: DrillRoot, *changes: tuple[str, str]) -> Path:
    text = (PROJECT / "drills" / "test_cache_down.py").read_text(encoding="utf-8")
    for old, new in (("../fixtures", f"{PROJECT}/fixtures"), *changes):
        text = text.replace(old, new)
    path = root.folder / "drills" / "test_cache_down.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_drill_in_python_passes(whole_stack: DrillRoot) -> None:
    result = whole_stack.run(_cache_drill(whole_stack))
    assert result.outcome == "passed", result.output
    assert result.code == 0
    assert whole_stack.cli("judge", str(result.folder)).returncode == 0


def test_a_drill_in_python_fails_without_its_step(whole_stack: DrillRoot) -> None:
    step = '            {"action": "restart", "service": "redis"},\n'
    result = whole_stack.run(
        _cache_drill(
            whole_stack,
            (step, ""),
            ('limit="3m"', 'limit="16s"'),
            ('"90s"', '"15s"'),
            ('"60s"', '"15s"'),
            ('"30s"', '"15s"'),
        )
    )
    assert result.outcome == "failed", result.output
    assert "never recovered" in result.reasons
    assert result.code == 1
    assert len(whole_stack.running("redis")) == 1


def test_a_fault_of_ones_own_is_undone_when_the_run_is_killed(whole_stack: DrillRoot) -> None:
    root = whole_stack
    (root.folder / "conftest.py").write_text(CONFTEST + GREMLIN, encoding="utf-8")
    changes = [(r"container\.kill, service: db", "gremlin, service: db"), (r"alert: DatabaseDown", "alert: NeverFires")]
    path = root.drill("database-down.yml", *changes, (r"^effect:\n.*\n", ""))
    listing = ["exec", f"{root.project}-db--real-1", "ls", "/tmp"]
    before = root.timelines()
    process = root.start(path)
    try:
        wait_for(lambda: len(root.timelines() - before) == 1 or process.poll() is not None, "a timeline", 120)
        assert process.poll() is None, process.communicate()[0]
        wait_for(lambda: "gremlin" in docker(*listing) or process.poll() is not None, "the gremlin", 60)
        interrupt(process, "SIGKILL")
        root.finish(process)
        wait_for(lambda: "gremlin" not in docker(*listing), "the gremlin to be gone", 30)
        wait_for(lambda: root.journals() == [], "every debt to be paid", 60)
        judged = root.cli("judge", str((root.timelines() - before).pop().parent))
        assert "ABORTED" in judged.stdout, judged.stderr
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        (root.folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        path.unlink()


def test_the_live_line_appears_and_goes(whole_stack: DrillRoot) -> None:
    path = whole_stack.drill("quiet-day.yml", (r"for: 20s", "for: 2s"))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pytest", str(path), "--drill-project", whole_stack.project]
    with subprocess.Popen(
        command, cwd=whole_stack.folder, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        shown = b""
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and select.select([ours], [], [], 200)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:
                break
    os.close(ours)
    assert process.returncode == 0, shown.decode()
    lines = shown.decode().split("\r\x1b[2K")
    assert any("A quiet day | quiet |" in line for line in lines), lines
    # What stays on the last line is pytest's own.
    assert "A quiet day |" not in lines[-1]


def test_a_dry_run_touches_nothing(whole_stack: DrillRoot) -> None:
    path = whole_stack.drill("database-down.yml")
    runs = whole_stack.timelines()
    result = whole_stack.run(path, "--drill-dry-run", "--drill-project", "sevdrill-never-there")
    assert result.code == 0, result.output
    assert "1 planned" in result.output
    for text in ("blast radius: db", "detect: alert DatabaseDown", "target: recover within 15m", "time budget"):
        assert text in result.output
    assert whole_stack.timelines() == runs
    assert docker("ps", "-aq", "--filter", "label=sevdrill.project=sevdrill-never-there") == ""


def test_two_workers_have_a_stack_each_and_one_folder(whole_stack: DrillRoot) -> None:
    quiet = [(r"for: 20s", "for: 2s"), (r"users: 10", "users: 3")]
    first = whole_stack.drill("quiet-day.yml", *quiet)
    second = first.with_name("quiet-again.yml")
    second.write_text(first.read_text(encoding="utf-8").replace("A quiet day", "Quiet again"), encoding="utf-8")
    # Stacks of their own, so that what is up does not count.
    whole_stack.down()
    command = [sys.executable, "-m", "pytest", str(first), str(second), "-n", "2"]
    done = subprocess.run(command, cwd=whole_stack.folder, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    table = done.stdout.rpartition("drills ====")[2]
    assert "A quiet day" in table
    assert "Quiet again" in table
    folder = max((whole_stack.folder / "drill-runs").glob("*"), key=lambda path: path.stat().st_mtime)
    stacks = {whole_stack.lines(file)[0]["stack"] for file in folder.glob("*/timeline.jsonl")}
    assert len(stacks) == 2
    for stack in stacks:
        project = re.sub(".* ", "", stack)
        assert docker("ps", "-aq", "--filter", f"label=sevdrill.project={project}") == ""
    second.unlink()
