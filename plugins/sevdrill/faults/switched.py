"""What faults and steps have in common that give one thing of a service another value, and put it back."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from sevdrill.errors import FaultError
from sevdrill.faults.base import Fault, State
from sevdrill.model import Record
from sevdrill.ports import Ports

__all__ = ["Switch", "SwitchedFault"]


class Switch(Protocol):
    """Another value of something: a setting, a configuration."""

    def before(self, ports: Ports) -> Record:
        """What putting it back needs.

        Raises:
            ValueError: it cannot be changed, or changing it changes nothing; the text says why.
        """

    def put(self, ports: Ports, record: Record) -> None:
        """Give it the other value."""

    def back(self, ports: Ports, record: Record) -> None:
        """Give it the value that it had before."""

    def state(self, ports: Ports, record: Record) -> State:
        """On with the other value, off with the one before."""


class SwitchedFault(Fault):
    """A fault of one service that is nothing but another value of something."""

    service: str

    @property
    @abstractmethod
    def _switch(self) -> Switch: ...

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def prepare(self, ports: Ports) -> Record:
        try:
            return self._switch.before(ports)
        except ValueError as error:
            raise FaultError(f"{self.title}: {error}") from None

    def inject(self, ports: Ports, record: Record) -> None:
        self._switch.put(ports, record)

    def undo(self, ports: Ports, record: Record) -> None:
        self._switch.back(ports, record)

    def state(self, ports: Ports, record: Record) -> State:
        return self._switch.state(ports, record)
