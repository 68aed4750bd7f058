"""Steps that make room on a disk."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.actions.base import Action
from sevdrill.model import Record
from sevdrill.ports import Ports, Reading
from sevdrill.resources import Files
from sevdrill.units import Duration, Percent

__all__ = ["FreeDisk"]


class FreeDisk(Action):
    """Remove old files from a folder of temporary files, and nothing else; done when there is room again."""

    needs: ClassVar[tuple[type, ...]] = (Files,)

    action: Literal["free-disk"]
    service: str
    """The service whose disk is full."""
    folder: str = Field(pattern=r"^/.*[^/]$")
    """Where it keeps its temporary files; nothing outside is touched."""
    older_than: Duration
    """The retention: a younger file may still be in use, and stays."""
    room: Percent = Percent(0.25)
    """Share of the disk that must be free afterwards."""

    @property
    def title(self) -> str:
        return f"remove files older than {self.older_than} from {self.folder} in {self.service}"

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def run(self, ports: Ports, record: Record) -> None:
        ports[Files].remove(self.service, self._old(ports))

    def proof(self, ports: Ports, record: Record) -> Reading:
        old, space = self._old(ports), ports[Files].space(self.service, self.folder)
        share = space.free / space.size if space.size else 0.0
        seen = f"{share:.0%} of the disk is free"
        if old:
            return Reading(ok=False, why=f"{len(old)} files older than {self.older_than} are still there; {seen}")
        return Reading(ok=share >= self.room, why=seen, value=share)

    def _old(self, ports: Ports) -> list[str]:
        found = ports[Files].find(self.service, self.folder)
        return [file.path for file in found if file.age > self.older_than]
