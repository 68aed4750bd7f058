"""Turns for replicas: ``python -m sevdrill.stacks.embedded.balancer FILE``, on loopback.

The file is a JSON list of pairs: a port to listen on, and the ports of the replicas; it is read again when it changes.
Each connection goes to the next replica, and to the one after it where that one refuses: what a name server that knows
every replica does for the clients of a container network.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import sys
from pathlib import Path

__all__ = ["main"]

HOST = "127.0.0.1"
EVERY = 0.1
"""Seconds between two looks at the file."""
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
        first, ports = next(self._turn), list(self._ports)
        for more in range(len(ports)):
            port = ports[(first + more) % len(ports)]
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


async def _run(file: Path) -> None:
    loop = asyncio.get_running_loop()
    routes: dict[int, list[int]] = {}
    read = 0
    while True:
        if (written := _written(file)) != read:
            read = written
            for port, behind in _read(file):
                known = port in routes
                # In place: whoever listens already takes them from the same list.
                routes.setdefault(port, [])[:] = behind
                if not known:
                    await _listen(loop, port, routes[port])
        await asyncio.sleep(EVERY)


def _written(file: Path) -> int:
    return file.stat().st_mtime_ns


def _read(file: Path) -> list[tuple[int, list[int]]]:
    found: list[tuple[int, list[int]]] = json.loads(file.read_text(encoding="utf-8"))
    return found


async def _listen(loop: asyncio.AbstractEventLoop, port: int, behind: list[int]) -> None:
    turn = itertools.count()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    await loop.create_server(lambda: _Client(behind, turn), sock=listener, backlog=512)


def main(arguments: list[str]) -> int:
    """Listen on every port, for ever."""
    asyncio.run(_run(Path(arguments[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
