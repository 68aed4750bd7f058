"""Addresses: text to socket addresses and back, without ever keeping the event loop waiting for a resolver."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from typing import Any

from sevdrill.toxiproxy.server.jsons import ApiError

__all__ = ["Resolver", "Unresolved", "bind", "shown", "split"]

LOOKUP = 5.0
"""Seconds that a name may take to be looked up."""
BACKLOG = 4096

Address = tuple[Any, ...]


class Unresolved(OSError):
    """A host name has no address."""


def split(address: str) -> tuple[str, str]:
    """Host and port of ``host:port``; the host may be empty or in brackets.

    Raises:
        ValueError: it is no such thing.
    """
    host, colon, port = address.rpartition(":")
    if not colon:
        raise ValueError(f"address {address}: missing port in address")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host or "[" in host or "]" in host:
        raise ValueError(f"address {address}: too many colons in address")
    if not port.isascii() or not port.isdigit():
        try:
            port = str(socket.getservbyname(port, "tcp")) if port else "0"
        except (OSError, UnicodeError, ValueError):
            raise ValueError(f"lookup tcp/{port}: unknown port") from None
    if int(port) > 65535:
        raise ValueError(f"address {port}: invalid port")
    return host, str(int(port))


def shown(address: Address) -> str:
    """``host:port``, an IPv6 host in brackets."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Resolver:
    """Looks up host names, each name once at a time, on a thread that nobody waits for at the end."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Future[list[str]]] = {}

    async def hosts(self, host: str) -> list[str]:
        """The addresses of a host, at least one.

        Raises:
            Unresolved: it has none, or the resolver does not say in time.
        """
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        if host not in self._running:
            loop = asyncio.get_running_loop()
            found = self._running[host] = loop.create_future()
            found.add_done_callback(lambda done: (self._running.pop(host, None), done.exception()))
            threading.Thread(target=_look_up, args=(host, loop, found), daemon=True).start()
        try:
            return await asyncio.wait_for(asyncio.shield(self._running[host]), LOOKUP)
        except TimeoutError:
            raise Unresolved(f"lookup {host}: i/o timeout") from None

    async def listen(self, address: str) -> str:
        """A listening address whose host is an IP address or empty.

        Raises:
            ApiError: it is no address, or its host is unknown.
        """
        if not address:
            return ":0"
        try:
            host, port = split(address)
            found = (await self.hosts(host))[0] if host else ""
        except (ValueError, Unresolved) as error:
            raise ApiError(500, f"listen tcp: {error}") from None
        return shown((found, port))


def _look_up(host: str, loop: asyncio.AbstractEventLoop, found: asyncio.Future[list[str]]) -> None:
    hosts: list[str] = []
    error = ""
    try:
        # IPv4 first, as the real server does.
        infos = sorted(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM), key=lambda info: info[0])
        hosts = list(dict.fromkeys(str(info[4][0]) for info in infos))
    except (OSError, ValueError) as problem:
        error = f"lookup {host}: {getattr(problem, 'strerror', None) or problem}"

    def tell() -> None:
        if not found.done():
            if hosts:
                found.set_result(hosts)
            else:
                found.set_exception(Unresolved(error or f"lookup {host}: no such host"))

    # The loop is closed when the server ended meanwhile.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(tell)


def bind(address: str) -> socket.socket:
    """A listening socket; every address of this machine is meant by an empty host, 0.0.0.0 and [::] alike.

    Raises:
        ApiError: it cannot be had.
    """
    host, port = split(address)
    everywhere = host in ("", "0.0.0.0", "::")  # noqa: S104 - only where the user says so
    sock = None
    try:
        if everywhere and socket.has_dualstack_ipv6():
            sock = socket.create_server(
                ("::", int(port)), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True, reuse_port=False
            )
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            sock = socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
    except OSError as error:
        said = (error.strerror or str(error)).partition(" (")[0].lower()
        raise ApiError(500, f"listen tcp {address}: bind: {said}") from None
    sock.setblocking(False)
    return sock
