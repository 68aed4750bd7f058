"""Steps that put a database back to a backup of it, without losing sight of what that loses."""

from __future__ import annotations

from typing import ClassVar, Literal

from sevdrill.actions.base import Action
from sevdrill.databases import Backups
from sevdrill.errors import ActionError, StackError
from sevdrill.model import Record
from sevdrill.ports import Ports, Reading
from sevdrill.units import Duration

__all__ = ["CopyState", "RestoreBackup", "SwapRestored"]

SHOWN = 3


class _BackupStep(Action):
    needs: ClassVar[tuple[type, ...]] = (Backups,)
    in_flight: ClassVar[float] = 60.0

    service: str
    """The database; the stack's `x-sevdrill: {backups: ...}` says how its backups are asked for."""

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)


class CopyState(_BackupStep):
    """Keep a database as it is now, for forensics; done when the copy is there.

    (emergency-procedures, "Data Corruption": backup current state, even if corrupted.)
    """

    action: Literal["copy-state"]

    @property
    def title(self) -> str:
        return f"keep a copy of {self.service} as it is"

    def run(self, ports: Ports, record: Record) -> None:
        record["name"] = ports[Backups].copy(self.service)

    def proof(self, ports: Ports, record: Record) -> Reading:
        there = record["name"] in ports[Backups].copies(self.service)
        return Reading(ok=there, why=f"{record['name'] or 'a copy'} is {'kept' if there else 'not there'}")


class RestoreBackup(_BackupStep):
    """Restore the newest good backup beside the database that users use; done when nothing is wrong with it.

    The newest one is tried first. One that cannot be restored, or with which something is wrong when it is, is
    rejected. (emergency-procedures, "Data Corruption": identify the last good backup, test its integrity, restore to a
    separate environment first.)
    """

    action: Literal["restore-backup"]
    rejects: int = 0
    """So many backups must be found bad at least; else they were not tested, or it was not the data that is corrupt."""
    timeout: Duration = Duration(120)
    """The step's effect must be proved within this time."""

    @property
    def title(self) -> str:
        return f"restore the last good backup of {self.service} beside it"

    def run(self, ports: Ports, record: Record) -> None:
        rejected: dict[str, str] = {}
        for backup in reversed(ports[Backups].known(self.service)):
            try:
                ports[Backups].restore(self.service, backup)
                wrong = "; ".join(ports[Backups].wrong(self.service))
            except StackError as error:
                wrong = str(error)
            if not wrong:
                record["good"], record["rejected"] = backup, rejected
                return
            rejected[backup] = wrong
        found = "; ".join(f"{backup}: {wrong}" for backup, wrong in rejected.items())
        raise ActionError(f"{self.title}: no backup is good: {found or 'there is none'}")

    def proof(self, ports: Ports, record: Record) -> Reading:
        wrong = ports[Backups].wrong(self.service)
        if wrong:
            return Reading(ok=False, why=f"{record['good']}: {'; '.join(wrong)}")
        rejected = record["rejected"]
        if len(rejected) < self.rejects:
            raise ActionError(f"{self.title}: {len(rejected)} backups were found bad, expected at least {self.rejects}")
        some = "; ".join(f"{backup}: {wrong}" for backup, wrong in list(rejected.items())[:SHOWN])
        return Reading(ok=True, why=f"{record['good']} is good; rejected: {some or 'none'}")


class SwapRestored(_BackupStep):
    """Put the restored database in the place of the corrupt one; done when the gap between the two is known.

    There is no way back, so the stack is made anew. (emergency-procedures, "Data Corruption": identify any gaps,
    document data loss.)
    """

    renews: ClassVar[bool] = True

    action: Literal["swap-restored"]

    @property
    def title(self) -> str:
        return f"put the restored {self.service} in the place of the corrupt one"

    def run(self, ports: Ports, record: Record) -> None:
        ports[Backups].swap(self.service)

    def proof(self, ports: Ports, record: Record) -> Reading:
        gap = ports[Backups].gap(self.service)
        if not gap:
            return Reading(ok=True, why="nothing lies between the backup and the corruption")
        return Reading(ok=True, why=f"{len(gap)} rows are not in the backup: {', '.join(gap[:SHOWN])} ...")
