"""Steps that change a setting of a running service, without a deploy, and are put back when all is over."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.actions.reverting import SwitchedAction
from sevdrill.faults.setting import Setting
from sevdrill.ports import Admin
from sevdrill.units import Duration

__all__ = ["Cache", "CircuitBreak", "Flag", "Maintenance", "PauseQueue", "SwitchKey", "Throttle"]


class _SettingAction(SwitchedAction):
    needs: ClassVar[tuple[type, ...]] = (Admin,)
    in_flight: ClassVar[float] = 10.0

    service: str
    """The service whose setting is changed, on every replica."""


class CircuitBreak(_SettingAction):
    """Break the circuit: the service asks a dependency no more, and answers by itself at once."""

    action: Literal["circuit-break"]
    dependency: str = Field(min_length=1)
    """The dependency that is asked no more; the service has a setting `breaker.DEPENDENCY`."""
    mode: Literal["open", "auto"] = "open"
    """`open`: until somebody closes it. `auto`: the breaker opens and closes by itself, by how the dependency does."""

    @property
    def title(self) -> str:
        if self.mode == "auto":
            return f"let the breaker of {self.service} for {self.dependency} work by itself"
        return f"open the breaker of {self.service} for {self.dependency}"

    @property
    def _switch(self) -> Setting:
        return Setting(self.service, f"breaker.{self.dependency}", self.mode)


class SwitchKey(_SettingAction):
    """Use another key with a provider."""

    action: Literal["switch-key"]
    provider: str = Field(min_length=1)
    """The provider; the service has a setting `key.PROVIDER`."""
    key: str = "backup"
    """The service's own name of the key to use; never the key itself."""

    @property
    def title(self) -> str:
        return f"{self.service} uses the {self.key} key with {self.provider}"

    @property
    def _switch(self) -> Setting:
        return Setting(self.service, f"key.{self.provider}", self.key)


class Throttle(_SettingAction):
    """Let only so many requests of a kind through on each replica; the others get a clear answer at once."""

    action: Literal["throttle"]
    requests: str = Field(min_length=1)
    """The kind of requests, such as `chat`; the service has a setting `throttle.REQUESTS`."""
    rate: str = Field(pattern=r"^\d+/s$")
    """How many each replica lets through, such as `3/s`."""

    @property
    def title(self) -> str:
        return f"throttle {self.requests} of {self.service} to {self.rate} a replica"

    @property
    def _switch(self) -> Setting:
        return Setting(self.service, f"throttle.{self.requests}", self.rate)


class Cache(_SettingAction):
    """Keep answers of a kind for longer, instead of making each anew."""

    action: Literal["cache"]
    answers: str = Field(min_length=1)
    """The kind of answers, such as `catalogue`; the service has a setting `cache.ANSWERS`."""
    keep: Duration
    """How long each is kept, in whole seconds."""

    @property
    def title(self) -> str:
        return f"keep {self.answers} of {self.service} for {self.keep}"

    @property
    def _switch(self) -> Setting:
        return Setting(self.service, f"cache.{self.answers}", f"{round(self.keep)}s")


class Flag(_SettingAction):
    """Turn a feature off, or on."""

    action: Literal["flag"]
    flag: str = Field(min_length=1)
    """The feature; the service has a setting `flag.FLAG`."""
    turn: Literal["off", "on"] = "off"
    """Which way."""

    @property
    def title(self) -> str:
        return f"turn {self.flag} of {self.service} {self.turn}"

    @property
    def _switch(self) -> Setting:
        return Setting(self.service, f"flag.{self.flag}", self.turn)


class Maintenance(_SettingAction):
    """Close a service, or a part of it: who asks gets a clear answer at once, and nothing that is broken is asked."""

    action: Literal["maintenance"]
    part: str = ""
    """What is closed, such as `payments`: the service has a setting `maintenance.PART`. The whole service when left
    out: it has a setting `mode.maintenance`."""

    @property
    def title(self) -> str:
        return f"put {f'{self.part} of ' if self.part else ''}{self.service} into maintenance"

    @property
    def _switch(self) -> Setting:
        return Setting(self.service, f"maintenance.{self.part}" if self.part else "mode.maintenance", "on")


class PauseQueue(_SettingAction):
    """Let no job of a queue be begun, so that none fails while what it needs is down; `revert` resumes it."""

    action: Literal["pause-queue"]
    queue: str = Field(min_length=1)
    """Name of the queue; the service that works on it has a setting `pause.QUEUE`."""

    @property
    def title(self) -> str:
        return f"pause the queue {self.queue} of {self.service}"

    @property
    def _switch(self) -> Setting:
        return Setting(self.service, f"pause.{self.queue}", "on")
