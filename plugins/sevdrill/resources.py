"""What kinds may ask of the machine that services run on: processors, memory, room and files.

Protocols, as in `ports`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "Files",
    "FoundFile",
    "Hogs",
    "Limit",
    "Limits",
    "Space",
]


@dataclass(frozen=True)
class Limit:
    """How much a replica may use; None is as much as there is."""

    cpus: float | None = None
    """Processors, as a number: 0.5 is half of one."""
    memory: int | None = None
    """Bytes."""
    swap: int | None = None
    """Bytes of memory and swap together; None as well where that is not counted."""


class Limits(Protocol):
    """What the replicas of a service may use of the machine, changed while they run."""

    def limits(self, service: str) -> dict[str, Limit]:
        """The limits in effect now, by replica name."""

    def limit(self, service: str, replica: str, limit: Limit) -> None:
        """Put these limits into effect on one replica, in place of those that it has.

        Raises:
            StackError: it cannot have them; the text says why, such as that it uses more already.
        """


class Hogs(Protocol):
    """Processes beside a service's own, within the same bounds, that use up what it needs."""

    def start(self, service: str, name: str, *, processors: int, memory: int, most: float) -> None:
        """Start hogs of this name in every running replica: each keeps ``processors`` busy, and ``memory`` bytes.

        They end by themselves after ``most`` seconds.
        """

    def running(self, service: str, name: str) -> dict[str, bool]:
        """Whether a hog of this name is in each running replica, by replica name."""

    def end(self, service: str, name: str) -> None:
        """End every hog of this name; none is no error."""


@dataclass(frozen=True)
class Space:
    """Room on a file system, in bytes."""

    size: int
    free: int


@dataclass(frozen=True)
class FoundFile:
    """One file of a service."""

    path: str
    size: int
    """In bytes."""
    age: float
    """Seconds since it was last changed."""


class Files(Protocol):
    """Look at the files of a service, fill its disk, and remove files, as the service itself could."""

    def space(self, service: str, folder: str) -> Space:
        """Room on the file system that a folder of the service is on."""

    def find(self, service: str, folder: str, name: str = "*") -> list[FoundFile]:
        """Files in a folder and below whose name matches a shell pattern."""

    def fill(self, service: str, file: str, size: int, age: float) -> None:
        """Write a file of ``size`` bytes, or of as many as there is room for, last changed ``age`` seconds ago."""

    def remove(self, service: str, files: Sequence[str]) -> None:
        """Remove files; one that is not there is no error."""
