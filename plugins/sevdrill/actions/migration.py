"""Steps that take changes of a schema back."""

from __future__ import annotations

from typing import ClassVar, Literal

from sevdrill.actions.base import Action
from sevdrill.databases import Migrations
from sevdrill.errors import ActionError
from sevdrill.model import Record
from sevdrill.ports import Ports, Reading

__all__ = ["MigrateDown"]


class MigrateDown(Action):
    """Take the newest migration back; done when the schema is as before it, and the history says so.

    The history alone is not enough: a command that only marks a migration as rolled back leaves the schema as it is.
    (emergency-procedures, "Database Rollback"; gpt-platform, "Rollback": db:rollback.)
    """

    needs: ClassVar[tuple[type, ...]] = (Migrations,)
    answers_fault: ClassVar[str] = "change.migration"
    marks: ClassVar[str] = "rolled_back"
    in_flight: ClassVar[float] = 15.0

    action: Literal["migrate-down"]
    service: str
    """The database; the stack's `x-sevdrill: {migrations: ...}` says where its migrations are."""

    @property
    def title(self) -> str:
        return f"migrate {self.service} down"

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def prepare(self, ports: Ports) -> Record:
        applied = ports[Migrations].applied(self.service)
        if not applied:
            raise ActionError(f"{self.title}: no migration of {self.service} is in force")
        newest = ports[Migrations].known(self.service, applied[-1])
        if not newest.down.strip():
            raise ActionError(
                f"{self.title}: {newest.name} is a one-way migration, without a .down.sql; a fixed release is left"
            )
        return {"name": newest.name, "before": ports[Migrations].schema_before(self.service, newest.name)}

    def run(self, ports: Ports, record: Record) -> None:
        ports[Migrations].down(self.service, ports[Migrations].known(self.service, record["name"]))

    def proof(self, ports: Ports, record: Record) -> Reading:
        if record["name"] in ports[Migrations].applied(self.service):
            return Reading(ok=False, why=f"{record['name']} is still in force")
        if ports[Migrations].schema(self.service) != record["before"]:
            return Reading(ok=False, why=f"the schema is not as it was before {record['name']}")
        return Reading(ok=True, why=f"{record['name']} is taken back, and the schema is as before it")
