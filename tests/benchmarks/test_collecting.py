"""What drills cost a run of pytest before anything is run."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import pytest
from measuring import median_ratio, pairs

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]
COLLECT = (sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider")
STACK = "x-sevdrill: {target: staging}\nservices: {app: {image: a}, db: {image: b}}\n"


def _project(folder: Path) -> Path:
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[tool.pytest]\nstrict = true\n", encoding="utf-8")
    return folder


def _python(folder: Path, count: int) -> Path:
    for n in range(count):
        text = f"def test_number_{n}():\n    assert {n} + 1 == {n + 1}\n"
        (folder / f"test_{n:04}.py").write_text(text, encoding="utf-8")
    return folder


def test_collecting_a_drill_costs_about_what_a_python_file_does(tmp_path: Path) -> None:
    python, drills = _python(_project(tmp_path / "python"), 1000), _project(tmp_path / "drills")
    (drills / "docker-compose.drill.yml").write_text(STACK, encoding="utf-8")
    text = (ROOT / "drills" / "database-down.yml").read_text(encoding="utf-8")
    text = text.replace("../fixtures", str(ROOT / "fixtures"))
    for n in range(1000):
        (drills / f"drill-{n:04}.yml").write_text(text.replace("Production", f"{n}th"), encoding="utf-8")
    measured = pairs((COLLECT, drills), (COLLECT, python), times=5)
    ratio = median_ratio(measured)
    print(f"1,000 drills validated / 1,000 Python files imported: {ratio:.2f} of the processor time")
    # Equal would be the best; compiled Python is hard to beat, and a drill is parsed and validated each time.
    assert ratio < 2.5


def test_a_project_without_drills_does_not_notice_the_plugin(tmp_path: Path) -> None:
    folder = _python(_project(tmp_path / "plain"), 20)
    for n in range(20):
        (folder / f"config-{n}.yml").write_text(f"services: {{app: {{image: a{n}}}}}\n", encoding="utf-8")
    without = (*COLLECT, "-p", "no:sevdrill")
    measured = pairs((COLLECT, folder), (without, folder), times=15)
    for what in ("cpu", "wall"):
        more = statistics.median(getattr(a, what) - getattr(b, what) for a, b in measured)
        print(f"{what} with the plugin beyond that without it: {more * 1000:.0f} ms")
        assert more < 0.030
