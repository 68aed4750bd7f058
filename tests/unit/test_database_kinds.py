"""The kinds of the database family on a made-up database, and how PostgreSQL is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sevdrill.actions.database import RefreshPool, TerminateQueries
from sevdrill.actions.migration import MigrateDown
from sevdrill.databases import Databases, DbSession, Migration, Migrations
from sevdrill.errors import ActionError, FaultError, StackError
from sevdrill.faults import State
from sevdrill.faults.database import ConnectionsExhausted, DatabaseLock
from sevdrill.faults.migration import ChangeMigration
from sevdrill.ports import Admin, ExecResult, Ports
from sevdrill.stacks.migrations import SqlMigrations
from sevdrill.stacks.postgres import PostgresDatabases, identifier, literal
from sevdrill.stacks.settings import MigrationSettings


class MadeUp:
    """A database with sessions, settings and migrations, and no server."""

    def __init__(self, *sessions: DbSession) -> None:
        self.there = {session.pid: session for session in sessions}
        self.wait = 0.0
        self.pool = "fresh"
        self.in_force: list[str] = []
        self.files = {"good": Migration("good", "up", "down"), "one_way": Migration("one_way", "up", "")}
        self.shape = "a"

    def ports(self) -> Ports:
        return Ports({Databases: self, Migrations: self, Admin: self})

    def sessions(self, service: str) -> list[DbSession]:
        return list(self.there.values())

    def terminate(self, service: str, pids: list[int]) -> None:
        for pid in pids:
            self.there.pop(pid, None)

    def lock(self, service: str, table: str, name: str, seconds: float) -> None:
        self.there[9] = DbSession(9, name, 0.1, idle=False, blocks=0)

    def longest_wait(self, service: str) -> float:
        return self.wait

    def settings(self, service: str) -> dict[str, dict[str, str]]:
        return {"app-1": {"pool.database": self.pool}}

    def change(self, service: str, setting: str, value: str) -> None:
        self.pool = value

    def known(self, service: str, name: str) -> Migration:
        return self.files[name]

    def applied(self, service: str) -> list[str]:
        return list(self.in_force)

    def schema(self, service: str) -> str:
        return self.shape

    def schema_before(self, service: str, name: str) -> str:
        return "a"

    def up(self, service: str, migration: Migration) -> None:
        self.in_force.append(migration.name)
        self.shape = "b"

    def down(self, service: str, migration: Migration) -> None:
        self.in_force.remove(migration.name)
        self.shape = "a"


BLOCKS = DbSession(1, "report", 5.0, idle=False, blocks=3)
YOUNG = DbSession(2, "shop", 0.3, idle=False, blocks=1)
LOST = DbSession(3, "shop", 60.0, idle=True, blocks=0)
WORKS = DbSession(4, "shop", 90.0, idle=False, blocks=0)


@pytest.mark.parametrize(("which", "ended"), [("blocking", {1}), ("idle", {3})])
def test_only_those_that_stand_in_the_way_are_ended(which: str, ended: set[int]) -> None:
    database = MadeUp(BLOCKS, YOUNG, LOST, WORKS)
    step = TerminateQueries(action="terminate-queries", service="db", which=which)  # type: ignore[arg-type]
    record = step.prepare(database.ports())
    assert step.proof(database.ports(), record).ok is False
    step.run(database.ports(), record)
    assert {1, 2, 3, 4} - set(database.there) == ended
    assert step.proof(database.ports(), record).ok
    database.wait = 10.0
    assert step.proof(database.ports(), record).ok is False


def test_where_nothing_stands_in_the_way_the_step_fails() -> None:
    with pytest.raises(ActionError, match="there is none"):
        TerminateQueries(action="terminate-queries", service="db").prepare(MadeUp(YOUNG, LOST).ports())


def test_a_lock_is_known_by_its_session() -> None:
    database = MadeUp(YOUNG)
    fault = DatabaseLock(fault="database.lock", service="db", table="orders")
    record = fault.prepare(database.ports())
    assert fault.state(database.ports(), record) is State.OFF
    fault.inject(database.ports(), record)
    assert fault.state(database.ports(), record) is State.ON
    for _ in range(2):
        fault.undo(database.ports(), record)
    assert fault.state(database.ports(), record) is State.OFF
    assert set(database.there) == {2}
    database.wait = 3.0
    with pytest.raises(FaultError, match="waits 3 s"):
        fault.prepare(database.ports())


def test_connections_are_exhausted_until_pool_and_sessions_are_both_well() -> None:
    database = MadeUp(WORKS)
    fault = ConnectionsExhausted(fault="database.connections-exhausted", service="app", database="db")
    record = fault.prepare(database.ports())
    fault.inject(database.ports(), record)
    database.there[3] = LOST
    assert fault.state(database.ports(), record) is State.ON
    RefreshPool(action="refresh-pool", service="app").run(database.ports(), {})
    assert fault.state(database.ports(), record) is State.UNKNOWN
    # What was lost a moment ago is as lost as the rest: not off before it is gone.
    database.there[3] = DbSession(3, "shop", 0.1, idle=True, blocks=0)
    fault.undo(database.ports(), record)
    assert fault.state(database.ports(), record) is State.UNKNOWN
    database.there[3] = LOST
    fault.undo(database.ports(), record)
    assert fault.state(database.ports(), record) is State.OFF
    assert set(database.there) == {4}


def test_a_migration_is_taken_back_when_schema_and_history_say_so() -> None:
    database = MadeUp()
    fault = ChangeMigration(fault="change.migration", service="db", migration="good")
    record = fault.prepare(database.ports())
    fault.inject(database.ports(), record)
    assert fault.state(database.ports(), record) is State.ON
    step = MigrateDown(action="migrate-down", service="db")
    noted = step.prepare(database.ports())
    # Only marked as rolled back: the schema is as broken as before.
    database.in_force.clear()
    assert step.proof(database.ports(), noted).ok is False
    assert fault.state(database.ports(), record) is State.UNKNOWN
    database.in_force.append("good")
    step.run(database.ports(), noted)
    assert step.proof(database.ports(), noted).ok
    assert fault.state(database.ports(), record) is State.OFF


def test_a_one_way_migration_cannot_be_taken_back() -> None:
    database = MadeUp()
    with pytest.raises(FaultError, match=r"no one_way\.down\.sql"):
        ChangeMigration(fault="change.migration", service="db", migration="one_way").prepare(database.ports())
    database.in_force.append("one_way")
    with pytest.raises(ActionError, match="one-way"):
        MigrateDown(action="migrate-down", service="db").prepare(database.ports())


def test_after_a_one_way_migration_only_a_drill_puts_its_stack_back() -> None:
    database = MadeUp()
    database.files["one_way"] = Migration("one_way", "up", "", staging="drop it")
    fault = ChangeMigration(fault="change.migration", service="db", migration="one_way")
    record = fault.prepare(database.ports())
    assert record["down"] == "drop it"
    fault.inject(database.ports(), record)
    with pytest.raises(ActionError, match="one-way"):
        MigrateDown(action="migrate-down", service="db").prepare(database.ports())
    fault.undo(database.ports(), record)
    assert fault.state(database.ports(), record) is State.OFF


class Psql:
    """A service that says what it was asked, and answers with what it is told to."""

    def __init__(self, *answers: ExecResult) -> None:
        self.asked: list[list[str]] = []
        self._answers = list(answers)

    def run(self, service: str, command: Sequence[str], *, timeout: float) -> ExecResult:
        self.asked.append([service, *command])
        return self._answers.pop(0)


def said(out: str) -> ExecResult:
    return ExecResult(0, out, "")


def test_sessions_are_read_as_psql_prints_them() -> None:
    database = PostgresDatabases(Psql(said("7|1.25|t|0|re|port\n8|0|f|2|\n")), {"db": ("psql",)})
    first, second = database.sessions("db")
    assert first == DbSession(7, "re|port", 1.25, idle=True, blocks=0)
    assert second == DbSession(8, "", 0.0, idle=False, blocks=2)


def test_what_the_database_refuses_is_said() -> None:
    refused = ExecResult(1, "", "FATAL: no\n")
    with pytest.raises(StackError, match="did not do what it was asked: FATAL: no"):
        PostgresDatabases(Psql(refused), {"db": ("psql",)}).longest_wait("db")
    with pytest.raises(StackError, match=r"x-sevdrill.databases has: db"):
        PostgresDatabases(Psql(), {"db": ("psql",)}).sessions("web")
    with pytest.raises(StackError, match="could not be locked: FATAL: no"):
        PostgresDatabases(Psql(refused, said(""), refused, said("")), {"db": ("psql",)}).lock("db", "orders", "x", 60)


def test_names_and_texts_are_quoted() -> None:
    assert identifier('shop.or"ders') == '"shop"."or""ders"'
    assert literal("it's") == "'it''s'"


def test_migrations_are_found_in_the_service_that_brings_them() -> None:
    files = Psql(said("a.up.sql\na.down.sql\nb.up.sql\n"), said("up"), said("down"))
    where = {"db": MigrationSettings(service="app", folder="m")}
    migrations = SqlMigrations(files, lambda *_: [], where)
    assert migrations.known("db", "a") == Migration("a", "up", "down")
    assert files.asked[1] == ["app", "cat", "m/a.up.sql"]
    one_way: Any = Psql(said("b.up.sql\n"), said("up"))
    assert SqlMigrations(one_way, lambda *_: [], where).known("db", "b").down == ""
    staging: Any = Psql(said("b.staging.sql\nb.up.sql\n"), said("up"), said("back"))
    assert SqlMigrations(staging, lambda *_: [], where).known("db", "b") == Migration("b", "up", "", staging="back")
    with pytest.raises(StackError, match=r'no migration "c" \(it has: b\)'):
        SqlMigrations(Psql(said("b.up.sql\n")), lambda *_: [], where).known("db", "c")
    with pytest.raises(StackError, match="names no migrations of web"):
        migrations.known("web", "a")
