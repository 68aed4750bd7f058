"""Turns for replicas: ``python -m sevdrill.stacks.embedded.balancer PORT=PORT,PORT ...`` on loopback.

Each connection goes to the next replica, and to the one after it where that one refuses: what a name server that knows
every replica does for the clients of a container network.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys

__all__ = ["main"]

HOST = "127.0.0.1"
MOST = 256 * 1024
"""Bytes that wait for a side that does not read, before the other side is not read any more."""


class _Side(asyncio.Protocol):
    """One end of a connection that is passed on; ``other`` is the far end."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self.early: list[bytes] = []
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(MOST)

    def data_received(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self.early.append(data)
        else:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self.other is not None and self.other.transport is not None and self.other.transport.can_write_eof():
            self.other.transport.write_eof()
            if self.other.ended:
                return False
        return True  # half closed: the answer may still come

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()


class _Client(_Side):
    def __init__(self, ports: list[int], turn: itertools.count[int]) -> None:
        super().__init__()
        self._ports, self._turn = ports, turn
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._task = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        assert self.transport is not None
        first = next(self._turn)
        for more in range(len(self._ports)):
            port = self._ports[(first + more) % len(self._ports)]
            try:
                _, server = await asyncio.get_running_loop().create_connection(_Side, HOST, port)
            except OSError:
                continue
            server.other, self.other = self, server
            assert server.transport is not None
            if self.transport.is_closing():
                server.transport.close()
                return
            server.transport.writelines(self.early)
            self.transport.writelines(server.early)
            self.early.clear()
            if self.ended:
                server.transport.write_eof()
            if server.ended:
                self.transport.write_eof()
            return
        self.transport.close()


async def _run(routes: dict[int, list[int]]) -> None:
    loop = asyncio.get_running_loop()
    for port, behind in routes.items():
        turn = itertools.count()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        await loop.create_server(lambda b=behind, t=turn: _Client(b, t), sock=listener, backlog=512)  # type: ignore[misc]
    await loop.create_future()


def main(arguments: list[str]) -> int:
    """Listen on every port, for ever."""
    routes = {}
    for argument in arguments:
        port, _, behind = argument.partition("=")
        routes[int(port)] = [int(each) for each in behind.split(",")]
    asyncio.run(_run(routes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
