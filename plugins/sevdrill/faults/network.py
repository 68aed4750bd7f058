"""Faults of the network between a service and its clients, by the Toxiproxy that stands between them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Literal

from sevdrill.faults.base import Fault, State
from sevdrill.model import Record
from sevdrill.ports import Ports, Proxies
from sevdrill.units import Duration, Percent

__all__ = ["NetworkDown", "NetworkLatency", "NetworkTimeout"]


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
