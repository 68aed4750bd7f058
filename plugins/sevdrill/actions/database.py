"""Steps that operators take at the database itself."""

from __future__ import annotations

from typing import ClassVar, Literal

from sevdrill.actions.base import Action
from sevdrill.databases import Databases, DbSession
from sevdrill.errors import ActionError
from sevdrill.model import Record
from sevdrill.ports import Admin, Ports, Reading
from sevdrill.units import Duration

__all__ = ["RefreshPool", "TerminateQueries"]


class TerminateQueries(Action):
    """Find the sessions that stand in the way of others, and end them; done when they are gone and nobody waits.

    By hand it is `select pid, application_name, pg_blocking_pids(pid) from pg_stat_activity` and
    `select pg_terminate_backend(PID)`. (gpt-platform, "Database Issues": check for long-running queries.)
    """

    needs: ClassVar[tuple[type, ...]] = (Databases,)

    action: Literal["terminate-queries"]
    service: str
    """The database; the stack's `x-sevdrill: {databases: ...}` says how it is asked."""
    which: Literal["blocking", "idle"] = "blocking"
    """`blocking`: those that others wait for; `idle`: those that hold a transaction open and do nothing."""
    older_than: Duration = Duration(2)
    """Only sessions whose transaction is older: what works as it should is left alone."""

    @property
    def title(self) -> str:
        return f"terminate {self.which} sessions older than {self.older_than} in {self.service}"

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def prepare(self, ports: Ports) -> Record:
        found = self._found(ports)
        if not found:
            raise ActionError(f"{self.title}: there is none")
        return {"pids": [session.pid for session in found], "names": sorted({session.name for session in found})}

    def run(self, ports: Ports, record: Record) -> None:
        ports[Databases].terminate(self.service, record["pids"])

    def proof(self, ports: Ports, record: Record) -> Reading:
        left = self._found(ports)
        if left:
            return Reading(ok=False, why=f"{len(left)} such sessions are still there: {_named(left)}")
        waited = ports[Databases].longest_wait(self.service)
        if waited > self.older_than:
            return Reading(ok=False, why=f"a session still waits for a lock, {waited:.1f} s so far")
        count = len(record["pids"])
        return Reading(ok=True, why=f"{count} session{'s' if count > 1 else ''} ended: {', '.join(record['names'])}")

    def _found(self, ports: Ports) -> list[DbSession]:
        sessions = [s for s in ports[Databases].sessions(self.service) if s.age > self.older_than]
        return [s for s in sessions if (s.blocks if self.which == "blocking" else s.idle)]


class RefreshPool(Action):
    """Let a service begin with a new pool of connections; done when every replica has, without a restart.

    (sv-sdk, "Database Connection Failed": refresh connections; gpt-platform, "Database Issues": restart pooler.)
    """

    needs: ClassVar[tuple[type, ...]] = (Admin,)

    action: Literal["refresh-pool"]
    service: str
    """The service; it has a setting `pool.database` in its operators' API."""

    @property
    def title(self) -> str:
        return f"refresh the pool of {self.service}"

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def run(self, ports: Ports, record: Record) -> None:
        ports[Admin].change(self.service, "pool.database", "fresh")

    def proof(self, ports: Ports, record: Record) -> Reading:
        found = ports[Admin].settings(self.service)
        old = sorted(name for name, settings in found.items() if settings.get("pool.database") != "fresh")
        if old or not found:
            return Reading(ok=False, why=f"{', '.join(old) or f'no replica of {self.service}'} has no new pool")
        return Reading(ok=True, why=f"{len(found)} of {len(found)} replicas have a new pool")


def _named(sessions: list[DbSession]) -> str:
    return ", ".join(sorted({session.name or str(session.pid) for session in sessions}))
