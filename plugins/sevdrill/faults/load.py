"""Faults of the users themselves: more of them than anybody reckoned with."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.errors import FaultError
from sevdrill.faults.base import Fault, State
from sevdrill.model import Record
from sevdrill.ports import Load, Ports
from sevdrill.surges import Surge
from sevdrill.units import Duration

__all__ = ["LoadSpike"]


class LoadSpike(Fault):
    """Many times the usual users come at once, and do what users do."""

    needs: ClassVar[tuple[type, ...]] = (Load,)

    fault: Literal["load.spike"]
    times: int = Field(ge=2, le=100)
    """How many times the users of `load: {users: ...}` there are."""
    at_most: int = Field(default=500, ge=1, le=5000)
    """More users are never asked for: the fault is refused where more would come."""
    most: Duration = Duration(600)
    """They go by themselves after this time, should nobody send them home."""

    @property
    def services(self) -> tuple[str, ...]:
        return ()

    @property
    def title(self) -> str:
        return f"{self.fault} to {self.times} times the users"

    def prepare(self, ports: Ports) -> Record:
        load = ports[Load]
        usual = load.users
        if usual * self.times > self.at_most:
            raise FaultError(
                f"{self.title}: {usual * self.times} users would come, and at most {self.at_most} are let in; "
                "have fewer users in `load`, or raise at_most"
            )
        # The load generator dies with its runner; what a hung runner owes is undone by this file alone.
        return {"folder": str(load.folder.absolute()), "usual": usual}

    def inject(self, ports: Ports, record: Record) -> None:
        self._surge(record).begin(record["usual"] * self.times, self.most)

    def undo(self, ports: Ports, record: Record) -> None:
        self._surge(record).end()

    def state(self, ports: Ports, record: Record) -> State:
        surge, usual = self._surge(record), record["usual"]
        asked, there = surge.asked(), surge.users()
        if asked is None and there <= usual:
            return State.OFF
        return State.ON if asked is not None and there >= usual * self.times else State.UNKNOWN

    def _surge(self, record: Record) -> Surge:
        return Surge(Path(record["folder"]))
