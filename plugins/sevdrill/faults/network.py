"""Faults of the network between a service and its clients, by the Toxiproxy that stands between them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from sevdrill.faults.base import Fault, State
from sevdrill.model import Record
from sevdrill.ports import Ports, Proxies
from sevdrill.units import Bytes, Duration, Percent

__all__ = [
    "NetworkBandwidth",
    "NetworkDown",
    "NetworkLatency",
    "NetworkLimitData",
    "NetworkReset",
    "NetworkSlicer",
    "NetworkSlowClose",
    "NetworkTimeout",
]


def _all_or_none(hit: Iterable[bool]) -> State:
    """On when every port is hit, off when none is; half of it is neither, and is undone like a whole."""
    ports = list(hit)
    if ports and all(ports):
        return State.ON
    return State.UNKNOWN if any(ports) else State.OFF


class _NetworkFault(Fault):
    needs: ClassVar[tuple[type, ...]] = (Proxies,)

    service: str
    """The service that clients reach through the fault; it must be listed under `x-sevdrill: {proxies: ...}`."""

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)


class _Toxic(_NetworkFault):
    stream: Literal["downstream", "upstream"] = "downstream"
    """`downstream` is from the service to its clients."""
    toxicity: Percent = Percent(1.0)
    """Share of connections that are hit."""

    @property
    @abstractmethod
    def _kind(self) -> tuple[str, dict[str, int]]:
        """Toxiproxy's name of the toxic and its attributes."""

    @property
    def _name(self) -> str:
        return f"sevdrill-{self._kind[0]}-{self.stream}"

    def prepare(self, ports: Ports) -> Record:
        ports[Proxies].toxics(self.service)
        return {}

    def inject(self, ports: Ports, record: Record) -> None:
        kind, attributes = self._kind
        ports[Proxies].set_toxic(self.service, self._name, kind, self.stream, float(self.toxicity), attributes)

    def undo(self, ports: Ports, record: Record) -> None:
        ports[Proxies].remove_toxic(self.service, self._name)

    def state(self, ports: Ports, record: Record) -> State:
        return _all_or_none(self._name in names for names in ports[Proxies].toxics(self.service).values())


class NetworkLatency(_Toxic):
    """Every answer takes longer."""

    fault: Literal["network.latency"]
    latency: Duration
    """Added to every chunk of data."""
    jitter: Duration = Duration(0)
    """Varies the latency by up to this much, both ways."""

    @property
    def _kind(self) -> tuple[str, dict[str, int]]:
        return "latency", {"latency": round(self.latency * 1000), "jitter": round(self.jitter * 1000)}


class NetworkTimeout(_Toxic):
    """Data disappears and the connection hangs; it is closed after a while, or never."""

    fault: Literal["network.timeout"]
    close_after: Duration = Duration(0)
    """Close the connection this long after its last data; `0s` never closes it."""

    @property
    def _kind(self) -> tuple[str, dict[str, int]]:
        return "timeout", {"timeout": round(self.close_after * 1000)}


class NetworkBandwidth(_Toxic):
    """The line is narrow: each connection carries only so much."""

    fault: Literal["network.bandwidth"]
    rate: Bytes
    """How much each connection carries in a second; `0B` lets nothing through."""

    @property
    def _kind(self) -> tuple[str, dict[str, int]]:
        # Toxiproxy counts in 1000 bytes a second, and 0 is a line that stands still: never by rounding.
        return "bandwidth", {"rate": math.ceil(self.rate / 1000)}


class NetworkReset(_Toxic):
    """Connections break off (TCP reset) when data comes, as when a firewall forgets them."""

    fault: Literal["network.reset"]
    reset_after: Duration = Duration(0)
    """How long after the first data."""

    @property
    def _kind(self) -> tuple[str, dict[str, int]]:
        return "reset_peer", {"timeout": round(self.reset_after * 1000)}


class NetworkSlicer(_Toxic):
    """Data arrives in crumbs, with pauses between them."""

    fault: Literal["network.slicer"]
    size: Bytes
    """Size of a crumb, on average."""
    varies: Bytes = Bytes(0)
    """How far a crumb's size may be from it; less than the size itself."""
    delay: Duration = Duration(0)
    """Pause after each crumb."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.size < 1 or self.varies >= self.size:
            raise ValueError(f"size must be at least 1B and more than varies, not {self.size} and {self.varies}")
        return self

    @property
    def _kind(self) -> tuple[str, dict[str, int]]:
        attributes = {"average_size": self.size, "size_variation": self.varies, "delay": self.delay * 1_000_000}
        return "slicer", {name: round(value) for name, value in attributes.items()}


class NetworkLimitData(_Toxic):
    """A connection is closed once so much has come through, in the middle of what is being said."""

    fault: Literal["network.limit-data"]
    limit: Bytes
    """How much comes through."""

    @property
    def _kind(self) -> tuple[str, dict[str, int]]:
        return "limit_data", {"bytes": round(self.limit)}


class NetworkSlowClose(_Toxic):
    """Connections stay open for a while after they were closed, and use up what there is of them."""

    fault: Literal["network.slow-close"]
    delay: Duration
    """How long."""

    @property
    def _kind(self) -> tuple[str, dict[str, int]]:
        return "slow_close", {"delay": round(self.delay * 1000)}


class NetworkDown(_NetworkFault):
    """Connections to the service are refused; open ones are closed."""

    fault: Literal["network.down"]

    def prepare(self, ports: Ports) -> Record:
        ports[Proxies].down(self.service)
        return {}

    def inject(self, ports: Ports, record: Record) -> None:
        ports[Proxies].set_down(self.service, down=True)

    def undo(self, ports: Ports, record: Record) -> None:
        ports[Proxies].set_down(self.service, down=False)

    def state(self, ports: Ports, record: Record) -> State:
        return _all_or_none(ports[Proxies].down(self.service).values())
