"""The databases of a stack, asked by `psql` in their own services: PostgreSQL 14 or newer.

`x-sevdrill: {databases: {db: [psql, -U, dba, -d, shop, -XAtqc]}}`: the statement is put behind the command. The role is
one that operators use: it sees and ends every session, and gets in when all slots are taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sevdrill.databases import DbSession
from sevdrill.errors import StackError
from sevdrill.ports import Exec
from sevdrill.stacks.command import tail

__all__ = ["PostgresDatabases"]

TIMEOUT = 10.0
"""Seconds that one statement may take."""
LETS_GO = (1, 3)
"""Seconds after which the client of a session that is to outlive it goes away: first, and when that was too soon."""
SESSIONS = """
select pid, coalesce(extract(epoch from clock_timestamp() - xact_start), 0), state like 'idle in transaction%',
       (select count(*) from pg_locks w where not w.granted and a.pid = any(pg_blocking_pids(w.pid))
        -- Who waits as well stands in nobody's way for long.
        and not exists (select from pg_locks o where o.pid = a.pid and not o.granted)), application_name
from pg_stat_activity a
where backend_type = 'client backend' and pid <> pg_backend_pid() and datname = current_database()
"""
SPOIL = """
create or replace function sevdrill_spoils() returns trigger language plpgsql
    as 'begin new.{column} := -abs(new.{column}); return new; end';
create or replace trigger sevdrill_spoils before insert on {table} for each row execute function sevdrill_spoils();
update {table} set {column} = -{column} where {column} > 0 and random() < 0.5
"""
MEND = """
drop function if exists sevdrill_spoils cascade;
update {table} set {column} = abs({column}) where {column} < 0
"""
SPOILT = """
select exists(select from pg_trigger where tgname = 'sevdrill_spoils'), count(*) from {table} where {column} < 0
"""
WAIT = "select coalesce(max(extract(epoch from clock_timestamp() - waitstart)), 0) from pg_locks where not granted"


class PostgresDatabases:
    """Ask and change databases by the command that the stack's files give."""

    def __init__(self, commands: Exec, databases: Mapping[str, Sequence[str]]) -> None:
        self._commands, self._databases = commands, databases

    def sessions(self, service: str) -> list[DbSession]:
        """Every client's session but our own."""
        rows = [line.split("|", 4) for line in self.ask(service, SESSIONS)]
        return [DbSession(int(p), name, float(age), idle == "t", int(blocks)) for p, age, idle, blocks, name in rows]

    def terminate(self, service: str, pids: list[int]) -> None:
        """End sessions; one that is gone is no error."""
        for pid in pids:
            self.ask(service, f"select pg_terminate_backend({int(pid)})")

    def lock(self, service: str, table: str, name: str, seconds: float) -> None:
        """Lock a table against writes for so long, in a session of this name whose client goes away meanwhile."""
        steps = [
            f"set application_name = {literal(name)}",
            # Not noticed by the server as long as it has nothing to say to its client.
            "set client_connection_check_interval = 0",
            "begin",
            f"lock table {identifier(table)} in exclusive mode",
            f"select pg_sleep({seconds:.0f})",
        ]
        for patience in LETS_GO:
            # Not SIGKILL: `timeout` would kill itself with it, and a database that is process 1 of its container would
            # take the orphan for a crashed child of its own.
            command = ["timeout", str(patience), *self._command(service), "; ".join(steps)]
            done = self._commands.run(service, command, timeout=TIMEOUT)
            if any(session.name == name for session in self.sessions(service)):
                return
        raise StackError(f"{table} of {service} could not be locked: {tail(done.err or done.out, 3)}")

    def longest_wait(self, service: str) -> float:
        """Seconds that the session which waits longest for a lock has waited so far; 0 when none waits."""
        return float(self.ask(service, WAIT)[0])

    def spoil(self, service: str, table: str, column: str) -> None:
        """Turn the sign of numbers: of half of those that are there, and of each that is written from now on."""
        self.ask(service, _named(SPOIL, table, column))

    def mend(self, service: str, table: str, column: str) -> None:
        """Let new rows be right again, and put those right that are there; right ones are left alone."""
        self.ask(service, _named(MEND, table, column))

    def spoilt(self, service: str, table: str, column: str) -> tuple[bool, int]:
        """Whether new rows go wrong, and how many rows are wrong: their number is below 0."""
        goes_wrong, _, count = self.ask(service, _named(SPOILT, table, column))[0].partition("|")
        return goes_wrong == "t", int(count)

    def is_standby(self, service: str) -> bool:
        """Whether it follows another one, and takes no writes."""
        return self.ask(service, "select pg_is_in_recovery()") == ["t"]

    def promote(self, service: str) -> None:
        """Let a standby become a primary; there is no way back."""
        self.ask(service, "select pg_promote(wait => false)")

    def query(self, service: str, query: str) -> list[str]:
        """The rows that a query gives; it can change nothing."""
        return self.ask(service, f"set transaction read only; {query}")

    def _command(self, service: str) -> Sequence[str]:
        try:
            return self._databases[service]
        except KeyError:
            known = ", ".join(sorted(self._databases)) or "none"
            raise StackError(
                f"the stack does not say how the database {service} is asked (x-sevdrill.databases has: {known}); add "
                f"the command, such as databases: {{{service}: [psql, -U, postgres, -d, app, -XAtqc]}}"
            ) from None

    def ask(self, service: str, statement: str) -> list[str]:
        """The rows that a statement gives, one a line.

        Raises:
            StackError: there is no such database, or it does not do it.
        """
        done = self._commands.run(service, [*self._command(service), statement], timeout=TIMEOUT)
        if done.code != 0:
            said = tail(done.err or done.out, 3)
            raise StackError(f"the database {service} did not do what it was asked: {said}")
        return [line for line in done.out.splitlines() if line]


def _named(statement: str, table: str, column: str) -> str:
    return statement.format(table=identifier(table), column=identifier(column))


def identifier(name: str) -> str:
    """A name as SQL writes it, with its schema if it has one."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
