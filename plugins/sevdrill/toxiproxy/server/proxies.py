"""Proxies: what listens, dials, and keeps the connections and their toxics."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
from typing import Any

from sevdrill.toxiproxy.server.addresses import Resolver, bind, shown, split
from sevdrill.toxiproxy.server.jsons import ApiError
from sevdrill.toxiproxy.server.links import Connection, End
from sevdrill.toxiproxy.server.toxics import Toxic

__all__ = ["Proxy"]

ACCEPTS = 64
"""Connections accepted before others have their turn."""
RETRY = 0.1
"""Seconds until connections are accepted again where the process had no file descriptor left for one."""
SWEEP = 1.0
"""Seconds between looks for peers that have gone while nobody read from them."""
SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Proxy:
    """One proxy. Everything but dialling is done when a method returns."""

    def __init__(self, name: str, listen: str, upstream: str, resolver: Resolver) -> None:
        self.name, self.listen, self.upstream = name, listen, upstream
        self.enabled = False
        self._resolver = resolver
        self._toxics: list[Toxic] = []
        self._connections: set[Connection] = set()
        self._dialling: dict[asyncio.Task[None], socket.socket] = {}
        self._listener: socket.socket | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def shown(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "Logger": {},
            "toxics": [toxic.shown() for toxic in self.toxics],
        }

    @property
    def toxics(self) -> list[Toxic]:
        """Those that act upstream first, each direction in the order in which they were added."""
        return sorted(self._toxics, key=lambda toxic: not toxic.upstream)

    def toxic(self, name: str) -> Toxic:
        """The toxic of that name.

        Raises:
            ApiError: there is none.
        """
        for toxic in self._toxics:
            if toxic.name == name:
                return toxic
        raise ApiError(404, "toxic not found")

    def differs(self, resolved: str, upstream: str) -> bool:
        """Whether it listens or dials elsewhere than asked; a listener on every address always does."""
        return resolved != self.listen or upstream != self.upstream

    def start(self, resolved: str) -> None:
        """Listen.

        Raises:
            ApiError: the address cannot be had.
        """
        if self.enabled:
            return
        self._listener = bind(resolved)
        self.listen = shown(self._listener.getsockname())
        self._loop.add_reader(self._listener, self._accept, self._listener)
        self.enabled = True

    def stop(self) -> None:
        """Refuse connections, and close those that are open."""
        self.enabled = False
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for task, client in list(self._dialling.items()):
            task.cancel()
            # Cancelling takes effect a moment later; the peer is to see it now.
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for connection in list(self._connections):
            connection.kill()

    def add(self, toxic: Toxic) -> None:
        """Add a toxic, to the open connections too.

        Raises:
            ApiError: there is one of that name.
        """
        if any(there.name == toxic.name for there in self._toxics):
            raise ApiError(409, "toxic already exists")
        self._toxics.append(toxic)
        for connection in list(self._connections):
            connection.link(toxic).add(toxic)

    def change(self, toxic: Toxic) -> None:
        """Let open connections act by a toxic's new settings."""
        for connection in list(self._connections):
            connection.link(toxic).change(toxic)

    def remove(self, toxic: Toxic) -> None:
        """Take a toxic away, from the open connections too."""
        self._toxics.remove(toxic)
        for connection in list(self._connections):
            connection.link(toxic).remove(toxic)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS):
            try:
                client, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in SHORT:
                    self._loop.remove_reader(listener)
                    self._loop.call_later(RETRY, self._again, listener)
                    return
                continue  # that client is gone already
            client.setblocking(False)
            task = self._loop.create_task(self._connect(client))
            self._dialling[task] = client
            task.add_done_callback(self._dialled)

    def _again(self, listener: socket.socket) -> None:
        if listener is self._listener:
            self._loop.add_reader(listener, self._accept, listener)

    def _dialled(self, task: asyncio.Task[None]) -> None:
        del self._dialling[task]

    async def _connect(self, client: socket.socket) -> None:
        """Dial, and only then read from the client, whose first data the kernel keeps so long."""
        near, far = End(), End()
        try:
            upstream = await self._dial(far)
        except (OSError, ValueError):
            client.close()
            return
        except BaseException:
            client.close()
            raise
        try:
            await self._loop.connect_accepted_socket(lambda: near, client)
        except BaseException:
            upstream.abort()
            client.close()
            raise
        connection = Connection(near, far, self._toxics, self._connections.discard)
        self._connections.add(connection)
        connection.begin()
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP, self._sweep)

    def _sweep(self) -> None:
        """Let go of sockets that the peer has reset while they were not read from."""
        self._sweeper = None
        poll, ends = select.poll(), {}
        for connection in self._connections:
            for end in connection.unread():
                descriptor = end.transport.get_extra_info("socket").fileno()
                ends[descriptor] = end
                poll.register(descriptor, 0)  # errors are always reported
        for descriptor, event in poll.poll(0):
            if event & select.POLLERR:
                ends[descriptor].transport.abort()
        if self._connections:
            self._sweeper = self._loop.call_later(SWEEP, self._sweep)

    async def _dial(self, far: End) -> asyncio.Transport:
        host, port = split(self.upstream)
        failed: OSError = OSError(errno.EADDRNOTAVAIL, "no address")
        for address in await self._resolver.hosts(host or "localhost"):
            try:
                transport, _ = await self._loop.create_connection(lambda: far, address, int(port))
            except OSError as error:
                failed = error
            else:
                return transport
        raise failed
