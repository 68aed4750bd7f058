"""Faults that people cause: a change that should not have gone out."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.errors import FaultError
from sevdrill.faults.base import Fault, State
from sevdrill.faults.configuration import Configuration
from sevdrill.faults.setting import Setting
from sevdrill.faults.switched import SwitchedFault
from sevdrill.model import Record
from sevdrill.ports import Admin, Environment, Ports, Release

__all__ = ["ChangeConfig", "ChangeDeploy", "ChangeSetting"]


class ChangeDeploy(Fault):
    """A bad release goes out to every replica of a service."""

    needs: ClassVar[tuple[type, ...]] = (Release,)

    fault: Literal["change.deploy"]
    service: str
    """The service that gets the release."""
    release: str
    """Name of the bad release, as the stack's `x-sevdrill: {releases: ...}` lists it."""

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    @property
    def title(self) -> str:
        return f"{self.fault} {self.release} on {self.service}"

    def prepare(self, ports: Ports) -> Record:
        deployed = set(ports[Release].deployed(self.service).values())
        if len(deployed) != 1:
            raise FaultError(
                f"{self.title}: the replicas of {self.service} run {sorted(deployed) or 'nothing'}; "
                "one release on all of them is needed before a bad one can be deployed"
            )
        before = deployed.pop()
        if before == self.release:
            raise FaultError(f"{self.title}: {self.service} runs {before} already, so deploying it breaks nothing")
        return {"before": before}

    def inject(self, ports: Ports, record: Record) -> None:
        ports[Release].deploy(self.service, self.release)

    def undo(self, ports: Ports, record: Record) -> None:
        deployed = ports[Release].deployed(self.service)
        if not deployed or set(deployed.values()) != {record["before"]}:
            ports[Release].deploy(self.service, record["before"])

    def state(self, ports: Ports, record: Record) -> State:
        deployed = set(ports[Release].deployed(self.service).values())
        if not deployed:
            # Of a release that dies at its start nothing runs; what was deployed last says so.
            return State.ON if ports[Release].history(self.service)[-1:] == [self.release] else State.UNKNOWN
        if deployed == {record["before"]}:
            return State.OFF
        return State.ON if self.release in deployed else State.UNKNOWN


class ChangeConfig(SwitchedFault):
    """A wrong value is rolled out in the configuration of every replica of a service."""

    needs: ClassVar[tuple[type, ...]] = (Environment,)

    fault: Literal["change.config"]
    service: str
    """The service whose environment is changed."""
    set_: dict[str, str] = Field(alias="set", min_length=1)
    """Variables and their wrong values; each must be one that the service has."""

    @property
    def title(self) -> str:
        return f"{self.fault} of {', '.join(self.set_)} on {self.service}"

    @property
    def _switch(self) -> Configuration:
        return Configuration(self.service, self.set_)


class ChangeSetting(SwitchedFault):
    """Operators change a setting of a running service to a value that it cannot work with: no release, no restart."""

    needs: ClassVar[tuple[type, ...]] = (Admin,)

    fault: Literal["change.setting"]
    service: str
    """The service whose setting is changed, on every replica."""
    replicas: int | None = Field(default=None, ge=1)
    """On how many replicas; on all of them when left out."""
    setting: str = Field(min_length=1)
    """The setting, such as `flag.FEATURE`."""
    value: str
    """The wrong value; one that the service accepts."""

    @property
    def title(self) -> str:
        on = f"{self.replicas} of {self.service}" if self.replicas else self.service
        return f"{self.fault} {self.setting} to {self.value} on {on}"

    @property
    def _switch(self) -> Setting:
        return Setting(self.service, self.setting, self.value, self.replicas)
