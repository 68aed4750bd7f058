"""Healing after the file is gone that defines a fault: nothing is forgotten, and what is left to do is said."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from toy_stack import ToyStack

from sevdrill.cli import main
from sevdrill.clock import SystemClock
from sevdrill.faults import Fault
from sevdrill.faults.container import ContainerKill
from sevdrill.journal import Journal, journal_files

KIND = """
from typing import ClassVar, Literal
from sevdrill.faults import Fault, State

class Gremlin(Fault):
    needs: ClassVar[tuple[type, ...]] = ()
    fault: Literal["gremlin"]
    service: str

    @property
    def services(self): return (self.service,)
    def prepare(self, ports): return {}
    def inject(self, ports, record): pass
    def undo(self, ports, record): pass
    def state(self, ports, record): return State.OFF
"""


class Stack(ToyStack):
    """What a healer attaches to."""

    taken_down = False
    served: bool | None = None
    """Whether users were served when somebody began to wait for a change."""

    def exists(self) -> bool:
        return not self.taken_down

    def await_changes(self) -> None:
        self.served = self.up

    def by_hand(self) -> str:
        return "docker rm -fv THESE"

    def down(self) -> None:
        self.taken_down = True


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Stack:
    stack = Stack()
    monkeypatch.setattr("sevdrill.healing._attach", lambda journal, clock: stack)
    return stack


def killed_run(folder: Path, stack: Stack, *, keep: bool) -> Path:
    """What a run leaves that was killed while two faults were on; returns the file of the kind of one of them."""
    file = folder / "conftest.py"
    file.write_text(KIND, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("a_conftest_of_users", file)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "a_conftest_of_users", module)
        spec.loader.exec_module(module)
        gremlin: Fault = module.Gremlin(fault="gremlin", service="db")
        journal = Journal(folder / "state", "run", SystemClock(), {"project": "toy"}, keep=keep)
        journal.owe("a:0", gremlin, {}, 60)
        kill = ContainerKill(fault="container.kill", service="db")
        journal.owe("a:1", kill, {"running": 1, "hit": ["db-1"]}, 60)
    stack.up = False
    journal._let_go()
    return file


def heal(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["heal", "--state", str(folder / "state")])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_on_a_stack_that_stays_the_debt_stays_until_the_file_is_back(
    tmp_path: Path, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    file = killed_run(tmp_path, stack, keep=True)
    file.unlink()
    for _ in range(2):
        code, _, told = heal(tmp_path, capsys)
        assert code == 1
        assert "stack toy: owed and not undone: " in told
        assert "gremlin" in told
        assert f"{file}, which is gone; put it back" in told
        assert "By hand: docker rm -fv THESE" in told
        assert "Traceback" not in told
        assert len(journal_files(tmp_path / "state")) == 1
    # What can be undone was, although the other cannot.
    assert stack.up
    assert not stack.taken_down
    file.write_text(KIND, encoding="utf-8")
    code, told, _ = heal(tmp_path, capsys)
    assert code == 0
    assert "gremlin on db" in told
    assert journal_files(tmp_path / "state") == []


def test_a_stack_that_does_not_stay_takes_the_fault_with_it(
    tmp_path: Path, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    file = killed_run(tmp_path, stack, keep=False)
    file.unlink()
    code, told, _ = heal(tmp_path, capsys)
    assert code == 0
    assert f"{file}, which is gone" in told
    assert "stack toy: taken down" in told
    assert stack.taken_down
    assert journal_files(tmp_path / "state") == []


def test_users_do_not_wait_for_a_change_that_goes_on(
    tmp_path: Path, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    killed_run(tmp_path, stack, keep=True)
    code, told, _ = heal(tmp_path, capsys)
    assert code == 0
    assert stack.served
    assert "container.kill on db: undone" in told
