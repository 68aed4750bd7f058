"""The crash matrix: however and whenever the runner dies, the fault is gone soon and stays gone, for every kind.

Runners are killed for real, on a small stack of light services; whether a fault is there is asked of the stack itself.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import crash_runner
import pytest
from crash_stack import EXAMPLES, compose, look
from drill_root import docker, wait_for

from sevdrill.clock import SystemClock
from sevdrill.healing import heal_all
from sevdrill.stacks.compose import ComposeConfig, ComposeStack

pytestmark = pytest.mark.stack

AT_ONCE = 4
"""So many runners side by side, each with a journal and a watchdog of its own."""
GONE_WITHIN = 10.0
"""Seconds after the runner's death within which the fault must be gone."""
BEFORE = ("before the journal", "after the journal", "torn")
MOMENTS = (*BEFORE[:2], "mid-injection", "after", "respond", "undo")
MEDDLED = ("restarted", "recreated")


@dataclass
class Cell:
    """One runner, from its start to the proof that it left nothing."""

    kind: str
    moment: str
    folder: Path
    baseline: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)
    """What the stack showed in the moment before the death."""
    code: int = 0
    output: str = ""
    gone_after: float = -1.0
    paid_after: float = -1.0
    at_last: dict[str, Any] = field(default_factory=dict)
    healed: list[str] = field(default_factory=list)


class Matrix:
    def __init__(self, stack: ComposeStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._cells: dict[tuple[str, str], Future[Cell]] = {}

    def begin(self, kinds: list[str], moments: tuple[str, ...]) -> None:
        """Let the cells run, each kind's one after the other: they hit the same service."""

        def row(kind: str, done: dict[str, Future[Cell]]) -> None:
            for moment in moments:
                try:
                    done[moment].set_result(self.run(kind, moment))
                except BaseException as error:
                    done[moment].set_exception(error)

        for kind in kinds:
            futures: dict[str, Future[Cell]] = {moment: Future() for moment in moments}
            self._cells |= {(kind, moment): future for moment, future in futures.items()}
            self._pool.submit(row, kind, futures)

    def cell(self, kind: str, moment: str) -> Cell:
        return self._cells[kind, moment].result(300)

    def start(self, cell: Cell) -> subprocess.Popen[str]:
        cell.folder.mkdir()
        cell.baseline = look(self.stack.project, cell.kind)
        spec = {
            "kind": cell.kind,
            "moment": cell.moment,
            "folder": str(cell.folder),
            "stack": self.stack.descriptor(),
        }
        return subprocess.Popen(
            [sys.executable, crash_runner.__file__, json.dumps(spec)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def new(self, kind: str, moment: str) -> Cell:
        return Cell(kind, moment, self.folder / f"{kind} {moment}")

    def run(self, kind: str, moment: str) -> Cell:
        cell = self.new(kind, moment)
        process = self.start(cell)
        try:
            cell.output, _ = process.communicate(timeout=90)
        finally:
            process.kill()
        cell.code = process.returncode
        self.watch(cell)
        return cell

    def watch(self, cell: Cell) -> None:
        """From the runner's death until nothing is owed any more."""
        died = time.monotonic()
        seen = cell.folder / "seen.json"
        cell.seen = json.loads(seen.read_text()) if seen.exists() else {}
        journal = cell.folder / "journal" / "run.jsonl"
        while time.monotonic() < died + 60 and (cell.gone_after < 0 or cell.paid_after < 0):
            cell.at_last = look(self.stack.project, cell.kind)
            if cell.at_last == cell.baseline and cell.gone_after < 0:
                cell.gone_after = time.monotonic() - died
            if not journal.exists():
                cell.paid_after = time.monotonic() - died
            time.sleep(0.05)
        cell.at_last = look(self.stack.project, cell.kind)
        cell.healed = list(heal_all(cell.folder, SystemClock()))

    def close(self) -> None:
        self._pool.shutdown()


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
        stack.down()
        docker("rmi", f"{name}:1.0", f"{name}:1.1")
    left = docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={name}")
    left += docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={name}")
    assert left + docker("network", "ls", "-q", "--filter", f"label=com.docker.compose.project={name}") == ""


@pytest.fixture(scope="module")
def matrix(small: ComposeStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    matrix = Matrix(small, tmp_path_factory.mktemp("matrix"))
    yield matrix
    matrix.close()


@pytest.fixture(scope="module")
def cells(matrix: Matrix, request: pytest.FixtureRequest) -> Matrix:
    """Every cell that is asked for, begun at once."""
    wanted: dict[str, list[str]] = {}
    for item in request.session.items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if item.path == request.path and {"kind", "moment"} <= set(parameters):
            wanted.setdefault(parameters["kind"], []).append(parameters["moment"])
    for kind, moments in wanted.items():
        matrix.begin([kind], tuple(dict.fromkeys(moments)))
    return matrix


def proved(cell: Cell) -> None:
    """The runner was killed there, the fault was on where it had to be, is gone, and stays gone."""
    assert cell.code == -9, f"the runner was to be killed, and ended with {cell.code}: {cell.output}"
    if cell.moment in BEFORE:
        assert cell.seen == cell.baseline
    elif cell.moment in ("mid-injection", "after", "respond", "group"):
        assert cell.seen != cell.baseline, "the fault was never on, so that it is off proves nothing"
    assert 0 <= cell.gone_after <= GONE_WITHIN, f"not gone: {cell.at_last}\nbefore: {cell.baseline}"
    assert cell.paid_after >= 0, (cell.folder / "watchdog.log").read_text()
    assert cell.at_last == cell.baseline, "it came back"
    assert cell.healed == []
    assert "Traceback" not in (cell.folder / "watchdog.log").read_text()


@pytest.mark.parametrize("moment", [*MOMENTS, *MEDDLED])
@pytest.mark.parametrize("kind", list(EXAMPLES))
def test_a_killed_runner_leaves_nothing(cells: Matrix, kind: str, moment: str) -> None:
    proved(cells.cell(kind, moment))


def test_the_stack_is_usable_after_it_all(cells: Matrix, small: ComposeStack) -> None:
    for future in cells._cells.values():
        future.result(300)
    wait_for(small.is_up, "the stack to be whole", 20)
