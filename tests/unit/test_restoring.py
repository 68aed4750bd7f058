"""Backups, spoilt rows and fences on made-up stacks, and the commands by which a stack does what they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sevdrill.actions.failover import Failover, Fence
from sevdrill.actions.restoring import CopyState, RestoreBackup, SwapRestored
from sevdrill.checks import Result
from sevdrill.checks.writes import NoLostWrites
from sevdrill.databases import Backups, Rows, Standbys
from sevdrill.errors import ActionError, FaultError, StackError
from sevdrill.faults import State
from sevdrill.faults.database import DatabaseCorruptRows
from sevdrill.model import Record
from sevdrill.ports import ExecResult, Ledger, Ledgers, Load, Ports, Proxies
from sevdrill.stacks.backups import CommandBackups
from sevdrill.stacks.postgres import PostgresDatabases
from sevdrill.stacks.settings import BackupSettings


class Shop:
    """A database, its backups, its standby and its proxy, made up."""

    def __init__(self) -> None:
        self.taken = {"one": "", "two": "3 rows are wrong", "three": "cannot be read"}
        self.restored, self.forgets = "", False
        self.kept: list[str] = []
        self.lost = ["a", "b"]
        self.spoils, self.bad = False, 0
        self.standby, self.ports_down = True, {"db-1": False, "db-2": False}

    def ports(self) -> Ports:
        return Ports({Backups: self, Rows: self, Standbys: self, Proxies: self})

    def known(self, service: str) -> list[str]:
        return list(self.taken)

    def restore(self, service: str, backup: str) -> None:
        if self.taken[backup].startswith("cannot"):
            raise StackError(self.taken[backup])
        self.restored = backup

    def wrong(self, service: str) -> list[str]:
        return [self.taken[self.restored]] if self.taken[self.restored] else []

    def swap(self, service: str) -> None: ...

    def gap(self, service: str) -> list[str]:
        return self.lost

    def copy(self, service: str) -> str:
        if not self.forgets:
            self.kept.append("copy")
        return "copy"

    def copies(self, service: str) -> list[str]:
        return self.kept

    def spoil(self, service: str, table: str, column: str) -> None:
        self.spoils, self.bad = True, 2

    def mend(self, service: str, table: str, column: str) -> None:
        self.spoils, self.bad = False, 0

    def spoilt(self, service: str, table: str, column: str) -> tuple[bool, int]:
        return self.spoils, self.bad

    def is_standby(self, service: str) -> bool:
        return self.standby

    def promote(self, service: str) -> None:
        self.standby = False

    def set_down(self, service: str, *, down: bool) -> None:
        self.ports_down = dict.fromkeys(self.ports_down, down)

    def down(self, service: str) -> dict[str, bool]:
        return self.ports_down


def done(step: Any, shop: Shop) -> tuple[bool | None, str]:
    record: Record = step.prepare(shop.ports())
    step.run(shop.ports(), record)
    reading = step.proof(shop.ports(), record)
    return reading.ok, reading.why


def test_the_newest_good_backup_is_chosen_by_what_is_in_it() -> None:
    step = RestoreBackup(action="restore-backup", service="db", rejects=2)
    assert done(step, Shop()) == (True, "one is good; rejected: three: cannot be read; two: 3 rows are wrong")


def test_where_none_had_to_be_rejected_the_drill_has_not_shown_that_they_are_tested() -> None:
    shop = Shop()
    shop.taken = {"one": ""}
    with pytest.raises(ActionError, match="0 backups were found bad, expected at least 1"):
        done(RestoreBackup(action="restore-backup", service="db", rejects=1), shop)


def test_no_good_backup() -> None:
    shop = Shop()
    shop.taken.pop("one")
    with pytest.raises(ActionError, match="no backup is good: three: cannot be read; two: 3 rows are wrong"):
        done(RestoreBackup(action="restore-backup", service="db"), shop)


def test_a_copy_is_kept_only_when_it_is_there() -> None:
    shop = Shop()
    assert done(CopyState(action="copy-state", service="db"), shop) == (True, "copy is kept")
    shop.kept, shop.forgets = [], True
    assert done(CopyState(action="copy-state", service="db"), shop) == (False, "copy is not there")


def test_the_gap_is_named() -> None:
    shop = Shop()
    step = SwapRestored(action="swap-restored", service="db")
    assert step.renews
    assert done(step, shop) == (True, "2 rows are not in the backup: a, b ...")
    shop.lost = []
    assert done(step, shop) == (True, "nothing lies between the backup and the corruption")


def test_a_failover_makes_a_primary_of_a_standby_once() -> None:
    shop = Shop()
    step = Failover(action="failover", service="standby")
    assert done(step, shop) == (True, "standby is a primary, and takes writes")
    with pytest.raises(ActionError, match="is no standby, it takes writes already"):
        done(step, shop)


def test_a_fence_is_on_when_every_port_refuses() -> None:
    shop = Shop()
    step = Fence(action="fence", service="db")
    assert done(step, shop)[0] is True
    with pytest.raises(ActionError, match="clients are refused already"):
        step.prepare(shop.ports())
    shop.ports_down["db-1"] = False
    assert step.state(shop.ports(), {}) is State.UNKNOWN
    step.undo(shop.ports(), {})
    assert step.state(shop.ports(), {}) is State.OFF


def test_rows_that_are_wrong_already_hide_those_that_go_wrong() -> None:
    shop = Shop()
    fault = DatabaseCorruptRows(fault="database.corrupt-rows", service="db", table="orders", column="total")
    assert fault.state(shop.ports(), {}) is State.OFF
    fault.inject(shop.ports(), fault.prepare(shop.ports()))
    assert fault.state(shop.ports(), {}) is State.ON
    with pytest.raises(FaultError, match="2 rows have a total below 0 already"):
        fault.prepare(shop.ports())
    shop.spoils = False
    assert fault.state(shop.ports(), {}) is State.UNKNOWN, "no new ones, and the old ones are wrong still"
    fault.undo(shop.ports(), {})
    assert fault.state(shop.ports(), {}) is State.OFF


class Commands:
    """Notes what is run, and answers."""

    def __init__(self, out: str = "", code: int = 0) -> None:
        self.ran: list[tuple[str, list[str]]] = []
        self.out, self.code = out, code

    def run(self, service: str, command: Sequence[str], *, timeout: float) -> ExecResult:
        self.ran.append((service, list(command)))
        return ExecResult(self.code, self.out, "it is broken" if self.code else "")


def test_each_verb_is_put_behind_the_command() -> None:
    commands = Commands("a\nb\n")
    backups = CommandBackups(commands, {"db": BackupSettings(service="safe", command=("backups", "-q"))})
    assert backups.known("db") == ["a", "b"]
    assert (backups.wrong("db"), backups.gap("db"), backups.copies("db")) == (["a", "b"],) * 3
    assert backups.copy("db") == "b", "what else it prints is no name"
    backups.restore("db", "a")
    backups.swap("db")
    assert {service for service, _ in commands.ran} == {"safe"}
    assert [" ".join(command[2:]) for _, command in commands.ran] == [
        *("list", "check", "gap", "copies", "copy", "restore a", "swap")
    ]


def test_what_a_verb_complains_of_is_said() -> None:
    backups = CommandBackups(Commands(code=1), {"db": BackupSettings(service="safe", command=("backups",))})
    with pytest.raises(StackError, match="backups of db: restore a: it is broken"):
        backups.restore("db", "a")
    with pytest.raises(StackError, match=r"how the backups of web are asked for \(x-sevdrill.backups has: db\)"):
        backups.known("web")


def test_how_postgresql_is_asked_for_rows() -> None:
    commands = Commands("t|7\n")
    database = PostgresDatabases(commands, {"db": ["psql"]})
    assert database.spoilt("db", "shop.orders", "total") == (True, 7)
    database.spoil("db", "shop.orders", "total")
    database.mend("db", "shop.orders", "total")
    asked = [command[-1] for _, command in commands.ran]
    assert 'from "shop"."orders" where "total" < 0' in asked[0]
    assert 'before insert on "shop"."orders"' in asked[1]
    assert 'set "total" = abs("total")' in asked[2]


class Written:
    """What was written, where it is, and what is named as lost."""

    def __init__(self, rows: list[str], named: list[str]) -> None:
        self._rows = {"elsewhere": rows, "named": named}

    def ledger(self, name: str) -> Ledger:
        return Ledger(frozenset("abc"), frozenset("abc"))

    def rows(self, ledger: str) -> list[str]:
        return self._rows[ledger]


@pytest.mark.parametrize(
    ("rows", "named", "result", "why"),
    [
        ("a", "bc", Result.HOLDS, "3 acknowledged, all found, or among the 2 of named"),
        ("a", "b", Result.BROKEN, "1 of 3 acknowledged writes are lost: c"),
        ("ab", "abc", Result.BROKEN, "2 writes are named as lost and are there: a, b"),
    ],
)
def test_what_is_lost_must_be_named_and_nothing_else(rows: str, named: str, result: Result, why: str) -> None:
    written = Written(list(rows), list(named))
    ports = Ports({Load: written, Ledgers: written})
    check = NoLostWrites(check="no_lost_writes", ledger="orders", rows="elsewhere", named="named")
    finding = check.judge(check.read(ports), None)  # type: ignore[arg-type]  # the timeline is not looked at
    assert (finding.result, finding.why) == (result, why)
