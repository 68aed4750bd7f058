"""Every drill of the project on the embedded stack: passed, or skipped with the missing capability named."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from drill_root import PROJECT
from embedded_root import processes

pytestmark = pytest.mark.embedded

DRILLS = sorted(path.name for path in (PROJECT / "drills").iterdir() if path.suffix in (".yml", ".py"))
SKIPPED = {"database-unreachable.yml": "this stack lacks Networks (for: network.partition on db"}

OF_WAITING = ("circuit-breaker.yml", "load-spike.yml", "provider-slow.yml")
SLOWER = ((r"p95: \{below: 2s\}", "p95: {below: 4s}"), (r"p95: \{below: 500ms\}", "p95: {below: 2s}"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drills")


@pytest.fixture(scope="module")
def run(folder: Path) -> tuple[dict[str, Any], str]:
    """One run of all drills on one stack; the summaries by the drills' files, and what was printed."""
    (folder / "drills").mkdir()
    for name in DRILLS:
        text = (PROJECT / "drills" / name).read_text(encoding="utf-8")
        # As they are, but for how long it must be good, and how long nothing may happen.
        for pattern, quicker in (
            (r"\.\./fixtures", str(PROJECT / "fixtures")),
            (r"\bfor: 20s", "for: 5s"),
            (r"(\bhold\b\W+)3s", r"\g<1>2s"),
            (r"(\bover\b\W+)5s", r"\g<1>3s"),
            # A stack and its users on cores that others use, too: a probe that comes late must not break a hold.
            (r"(\bevery\b\W+)200ms", r"\g<1>500ms"),
            (r"(\btimeout\b\W+)1s", r"\g<1>4s"),
            # What users wait on a busy machine is not what most drills are about.
            *(() if name in OF_WAITING else SLOWER),
        ):
            text = re.sub(pattern, quicker, text)
        (folder / "drills" / name).write_text(text, encoding="utf-8")
    stack = json.dumps([str(PROJECT / "docker-compose.drill.yml")])
    ini = ["[tool.pytest]", "strict = true", 'addopts = ["-p", "no:cacheprovider", "--import-mode=importlib"]']
    ini += ['drill_blast_radius = "services=2,replicas=100%"']
    (folder / "pyproject.toml").write_text("\n".join([*ini, f"drill_stack = {stack}", ""]), encoding="utf-8")
    temporary = folder / "tmp"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "drills", "--drill-stack", "embedded", "-rs"],
        cwd=folder,
        env={**_environment(), "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1500,
        check=False,
    )
    summaries = [json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("drill-runs/*/*/summary.json")]
    assert list(temporary.glob("sevdrill-*")) == []
    assert processes(str(temporary)) == {}
    shutil.rmtree(temporary)
    return {Path(each["file"]).name.partition("::")[0]: each for each in summaries}, done.stdout


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}


@pytest.mark.parametrize("name", DRILLS)
def test_it_passes_or_says_what_is_missing(run: tuple[dict[str, Any], str], name: str) -> None:
    summaries, printed = run
    if name in SKIPPED:
        assert SKIPPED[name] in printed, printed
        assert name not in summaries
        return
    assert name in summaries, printed
    assert summaries[name]["outcome"] == "passed", (summaries[name]["reasons"], printed)
    assert summaries[name]["stack"].startswith("embedded, project ")


@pytest.mark.usefixtures("run")
def test_what_the_stack_archived_outlives_it(folder: Path) -> None:
    (evidence,) = folder.glob("drill-runs/*/*/evidence/archive-1-edge.jsonl")
    lines = evidence.read_text(encoding="utf-8").splitlines()
    times = [json.loads(line)["at"] for line in lines]
    assert max(times) - min(times) > 45 * 3600
    manifest = (evidence.parent / "MANIFEST.sha256").read_text(encoding="utf-8")
    assert f"{hashlib.sha256(evidence.read_bytes()).hexdigest()}  {evidence.name}" in manifest
