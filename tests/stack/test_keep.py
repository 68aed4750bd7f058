"""`--drill-keep`: a second run uses the stack that the first one left up."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from drill_root import docker

pytestmark = pytest.mark.stack

STACK = """
x-sevdrill: {target: staging}
services:
  db: {image: "debian:bookworm-slim", init: true, command: [sleep, infinity]}
"""
DRILL = """
import pytest

@pytest.mark.drill(severity="SEV-3")
def test_nobody_needs_the_database(drill, stack):
    drill.run(
        steady_state={"hold": "300ms", "throughout": True, "probes": [drill.probe(lambda: True, name="all is well")]},
        inject=[{"fault": "container.kill", "service": "db"}],
        respond=[{"action": "restart", "service": "db"}],
    )
"""


def test_a_second_run_uses_the_stack_of_the_first(tmp_path: Path, engine: object) -> None:
    folder = tmp_path / f"kept-{secrets.token_hex(4)}"
    folder.mkdir()
    project = f"sevdrill-{folder.name}"
    (folder / "docker-compose.drill.yml").write_text(STACK, encoding="utf-8")
    (folder / "pyproject.toml").write_text("[tool.pytest]\nstrict = true\n", encoding="utf-8")
    (folder / "test_it.py").write_text(DRILL, encoding="utf-8")

    def run(*command: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def containers() -> dict[str, str]:
        label = f"label=sevdrill.project={project}"
        listed = docker("ps", "-a", "--no-trunc", "--filter", label, "--format", "{{.Names}} {{.ID}} {{.State}}")
        assert all(line.endswith(" running") for line in listed.splitlines()), listed
        return dict(line.split()[:2] for line in listed.splitlines())

    try:
        first = run("pytest", "--drill-keep")
        kept = containers()
        assert list(kept) == [f"{project}-db-1"]
        assert f"the stack {project} is left up; take it down with: sevdrill down {project}" in first
        run("pytest", "--drill-keep")
        assert containers() == kept
        # A stack that was left up on purpose owes nothing.
        run("sevdrill", "heal")
        assert containers() == kept
    finally:
        run("sevdrill", "down", project)
    assert containers() == {}
