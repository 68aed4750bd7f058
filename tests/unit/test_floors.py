"""The floors: who may import whom, and what the plugin may load before there is a drill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

HEAVY = {"docker", "httpx", "jinja2", "locust", "pydantic", "rich", "toxiproxy", "yaml"}

PLUGIN_ALONE = """
import json, sys
import pytest
before = set(sys.modules)
import sevdrill.plugin
print(json.dumps([sorted(before), sorted(set(sys.modules) - before)]))
"""


def test_a_module_imports_only_from_lower_floors() -> None:
    # The program stands next to the interpreter; a virtualenv's interpreter is a link that must not be followed.
    program = Path(sys.executable).with_name("lint-imports")
    found = subprocess.run(
        [program, "--no-cache", "--no-logo", "--config", ROOT / "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_plugin_costs_a_run_without_drills_nothing() -> None:
    found = subprocess.run([sys.executable, "-c", PLUGIN_ALONE], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    before, added = json.loads(found.stdout)
    assert "sevdrill.plugin" in added
    assert [name for name in added if name.startswith("sevdrill")] == ["sevdrill", "sevdrill.plugin", "sevdrill.state"]
    assert {name.partition(".")[0] for name in added} - sys.stdlib_module_names == {"sevdrill"}
    assert HEAVY.isdisjoint(before)
