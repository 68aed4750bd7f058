"""What a probe is: one look at the stack that says good, bad or unknown."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pydantic import Field

from sevdrill.model import Model
from sevdrill.ports import Ports, Reading
from sevdrill.units import Duration

__all__ = ["Probe"]


class Probe(Model):
    """One look at the stack, repeated by the engine on a thread of its own."""

    needs: ClassVar[tuple[type, ...]]

    probe: str
    name: str = Field(default="", pattern=r"^[\w .-]*$")
    """What reports call it; made from the settings when left out."""
    timeout: Duration = Duration(2)
    """A look that takes longer is bad."""

    @property
    def lag(self) -> float:
        """Seconds for which what is over may still be seen."""
        return 0.0

    @property
    @abstractmethod
    def title(self) -> str:
        """The probe in a few words, for people."""

    @abstractmethod
    def read(self, ports: Ports) -> Reading:
        """Look once. What the stack does wrong is a bad reading; an exception is an unknown one."""
