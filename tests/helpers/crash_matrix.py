"""The crash matrix, on any stack: runners that are killed at chosen moments, and the proof that nothing is left."""

from __future__ import annotations

import inspect
import json
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import crash_embedded
import crash_stack
import pytest

from sevdrill.clock import SystemClock
from sevdrill.healing import heal_all
from sevdrill.kinds import Kinds
from sevdrill.stacks.compose import ComposeStack
from sevdrill.stacks.embedded.stack import EmbeddedStack
from sevdrill.surges import Surge

# Forked from a process that has imported all they need, and nothing else: an import costs more than what is proved.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["crash_runner"])


def begin_forks() -> None:
    """Start the process that runners are forked from; what it is to import lies here, and Python tells it of no path.

    Where it finds nothing it says nothing, and each runner imports everything by itself.
    """
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *([path] if path else [])])
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if path:
            os.environ["PYTHONPATH"] = path


AT_ONCE = 6
"""So many runners side by side, each with a journal and a watchdog of its own."""
PROMISED = 10.0
"""Seconds after the runner's death within which the fault is promised to be gone."""
GONE_WITHIN = 2 * PROMISED
"""What a single one may take here, where so many runners that die at once keep a small machine busy."""
KILLED = (-9, 255)
"""How a killed runner ends; 255 is said where the status of a child was lost, and no runner ends so by itself."""
BEFORE = ("before the journal", "after the journal", "torn")
KINDS = {**Kinds.default().named("fault"), **Kinds.default().named("action")}
MOMENTS = (*BEFORE[:2], "in flight", "mid-injection", "after", "respond", "undo")


def sampled(kinds: Sequence[str], moments: Sequence[str]) -> list[tuple[str, str]]:
    """Every moment of the first of the kinds that share all of their methods, and one, in turn, of each other.

    Everything with ``CRASHES=all``.
    """
    seen: set[object] = set()
    cells = []
    for number, name in enumerate(kinds):
        kind = KINDS[name]
        methods = [getattr(kind, method, None) for method in ("prepare", "inject", "run", "undo", "state")]
        switched = getattr(kind, "_switch", None)
        shared = (*methods, switched and inspect.signature(switched.fget).return_annotation)
        whole = shared not in seen or os.environ.get("CRASHES") == "all"
        seen.add(shared)
        cells += [(name, m) for step, m in enumerate(moments) if whole or (step - number) % len(moments) == 0]
    return cells


def look_at(stack: dict[str, Any], kind: str) -> dict[str, Any]:
    """What a stack itself, given by its descriptor, shows of what a kind's example hits."""
    if kind == "load.spike":
        return {"users asked for": Surge(crowd_folder(stack)).asked()}
    if stack["kind"] == "embedded":
        return crash_embedded.look(stack, kind)
    return crash_stack.look(stack["project"], kind)


def crowd_folder(stack: dict[str, Any]) -> Path:
    """Where the load generator of a runner on this stack is asked for more users."""
    return Path(stack["state_dir"] if stack["kind"] == "embedded" else Path(stack["file"]).parent)


def write(file: Path, shown: object) -> None:
    """Keep what was seen, for whoever looks after this process is dead."""
    file.write_text(json.dumps(shown))


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
    def __init__(self, stack: ComposeStack | EmbeddedStack, folder: Path) -> None:
        begin_forks()
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

    def begin_those_of(self, request: pytest.FixtureRequest) -> None:
        """Begin every cell that tests of a module ask for."""
        wanted: dict[str, list[str]] = {}
        for item in request.session.items:
            parameters = getattr(getattr(item, "callspec", None), "params", {})
            if item.path == request.path and {"kind", "moment"} <= set(parameters):
                wanted.setdefault(parameters["kind"], []).append(parameters["moment"])
        for kind, moments in wanted.items():
            self.begin([kind], tuple(dict.fromkeys(moments)))

    def every(self) -> Iterator[Cell]:
        """All that were begun, when they have ended."""
        for future in self._cells.values():
            yield future.result(300)

    def row_ended(self, kind: str) -> None:
        """Wait for all cells of a kind."""
        for (its, _), future in self._cells.items():
            if its == kind:
                future.exception(300)

    def cell(self, kind: str, moment: str) -> Cell:
        return self._cells[kind, moment].result(300)

    def look(self, kind: str) -> dict[str, Any]:
        return look_at(self.stack.descriptor(), kind)

    def start(self, cell: Cell, **stack: str) -> BaseProcess:
        cell.folder.mkdir(exist_ok=True)
        cell.baseline = cell.baseline or self.look(cell.kind)
        told = (cell.kind, cell.moment, str(cell.folder), self.stack.descriptor() | stack)
        import crash_runner  # which imports this

        process = FORKS.Process(target=crash_runner.run, args=told)
        process.start()
        return process

    def new(self, kind: str, moment: str) -> Cell:
        return Cell(kind, moment, self.folder / f"{kind} {moment}")

    def run(self, kind: str, moment: str) -> Cell:
        cell = self.new(kind, moment)
        self.let_die(cell)
        self.watch(cell)
        return cell

    def let_die(self, cell: Cell, **stack: str) -> None:
        self.ended(cell, self.start(cell, **stack))

    def ended(self, cell: Cell, process: BaseProcess) -> None:
        """Wait for a runner's end."""
        process.join(90)
        process.kill()
        process.join()
        cell.code = process.exitcode or 0
        cell.output = (cell.folder / "output").read_text(errors="replace")

    def watch(self, cell: Cell) -> None:
        """From the runner's death until nothing is owed any more."""
        died = time.monotonic()
        seen = cell.folder / "seen.json"
        cell.seen = json.loads(seen.read_text()) if seen.exists() else {}
        journal = cell.folder / "journal" / "run.jsonl"
        while time.monotonic() < died + 60 and (cell.gone_after < 0 or cell.paid_after < 0):
            if cell.gone_after < 0:
                cell.at_last = self.look(cell.kind)
                if cell.at_last == cell.baseline:
                    cell.gone_after = time.monotonic() - died
            if not journal.exists():
                cell.paid_after = time.monotonic() - died
            time.sleep(0.1)
        cell.at_last = self.look(cell.kind)
        cell.healed = list(heal_all(cell.folder, SystemClock()))

    def close(self) -> None:
        self._pool.shutdown()


def proved(cell: Cell) -> None:
    """The runner was killed there, the fault was on where it had to be, is gone, and stays gone."""
    assert cell.code in KILLED, f"the runner was to be killed, and ended with {cell.code}: {cell.output}"
    if cell.moment in BEFORE:
        assert cell.seen == cell.baseline
    elif cell.moment in ("mid-injection", "after", "respond", "group"):
        assert cell.seen != cell.baseline, "the fault was never on, so that it is off proves nothing"
    assert 0 <= cell.gone_after <= GONE_WITHIN, f"not gone: {cell.at_last}\nbefore: {cell.baseline}"
    assert cell.paid_after >= 0, (cell.folder / "watchdog.log").read_text()
    assert cell.at_last == cell.baseline, f"it came back: {cell.at_last}\nbefore: {cell.baseline}"
    assert cell.healed == []
    assert "Traceback" not in (cell.folder / "watchdog.log").read_text()
