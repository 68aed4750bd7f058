"""Faults of the third-party APIs that a system uses, played by its stub in the stack."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.errors import FaultError
from sevdrill.faults.base import Fault, State
from sevdrill.faults.setting import Setting
from sevdrill.model import Record
from sevdrill.ports import Admin, Ports

__all__ = ["ProviderRateLimit"]


class ProviderRateLimit(Fault):
    """The provider lets fewer requests through with a key than are made, and answers the others with 429."""

    needs: ClassVar[tuple[type, ...]] = (Admin,)
    in_flight: ClassVar[float] = 10.0

    fault: Literal["provider.rate-limit"]
    service: str
    """The provider; it has a setting `limit.KEY` in its operators' API."""
    key: str = Field(min_length=1)
    """The key that is limited."""
    rate: str = Field(pattern=r"^\d+/s$")
    """How many requests the key is good for, such as `1/s`."""

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    @property
    def title(self) -> str:
        return f"{self.fault} of {self.rate} on {self.service}"

    @property
    def _setting(self) -> Setting:
        return Setting(self.service, f"limit.{self.key}", self.rate)

    def prepare(self, ports: Ports) -> Record:
        try:
            return self._setting.before(ports)
        except ValueError as error:
            raise FaultError(f"{self.title}: {error}") from None

    def inject(self, ports: Ports, record: Record) -> None:
        self._setting.put(ports)

    def undo(self, ports: Ports, record: Record) -> None:
        self._setting.back(ports, record)

    def state(self, ports: Ports, record: Record) -> State:
        return self._setting.state(ports, record)
