"""Steps that roll out another configuration for the length of an incident."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.actions.reverting import SwitchedAction
from sevdrill.faults.base import State
from sevdrill.faults.configuration import Configuration
from sevdrill.model import Record
from sevdrill.ports import Environment, Lifecycle, Ports, Reading

__all__ = ["ConfigSet"]


class ConfigSet(SwitchedAction):
    """Roll out other values of variables to every replica of a service, such as `DISABLE_PROVIDER: "1"`."""

    needs: ClassVar[tuple[type, ...]] = (Environment, Lifecycle)

    action: Literal["config-set"]
    service: str
    """The service whose environment is changed."""
    set_: dict[str, str] = Field(alias="set", min_length=1)
    """Variables and their values; each must be one that the service has."""

    @property
    def title(self) -> str:
        return f"config-set {', '.join(self.set_)} of {self.service}"

    @property
    def _switch(self) -> Configuration:
        return Configuration(self.service, self.set_)

    def proof(self, ports: Ports, record: Record) -> Reading:
        state = self.state(ports, record)
        if state is not State.ON:
            return Reading(ok=False, why=f"in effect: {state}")
        replicas = ports[Lifecycle].replicas(self.service)
        sick = [r.name for r in replicas if not r.running or r.healthy is False]
        if sick or not replicas:
            return Reading(ok=False, why=f"{', '.join(sick) or self.service} is not running and healthy")
        return Reading(ok=True, why=f"in force on {len(replicas)} of {len(replicas)} replicas")
