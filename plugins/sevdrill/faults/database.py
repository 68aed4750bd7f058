"""Faults of a database that runs: sessions that stand in the way of the others."""

from __future__ import annotations

import secrets
from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.databases import Databases, DbSession, Rows
from sevdrill.errors import FaultError
from sevdrill.faults.base import Fault, State
from sevdrill.faults.setting import Setting
from sevdrill.faults.switched import SwitchedFault
from sevdrill.model import Record
from sevdrill.ports import Admin, Ports
from sevdrill.units import Duration

__all__ = ["ConnectionsExhausted", "DatabaseCorruptRows", "DatabaseLock"]


class DatabaseLock(Fault):
    """A client locks a table, goes away, and leaves its transaction behind: whoever writes to the table waits."""

    needs: ClassVar[tuple[type, ...]] = (Databases,)
    in_flight: ClassVar[float] = 15.0

    fault: Literal["database.lock"]
    service: str
    """The database; the stack's `x-sevdrill: {databases: ...}` says how it is asked."""
    table: str = Field(pattern=r"^\w+(\.\w+)?$")
    """The table that is locked; it can still be read."""
    name: str = Field(default="report", pattern=r"^[\w-]{1,40}$")
    """What the client's session calls itself."""
    held: Duration = Duration(3600)
    """When the transaction ends by itself."""

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    @property
    def title(self) -> str:
        return f"{self.fault} of {self.table} in {self.service}"

    def prepare(self, ports: Ports) -> Record:
        waiting = ports[Databases].longest_wait(self.service)
        if waiting > 1:
            raise FaultError(f"{self.title}: a session there waits {waiting:.0f} s for a lock already")
        return {"name": f"{self.name}-{secrets.token_hex(4)}"}

    def inject(self, ports: Ports, record: Record) -> None:
        ports[Databases].lock(self.service, self.table, record["name"], self.held)

    def undo(self, ports: Ports, record: Record) -> None:
        ports[Databases].terminate(self.service, self._found(ports, record))

    def state(self, ports: Ports, record: Record) -> State:
        return State.ON if self._found(ports, record) else State.OFF

    def _found(self, ports: Ports, record: Record) -> list[int]:
        return [s.pid for s in ports[Databases].sessions(self.service) if s.name == record["name"]]


class DatabaseCorruptRows(Fault):
    """Rows go wrong: half of the numbers in a column lose their sign, and so does each that is written from now on.

    What is right can be told from what is wrong, as long as right numbers are never below 0; each backup that is taken
    meanwhile has the wrong ones.
    """

    needs: ClassVar[tuple[type, ...]] = (Rows,)
    in_flight: ClassVar[float] = 15.0

    fault: Literal["database.corrupt-rows"]
    service: str
    """The database; the stack's `x-sevdrill: {databases: ...}` says how it is asked."""
    table: str = Field(pattern=r"^\w+(\.\w+)?$")
    """The table."""
    column: str = Field(pattern=r"^\w+$")
    """A column of numbers, none of which is below 0."""

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    @property
    def title(self) -> str:
        return f"{self.fault} of {self.table} in {self.service}"

    def prepare(self, ports: Ports) -> Record:
        goes_wrong, count = ports[Rows].spoilt(self.service, self.table, self.column)
        if goes_wrong or count:
            raise FaultError(f"{self.title}: {count} rows have a {self.column} below 0 already, so none could be told")
        return {}

    def inject(self, ports: Ports, record: Record) -> None:
        ports[Rows].spoil(self.service, self.table, self.column)

    def undo(self, ports: Ports, record: Record) -> None:
        ports[Rows].mend(self.service, self.table, self.column)

    def state(self, ports: Ports, record: Record) -> State:
        goes_wrong, count = ports[Rows].spoilt(self.service, self.table, self.column)
        if goes_wrong:
            return State.ON
        return State.UNKNOWN if count else State.OFF


class ConnectionsExhausted(SwitchedFault):
    """A service loses its connections to the database: none comes back to its pool, and the server has none left.

    It has a setting `pool.database` in its operators' API: `leaking` loses them, `fresh` begins with a new pool. Each
    lost one stays open at the server, in a transaction that does nothing.
    """

    needs: ClassVar[tuple[type, ...]] = (Admin, Databases)
    in_flight: ClassVar[float] = 15.0

    fault: Literal["database.connections-exhausted"]
    service: str
    """The service that loses its connections."""
    database: str
    """The database; the stack's `x-sevdrill: {databases: ...}` says how it is asked."""

    @property
    def title(self) -> str:
        return f"{self.fault} by {self.service}"

    @property
    def _switch(self) -> Setting:
        return Setting(self.service, "pool.database", "leaking")

    def prepare(self, ports: Ports) -> Record:
        if any(session.age > 1 for session in self._idle(ports)):
            raise FaultError(f"{self.title}: {self.database} has sessions already that do nothing in a transaction")
        return super().prepare(ports)

    def undo(self, ports: Ports, record: Record) -> None:
        # One that is idle for a moment only is not ours; one of ours is not young for long.
        lost = [session.pid for session in self._idle(ports) if session.age > 1]
        ports[Databases].terminate(self.database, lost)
        super().undo(ports, record)

    def state(self, ports: Ports, record: Record) -> State:
        state = super().state(ports, record)
        return State.UNKNOWN if state is State.OFF and self._idle(ports) else state

    def _idle(self, ports: Ports) -> list[DbSession]:
        return [session for session in ports[Databases].sessions(self.database) if session.idle]
