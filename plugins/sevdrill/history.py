"""The history of drills: SQLite, one row a drill and run, made from the summaries that every run leaves.

It is a convenience, never a truth: what it holds can be made again from the timelines (`sevdrill report RUN`). So
whatever is wrong with it must not fail a run; `HistoryError` says what it was.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from sevdrill.errors import SevdrillError

__all__ = ["TIMES", "Entry", "FollowUp", "History", "HistoryError", "Lesson", "got_worse"]

VERSION = 1
PATIENCE = 3.0
"""Seconds to wait for another run that is writing."""
TIMES = ("mttd", "mtta", "mttm", "mttr", "rollback")
"""The times that are kept, and the targets that limit them."""
LIMITED_BY = {"mttd": "detect", "mttm": "mitigate", "mttr": "recover", "rollback": "rollback"}

_SCHEMA = """
create table drills (
    run text not null, folder text not null, drill text not null, file text not null, severity text not null,
    policy text not null, stack text not null, began text not null, outcome text not null,
    primary key (run, folder)
);
create index drills_by_name on drills (drill, began);
create table times (
    run text not null, folder text not null, name text not null, lo real not null, hi real not null, target real,
    primary key (run, folder, name)
);
create table follow_ups (
    id integer primary key, drill text not null, what text not null, owner text not null, due text not null,
    run text not null, source text not null, done text, unique (drill, what, run)
);
"""
# Tables that came later: a history without them gets them, and an older sevdrill reads one that has them all the same.
_LATER = """
create table if not exists leaders (drill text primary key, who text not null, run text not null);
create table if not exists lessons (
    who text not null, step text not null, at text not null, what text not null, hints integer not null,
    done integer not null
);
"""


class HistoryError(SevdrillError):
    """The history cannot be read or written; the message says why and what to do."""


@dataclass(frozen=True)
class Entry:
    """One drill of one run."""

    run: str
    folder: str
    drill: str
    severity: str
    policy: str
    stack: str
    began: str
    outcome: str
    times: Mapping[str, float] = field(default_factory=dict)
    """Seconds, the upper ends, by the names in `TIMES`."""
    targets: Mapping[str, float] = field(default_factory=dict)
    """Limits in seconds, by the same names."""

    @property
    def stack_kind(self) -> str:
        """The kind of stack: child processes are quicker than containers, and are not compared with them."""
        return self.stack.partition(",")[0]


@dataclass(frozen=True)
class FollowUp:
    """Something that the SOP wants done after a drill that found something."""

    id: int
    drill: str
    what: str
    owner: str
    due: dt.datetime | None
    """None: the SOP sets no time."""
    run: str
    source: str


@dataclass(frozen=True)
class Lesson:
    """Something that a new engineer did on the onboarding track."""

    step: str
    """`joined`, or what the track calls it: read, shadow, participate, lead."""
    at: dt.datetime
    what: str
    """What it was, and how it went, in a few words."""
    hints: int = 0
    """How many hints were taken."""
    done: bool = True
    """Whether it counts as done."""


class History:
    """The database at ``path``; every method opens it, does one thing and closes it.

    Raises (every method):
        HistoryError: it is locked, no database, of another version, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self.path, timeout=PATIENCE)) as database, database:
                version = database.execute("pragma user_version").fetchone()[0]
                if version == 0:
                    # Two runs may both be the first: whoever gets the lock makes the tables.
                    database.execute("begin immediate")
                    if database.execute("pragma user_version").fetchone()[0] == 0:
                        for statement in filter(str.strip, _SCHEMA.split(";")):
                            database.execute(statement)
                        database.execute(f"pragma user_version = {VERSION}")
                elif version != VERSION:
                    raise HistoryError(
                        f"{self.path} is a history of version {version}, but this sevdrill reads version {VERSION}; "
                        "move it away, and a new one is begun"
                    )
                for statement in filter(str.strip, _LATER.split(";")):
                    database.execute(statement)
                yield database
        except sqlite3.Error as error:
            raise HistoryError(
                f"the history {self.path} cannot be used ({error}); nothing else is touched by that. Is another run "
                "writing, or is the file damaged or read-only? Moved away, a new one is begun"
            ) from None
        except OSError as error:
            raise HistoryError(f"the history {self.path} cannot be used: {error.strerror or error}") from None

    def record(self, run: str, drills: Sequence[Mapping[str, Any]]) -> None:
        """Keep the summaries of a run; those that are there already are replaced."""
        with self._open() as database:
            for drill in drills:
                key = (run, str(drill.get("folder") or drill["drill"]))
                database.execute(
                    "insert or replace into drills values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *key,
                        *(
                            str(drill[name])
                            for name in ("drill", "file", "severity", "policy", "stack", "began", "outcome")
                        ),
                    ),
                )
                limits = {target["target"]: target["limit"] for target in drill["targets"]}
                database.execute("delete from times where run = ? and folder = ?", key)
                for name in TIMES:
                    time = drill["times"].get(name)
                    if time is not None:
                        limit = limits.get(LIMITED_BY.get(name, ""))
                        database.execute(
                            "insert into times values (?, ?, ?, ?, ?, ?)", (*key, name, time["lo"], time["hi"], limit)
                        )

    def entries(self, last: int = 30) -> dict[str, list[Entry]]:
        """The last runs of every drill, the oldest first, by the drill's name."""
        if not self.path.exists():
            return {}
        with self._open() as database:
            rows = database.execute(
                "select run, folder, drill, severity, policy, stack, began, outcome from (select *, row_number() over "
                "(partition by drill order by began desc) as place from drills) where place <= ? order by drill, began",
                (last,),
            ).fetchall()
            times: dict[tuple[str, str], list[tuple[str, float, float | None]]] = {}
            for run, folder, name, hi, target in database.execute("select run, folder, name, hi, target from times"):
                times.setdefault((run, folder), []).append((name, hi, target))
        found: dict[str, list[Entry]] = {}
        for run, folder, drill, severity, policy, stack, began, outcome in rows:
            mine = times.get((run, folder), [])
            measured = {name: hi for name, hi, _ in mine}
            limits = {name: limit for name, _, limit in mine if limit is not None}
            entry = Entry(run, folder, drill, severity, policy, stack, began, outcome, measured, limits)
            found.setdefault(entry.drill, []).append(entry)
        return found

    def last_passed(self) -> dict[tuple[str, str], str]:
        """When each drill last passed, ISO 8601 in UTC, by its file and name."""
        if not self.path.exists():
            return {}
        with self._open() as database:
            rows = database.execute(
                "select file, drill, max(began) from drills where outcome = 'passed' group by file, drill"
            )
            return {(str(file), str(drill)): str(began) for file, drill, began in rows}

    # -- people -------------------------------------------------------------------------------------------------------

    def led(self, drill: str, who: str, run: str) -> None:
        """Keep who led a drill last."""
        with self._open() as database:
            database.execute("insert or replace into leaders values (?, ?, ?)", (drill, who, run))

    def leaders(self) -> dict[str, str]:
        """Who led each drill last, by the drill's name."""
        if not self.path.exists():
            return {}
        with self._open() as database:
            return dict(database.execute("select drill, who from leaders").fetchall())

    def learnt(self, who: str, lesson: Lesson) -> None:
        """Keep what a new engineer did."""
        with self._open() as database:
            row = (who, lesson.step, lesson.at.isoformat(), lesson.what, lesson.hints, lesson.done)
            database.execute("insert into lessons values (?, ?, ?, ?, ?, ?)", row)

    def lessons(self, who: str) -> list[Lesson]:
        """What a new engineer did so far, in its order."""
        if not self.path.exists():
            return []
        with self._open() as database:
            rows = database.execute(
                "select step, at, what, hints, done from lessons where who = ? order by at, rowid", (who,)
            ).fetchall()
        return [
            Lesson(step, dt.datetime.fromisoformat(at), what, hints, bool(done)) for step, at, what, hints, done in rows
        ]

    # -- follow-ups ---------------------------------------------------------------------------------------------------

    def follow(self, ups: Sequence[FollowUp]) -> None:
        """Keep follow-ups; one that is open for the same drill already stays as it is, with its own due time."""
        with self._open() as database:
            for up in ups:
                database.execute(
                    "insert or ignore into follow_ups (drill, what, owner, due, run, source) "
                    "select ?, ?, ?, ?, ?, ? where not exists "
                    "(select 1 from follow_ups where drill = ? and what = ? and done is null)",
                    (
                        up.drill,
                        up.what,
                        up.owner,
                        up.due.isoformat() if up.due else "",
                        up.run,
                        up.source,
                        up.drill,
                        up.what,
                    ),
                )

    def open_follow_ups(self) -> list[FollowUp]:
        """Those that nobody has marked done, the most urgent first."""
        if not self.path.exists():
            return []
        with self._open() as database:
            rows = database.execute(
                "select id, drill, what, owner, due, run, source from follow_ups where done is null "
                "order by due = '', due, id"
            ).fetchall()
        return [
            FollowUp(number, drill, what, owner, dt.datetime.fromisoformat(due) if due else None, run, source)
            for number, drill, what, owner, due, run, source in rows
        ]

    def done(self, number: int, now: dt.datetime) -> FollowUp:
        """Mark one as done.

        Raises:
            HistoryError: there is no open one of this number.
        """
        found = next((up for up in self.open_follow_ups() if up.id == number), None)
        if found is None:
            raise HistoryError(f"there is no open follow-up {number}; `sevdrill reviews` lists them")
        with self._open() as database:
            database.execute("update follow_ups set done = ? where id = ?", (now.isoformat(), number))
        return found


WINDOW = 10
"""Runs that a time is held against."""
ENOUGH = 3
"""Runs that there must be before anything is called worse."""
FACTOR, SLACK = 1.5, 1.0
"""Worse is: longer than the median by this factor and by this many seconds. Less is the noise of a busy machine."""


def got_worse(entries: Mapping[str, Sequence[Entry]], run: str) -> list[str]:
    """What took longer in ``run`` than in the median of the drill's last runs on the same kind of stack, for people."""
    found = []
    for name, mine in entries.items():
        for entry in (each for each in mine if each.run == run):
            alike = (e for e in mine if e.stack_kind == entry.stack_kind)
            earlier = [e for e in alike if e.run != run and e.began < entry.began][-WINDOW:]
            for time in TIMES:
                before = [e.times[time] for e in earlier if time in e.times]
                now = entry.times.get(time)
                if now is None or len(before) < ENOUGH:
                    continue
                usual = median(before)
                if now > FACTOR * usual and now > usual + SLACK:
                    found.append(
                        f"{name}: {time.upper() if time != 'rollback' else time} was {now:.1f} s, "
                        f"and {usual:.1f} s in the median of the last {len(before)} runs"
                    )
    return found
