"""Steps of a failover: the old primary is cut off from its clients, and a standby takes its place."""

from __future__ import annotations

from typing import ClassVar, Literal

from sevdrill.actions.base import Action
from sevdrill.actions.reverting import RevertingAction
from sevdrill.databases import Standbys
from sevdrill.errors import ActionError
from sevdrill.faults.base import State
from sevdrill.model import Record
from sevdrill.ports import Ports, Proxies, Reading

__all__ = ["Failover", "Fence"]


class Failover(Action):
    """Let a standby become the primary; done when it takes writes. There is no way back, so the stack is made anew.

    It must not be done while clients still reach the old primary: `fence` that first. (playbook, "Production Database
    Down": check replica status, failover to replica.)
    """

    needs: ClassVar[tuple[type, ...]] = (Standbys,)
    renews: ClassVar[bool] = True
    in_flight: ClassVar[float] = 15.0

    action: Literal["failover"]
    service: str
    """The standby; the stack's `x-sevdrill: {databases: ...}` says how it is asked."""

    @property
    def title(self) -> str:
        return f"failover to {self.service}"

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def prepare(self, ports: Ports) -> Record:
        if not ports[Standbys].is_standby(self.service):
            raise ActionError(f"{self.title}: {self.service} is no standby, it takes writes already")
        return {}

    def run(self, ports: Ports, record: Record) -> None:
        ports[Standbys].promote(self.service)

    def proof(self, ports: Ports, record: Record) -> Reading:
        if ports[Standbys].is_standby(self.service):
            return Reading(ok=False, why=f"{self.service} is still a standby")
        return Reading(ok=True, why=f"{self.service} is a primary, and takes writes")


class Fence(RevertingAction):
    """Let no client reach a service, whether it runs or comes back: what is taken for dead may be alive again.

    Its proxy refuses connections; operators still reach the service itself.
    """

    needs: ClassVar[tuple[type, ...]] = (Proxies,)

    action: Literal["fence"]
    service: str
    """The service; it must be listed under `x-sevdrill: {proxies: ...}`."""

    @property
    def title(self) -> str:
        return f"fence {self.service}"

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def prepare(self, ports: Ports) -> Record:
        if any(ports[Proxies].down(self.service).values()):
            raise ActionError(f"{self.title}: clients are refused already, so a fence of ours would prove nothing")
        return {}

    def run(self, ports: Ports, record: Record) -> None:
        ports[Proxies].set_down(self.service, down=True)

    def undo(self, ports: Ports, record: Record) -> None:
        ports[Proxies].set_down(self.service, down=False)

    def state(self, ports: Ports, record: Record) -> State:
        down = list(ports[Proxies].down(self.service).values())
        if down and all(down):
            return State.ON
        return State.UNKNOWN if any(down) else State.OFF
