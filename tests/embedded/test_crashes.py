"""The crash matrix on child processes: however and whenever the runner dies, the fault is gone soon and stays gone."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_embedded import compose
from crash_matrix import KILLED, MOMENTS, PROMISED, Cell, Matrix, proved
from crash_stack import EXAMPLES
from drill_root import wait_for
from embedded_root import processes

from sevdrill.actions import ACTIONS
from sevdrill.clock import SystemClock
from sevdrill.faults import FAULTS
from sevdrill.ports import Load, Networks
from sevdrill.stacks.embedded.stack import EmbeddedConfig, EmbeddedStack

pytestmark = pytest.mark.embedded

NEEDS = {
    kind.model_fields[key].annotation.__args__[0]: set(kind.needs)  # type: ignore[union-attr]
    for key, kinds in (("fault", FAULTS), ("action", ACTIONS))
    for kind in kinds
}
LACKS = {Networks}
"""What child processes cannot do."""
KINDS = [kind for kind in EXAMPLES if not NEEDS[kind] & LACKS]


WHEN = (*MOMENTS, "restarted")
# On Compose a runner dies at every moment of every kind that does something of its own. Here, where the same undos act,
# each kind has one moment, in turn; `CRASHES=all` asks for everything.
CELLS = [
    (kind, moment)
    for number, kind in enumerate(KINDS)
    for step, moment in enumerate(WHEN)
    if os.environ.get("CRASHES") == "all" or (step - number) % len(WHEN) == 0
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    folder, name = tmp_path_factory.mktemp("small"), f"sevdrill-test-{secrets.token_hex(4)}"
    (folder / "compose.yml").write_text(compose(folder))
    config = EmbeddedConfig((folder / "compose.yml",), name, folder / ".sevdrill", keep=True)
    stack = EmbeddedStack(config, SystemClock())
    try:
        stack.up()
        data = stack._control.site.folder
        yield stack
    finally:
        stack.down()
    assert not data.exists()
    assert processes(str(data)) == {}


@pytest.fixture(scope="module")
def matrix(small: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    matrix = Matrix(small, tmp_path_factory.mktemp("matrix"))
    yield matrix
    matrix.close()


@pytest.fixture(scope="module")
def cells(matrix: Matrix, request: pytest.FixtureRequest) -> Matrix:
    """Every cell that is asked for, begun at once."""
    matrix.begin_those_of(request)
    return matrix


def test_every_kind_is_in_it_that_child_processes_can_do(small: EmbeddedStack) -> None:
    ports = small.ports()
    assert {kind for kind, _ in CELLS} == set(KINDS)
    assert {moment for _, moment in CELLS} == set(WHEN)
    assert {kind for kind in EXAMPLES if all(port in ports or port is Load for port in NEEDS[kind])} == set(KINDS)


@pytest.mark.parametrize(("kind", "moment"), CELLS)
def test_a_killed_runner_leaves_nothing(cells: Matrix, kind: str, moment: str) -> None:
    proved(cells.cell(kind, moment))


@pytest.mark.parametrize(("kind", "moment"), [("container.pause", "group"), ("network.down", "torn")])
def test_a_killed_group_and_a_torn_journal(cells: Matrix, kind: str, moment: str) -> None:
    proved(cells.cell(kind, moment))


@pytest.mark.parametrize("kind", ["container.crash-loop", "network.latency", "resource.cpu-limit", "scale"])
def test_a_healer_that_is_killed_and_run_again(cells: Matrix, kind: str) -> None:
    cells.row_ended(kind)
    cell = cells.new(kind, "alone")
    cells.let_die(cell)
    assert json.loads((cell.folder / "seen.json").read_text()) != cell.baseline
    journal = cell.folder / "journal" / "run.jsonl"
    assert journal.exists()
    healer = Cell(kind, "heal", cell.folder, cell.baseline)
    cells.let_die(healer)
    assert healer.code in KILLED, healer.output
    assert journal.exists()
    command = [sys.executable, "-m", "sevdrill", "heal", "--state", str(cell.folder)]
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 0, again.stderr
    assert kind in again.stdout
    assert cells.look(kind) == cell.baseline
    assert not journal.exists()
    once_more = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert once_more.stdout == "nothing to heal\n"


def test_nearly_all_are_gone_in_the_time_that_is_promised(cells: Matrix) -> None:
    took = sorted(cell.gone_after for cell in cells.every())
    assert took
    assert 0 <= took[int(len(took) * 0.95)] <= PROMISED, took


def test_the_stack_is_usable_after_it_all(cells: Matrix, small: EmbeddedStack) -> None:
    assert list(cells.every())
    wait_for(small.is_up, "the stack to be whole", 20)


def test_a_supervisor_that_is_killed_takes_the_fault_with_it(tmp_path: Path) -> None:
    # The last one: with its supervisor the stack is gone.
    few = json.loads(compose(tmp_path))
    few["services"] = {name: few["services"][name] for name in ("base", "cpu-limit", "crash-loop")}
    few["x-sevdrill"] = {"target": "staging", "healthy_within": "60s"}
    few.pop("volumes")
    (tmp_path / "compose.yml").write_text(json.dumps(few))
    name = f"sevdrill-test-{secrets.token_hex(4)}"
    stack = EmbeddedStack(EmbeddedConfig((tmp_path / "compose.yml",), name, tmp_path / "s", keep=True), SystemClock())
    try:
        stack.up()
        data = stack._control.site.folder
        matrix = Matrix(stack, tmp_path)
        cell = matrix.new("resource.cpu-limit", "alone")
        matrix.let_die(cell)
        assert cell.code in KILLED, cell.output
        assert matrix.look(cell.kind) != cell.baseline
        document = json.loads(stack._control.file.read_text())
        os.kill(document["pid"], signal.SIGKILL)
        wait_for(lambda: processes(str(data)) == {}, "its children to be gone", 20)
        command = [sys.executable, "-m", "sevdrill", "heal", "--state", str(cell.folder)]
        healed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert "Traceback" not in healed.stderr
        assert not (cell.folder / "journal" / "run.jsonl").exists(), healed.stdout + healed.stderr
        stack.up()
        wait_for(lambda: stack.is_up(), "a stack that is whole", 20)
    finally:
        stack.down()
    assert not list(Path(tempfile.gettempdir()).glob(f"sevdrill-{name}-*"))
