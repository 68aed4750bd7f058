"""Probes of what answers over the network: http and tcp."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from sevdrill.errors import NotRunning
from sevdrill.ports import Endpoints, Lifecycle, Ports, Reading
from sevdrill.probes.base import Probe

if TYPE_CHECKING:
    import httpx

__all__ = ["HttpProbe", "TcpProbe", "download", "fetch", "request"]


@cache
def _client() -> httpx.Client:
    import httpx

    # A connection kept open would hide that new ones are refused; the environment's proxies are not the stack's.
    return httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), trust_env=False, verify=False)  # noqa: S501


def fetch(url: str, timeout: float) -> tuple[int, str]:
    """GET ``url`` as `request` does."""
    return request("GET", url, timeout)


def request(
    method: str, url: str, timeout: float, headers: Mapping[str, str] | None = None, json: Any = None
) -> tuple[int, str]:
    """Ask ``url`` over a new connection: status code and body (at most 64 KiB of it).

    ``timeout`` is in seconds and bounds the whole call.

    Raises:
        OSError: nothing answered in time; the text says how it failed.
    """
    status, body = _asked(method, url, timeout, 65536, headers, json)
    return status, body.decode("utf-8", "replace")


def download(url: str, timeout: float, most: int) -> tuple[int, bytes]:
    """GET ``url`` as `request` does: status code and at most ``most`` bytes of the body."""
    return _asked("GET", url, timeout, most)


def _asked(
    method: str, url: str, timeout: float, most: int, headers: Mapping[str, str] | None = None, json: Any = None
) -> tuple[int, bytes]:
    import httpx

    deadline = time.monotonic() + timeout
    try:
        with _client().stream(method, url, timeout=timeout, headers=headers, json=json) as response:
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if time.monotonic() > deadline:
                    raise OSError(f"no full answer within {timeout:g} s")
                if len(body) > most:
                    break
            return response.status_code, body[:most]
    except httpx.TimeoutException:
        raise OSError(f"no answer within {timeout:g} s") from None
    except httpx.HTTPError as error:
        raise OSError(str(error) or type(error).__name__) from None


class HttpProbe(Probe):
    """A GET request must be answered with a status, and in time."""

    needs: ClassVar[tuple[type, ...]] = (Endpoints,)

    probe: Literal["http"]
    url: str = Field(pattern=r"^https?://")
    """The URL as the stack's services see it, such as `http://app:3000/health`."""
    status: str = Field(default="200", pattern=r"^[1-5](\d\d|xx)$")
    """The status that is wanted: one code, or a class such as `5xx`."""
    body: str = ""
    """Text that the answer must contain."""

    @property
    def title(self) -> str:
        return self.name or f"GET {self.url} is {self.status}"

    def read(self, ports: Ports) -> Reading:
        try:
            url = ports[Endpoints].url(self.url)
        except NotRunning as error:
            return Reading(ok=False, why=str(error))
        began = time.monotonic()
        try:
            status, body = fetch(url, self.timeout)
        except OSError as error:
            return Reading(ok=False, why=f"{self.url}: {error}")
        took = time.monotonic() - began
        if took > self.timeout:
            return Reading(
                ok=False, why=f"{self.url} answered {status} after {took:.1f} s, later than {self.timeout}", value=took
            )
        if str(status) != self.status and not (self.status.endswith("xx") and str(status)[0] == self.status[0]):
            return Reading(ok=False, why=f"{self.url} answered {status}: {body[:120].strip()}", value=took)
        if self.body not in body:
            return Reading(ok=False, why=f"{self.url} answered {status} without {self.body!r}", value=took)
        return Reading(ok=True, why=f"answered {status}", value=took)


class TcpProbe(Probe):
    """Every replica of a service accepts connections, past any proxy (a proxy accepts for a dead service, too)."""

    needs: ClassVar[tuple[type, ...]] = (Endpoints, Lifecycle)

    probe: Literal["tcp"]
    service: str
    """The service to connect to."""
    port: int = Field(ge=1, le=65535)
    """The service's own port."""

    @property
    def title(self) -> str:
        return self.name or f"{self.service} accepts connections on {self.port}"

    def read(self, ports: Ports) -> Reading:
        began = time.monotonic()
        addresses = ports[Endpoints].direct(self.service, self.port)
        replicas = ports[Lifecycle].replicas(self.service)
        if len(addresses) < len(replicas) or not replicas:
            return Reading(ok=False, why=f"{len(addresses)} of {len(replicas)} replicas of {self.service} run")
        for replica, address in addresses.items():
            try:
                socket.create_connection((address.host, address.port), timeout=self.timeout).close()
            except OSError as error:
                return Reading(ok=False, why=f"{replica} refuses connections on port {self.port}: {error}")
        return Reading(ok=True, why="accepted", value=time.monotonic() - began)
