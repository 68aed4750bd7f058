"""Steps that cannot be put back: nothing is undone after one, and the stack goes, whoever sees to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_run import Run
from toy_stack import ToyStack, toy_ports

from sevdrill import healing, session
from sevdrill.clock import SystemClock
from sevdrill.databases import Standbys
from sevdrill.errors import StackError, UsageError
from sevdrill.journal import REAL_INCIDENT, JournalFile
from sevdrill.judge import Outcome
from sevdrill.ports import Proxies
from sevdrill.reports.plan import plan_page
from sevdrill.session import DrillSession, Options
from sevdrill.shield import Shield

FAILOVER = {"action": "failover", "service": "standby", "timeout": "1s"}


class Standby:
    """A standby by which users are served once it is promoted, and the proxy of the primary."""

    def __init__(self, stack: ToyStack) -> None:
        self._stack, self.fenced = stack, False

    def is_standby(self, service: str) -> bool:
        return not self._stack.up

    def promote(self, service: str) -> None:
        self._stack.calls.append("promote")
        self._stack.up, self._stack._down_since = True, None

    def set_down(self, service: str, *, down: bool) -> None:
        self.fenced = down

    def down(self, service: str) -> dict[str, bool]:
        return {"db-5432": self.fenced}


def toy(tmp_path: Path, stack: ToyStack, **changes: Any) -> tuple[Run, Standby]:
    standby = Standby(stack)
    ports = toy_ports(stack).with_({Standbys: standby, Proxies: standby})
    respond = [{"action": "fence", "service": "db"}, FAILOVER]
    return Run(tmp_path, stack, ports=ports, **{"respond": respond, **changes}), standby


def test_nothing_is_undone_after_it(tmp_path: Path) -> None:
    stack = ToyStack()
    run, standby = toy(tmp_path, stack)
    verdict = run.run()
    assert verdict.outcome is Outcome.PASSED, verdict.reasons
    assert not verdict.dirty
    assert run.engine.renewed == ["failover to standby"]
    assert "start" not in stack.calls, "the old primary was started again"
    assert standby.fenced, "the fence was taken away"


def test_it_is_on_disk_before_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = ToyStack()
    run, standby = toy(tmp_path, stack)
    seen: list[list[str]] = []

    def promote(service: str) -> None:
        journal = JournalFile.read(run.journal.path)
        assert journal is not None
        seen.append(journal.renewed)
        Standby.promote(standby, service)

    monkeypatch.setattr(standby, "promote", promote)
    run.run()
    assert seen == [["failover to standby"]]
    assert not run.journal.close(), "the journal must stay until the stack is gone"


def test_a_failover_that_is_not_done_undoes_everything(tmp_path: Path) -> None:
    stack = ToyStack()
    run, standby = toy(tmp_path, stack, respond=[{"action": "fence", "service": "db"}])
    run.run()
    assert run.engine.renewed == []
    assert stack.up
    assert not standby.fenced


def test_a_primary_cannot_be_promoted(tmp_path: Path) -> None:
    stack = ToyStack()
    run, _ = toy(tmp_path, stack, respond=[{"action": "restart", "service": "db"}, FAILOVER])
    verdict = run.run()
    assert any("is no standby, it takes writes already" in reason for reason in verdict.reasons), verdict.reasons
    assert run.engine.renewed == [], "what was refused needs no new stack"


def test_nobody_is_told_that_everything_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = ToyStack()
    run, standby = toy(tmp_path, stack)

    def interrupted(service: str) -> None:
        raise KeyboardInterrupt(REAL_INCIDENT)

    monkeypatch.setattr(standby, "promote", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert [call for call in stack.calls if call.startswith("over")] == ["over None", "over False"]


class Fake:
    """A stack of which only is known what it has and whether it is there."""

    def __init__(self, profiles: tuple[str, ...], world: dict[str, Any]) -> None:
        self.profiles, self.world = profiles, world
        self.project, self.title = "toy", "toy"

    def descriptor(self) -> dict[str, Any]:
        return {"project": self.project}

    def exists(self) -> bool:
        return self.world["up"] is not None

    def is_up(self) -> bool:
        return self.exists() and set(self.profiles) <= set(self.world["up"])

    def up(self) -> None:
        self.world["up"] = self.profiles
        self.world["said"].append(f"up {','.join(self.profiles)}")

    def down(self) -> None:
        if self.world.get("stuck"):
            raise StackError("it does not go")
        self.world["up"] = None
        self.world["said"].append("down")

    def await_changes(self) -> None: ...

    def ports(self) -> None:
        raise AssertionError("nothing is to be undone")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[DrillSession, dict[str, Any]]:
    world: dict[str, Any] = {"up": None, "said": []}
    monkeypatch.setattr(session, "make", lambda *_, profiles, **__: Fake(profiles, world))
    monkeypatch.setattr(session, "start_watchdog", lambda *_: None)
    options = Options(tmp_path, (), stack_kind="embedded", state_dir=tmp_path / "state", runs_dir=tmp_path / "runs")
    return DrillSession(options, Shield(), tmp_path / "runs", say=world["said"].append), world


def ready(drills: DrillSession, *profiles: str) -> Any:
    drills._wanted = profiles
    return drills._ready_stack()


def test_a_stack_has_what_each_drill_needs(place: tuple[DrillSession, dict[str, Any]]) -> None:
    drills, world = place
    ready(drills)
    ready(drills)
    assert world["said"] == ["up "], "started once"
    ready(drills, "standby")
    ready(drills)
    ready(drills, "standby")
    said = world["said"]
    assert said[2:] == ["up standby"], "it has more than the last drill needs, which does no harm"
    assert said[1].endswith("gets what the drill needs besides: standby")
    ready(drills, "backups")
    assert world["up"] == ("standby", "backups")


def test_a_renewed_stack_is_started_as_the_next_drill_needs_it(place: tuple[DrillSession, dict[str, Any]]) -> None:
    drills, world = place
    drills._renew(ready(drills, "standby"), ["failover to standby"])
    assert world["up"] is None
    assert world["said"][-2:] == ["the stack toy is made anew: failover to standby cannot be put back", "down"]
    ready(drills)
    assert world["up"] == ()


def test_a_stack_that_does_not_go_is_dirty(place: tuple[DrillSession, dict[str, Any]]) -> None:
    drills, world = place
    stack = ready(drills)
    world["stuck"] = True
    drills._renew(stack, ["failover to standby"])
    assert world["said"][-1] == "the stack toy could not be taken down: it does not go"
    assert drills._dirty


def test_a_healer_takes_it_down_and_undoes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = toy(tmp_path, ToyStack())
    run.run()
    path = run.journal.path
    run.journal._let_go()
    world: dict[str, Any] = {"up": (), "said": []}
    monkeypatch.setattr(healing, "_attach", lambda *_: Fake((), world))
    said = list(healing.heal(path, SystemClock()))
    assert said == ["stack toy: taken down, since this cannot be put back: failover to standby"]
    assert world["up"] is None
    assert not path.exists()


def test_the_plan_says_so(tmp_path: Path) -> None:
    run, _ = toy(tmp_path, ToyStack(), profiles=["standby"])
    run.writer.close()
    page = "\n".join(plan_page(run.engine.plan, "toy.yml"))
    assert "profiles of the stack: standby" in page
    assert "afterwards the stack is made anew: failover to standby cannot be put back" in page


def test_where_people_respond_nobody_knows_what_they_did(tmp_path: Path) -> None:
    run, _ = toy(tmp_path, ToyStack())
    run.writer.close()
    assert session._by_people(run.scenario, "live") == ["failover to standby"]
    assert session._by_people(run.scenario, "auto") == [], "what the tool did is on its own list"


def test_a_drill_says_which_profile_it_needs(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text("services: {db: {}, standby: {profiles: [two]}}")
    run, _ = toy(tmp_path, ToyStack())
    run.writer.close()
    said = r'"Toy database down" acts on standby, which is there only with the profile two: add `profiles: \[two\]`'
    with pytest.raises(UsageError, match=said):
        session._refuse_absent(run.scenario, [tmp_path / "compose.yml"])
    session._refuse_absent(run.scenario.model_copy(update={"profiles": ("two",)}), [tmp_path / "compose.yml"])
