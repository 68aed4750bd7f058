"""The fault of a change of the schema that should not have gone out."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.databases import Databases, Migration, Migrations
from sevdrill.errors import FaultError
from sevdrill.faults.base import Fault, State
from sevdrill.model import Record
from sevdrill.ports import Ports

__all__ = ["ChangeMigration"]


class ChangeMigration(Fault):
    """A migration is applied to a database while its service runs: a bad one, or one that comes with a bad release."""

    needs: ClassVar[tuple[type, ...]] = (Databases, Migrations)
    in_flight: ClassVar[float] = 15.0

    fault: Literal["change.migration"]
    service: str
    """The database; the stack's `x-sevdrill: {migrations: ...}` says where its migrations are."""
    migration: str = Field(pattern=r"^\w+$")
    """Name of the migration. What undoes it, if nobody else does, is its way back (`NAME.down.sql`), or for a one-way
    migration `NAME.staging.sql`, which no runbook may use."""

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    @property
    def title(self) -> str:
        return f"{self.fault} {self.migration} of {self.service}"

    def prepare(self, ports: Ports) -> Record:
        migration = ports[Migrations].known(self.service, self.migration)
        back = migration.down.strip() or migration.staging.strip()
        if not back:
            raise FaultError(
                f"{self.title}: there is no {self.migration}.down.sql, so it could not be undone; for a one-way "
                f"migration say in {self.migration}.staging.sql how the staging stack is put back"
            )
        if self.migration in ports[Migrations].applied(self.service):
            raise FaultError(f"{self.title}: it is in force already, so applying it breaks nothing")
        # The undo must not need the service that brings the files.
        return {"up": migration.up, "down": back, "before": ports[Migrations].schema(self.service)}

    def inject(self, ports: Ports, record: Record) -> None:
        ports[Migrations].up(self.service, self._from(record))

    def undo(self, ports: Ports, record: Record) -> None:
        ports[Migrations].down(self.service, self._from(record))

    def state(self, ports: Ports, record: Record) -> State:
        is_noted = self.migration in ports[Migrations].applied(self.service)
        is_before = ports[Migrations].schema(self.service) == record["before"]
        if is_noted and not is_before:
            return State.ON
        return State.OFF if is_before and not is_noted else State.UNKNOWN

    def _from(self, record: Record) -> Migration:
        return Migration(self.migration, record["up"], record["down"])
