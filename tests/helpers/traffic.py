"""Traffic for benchmarks: an upstream in a process of its own, and clients that cost little themselves.

The first byte of a connection says what the upstream does: ``e`` echo, ``f`` and a size in digits and a newline:
send so many bytes.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK = bytes(1 << 18)
TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def upstream() -> Iterator[int]:
    """The upstream's port."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


@dataclass
class Pings:
    """Round trips in microseconds, and how many there were in a second."""

    rate: float
    times: list[float]

    def percentile(self, share: float) -> float:
        return sorted(self.times or [1e9])[min(int(len(self.times) * share), max(len(self.times), 1) - 1)]


def _connect(port: int, connections: int, first: bytes) -> dict[int, socket.socket]:
    socks = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(connections)]
    for sock in socks:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(first)
    return {sock.fileno(): sock for sock in socks}


def ping(port: int, connections: int, seconds: float, size: int = 100) -> Pings:
    """Each connection sends a request as soon as it has the answer to the one before."""
    payload = bytes(size)
    socks = _connect(port, connections, b"e")
    times: list[float] = []
    with select.epoll() as poll, contextlib.ExitStack() as stack:
        for fd, sock in socks.items():
            stack.enter_context(sock)
            poll.register(fd, select.EPOLLIN)
        clock = time.perf_counter
        sent = dict.fromkeys(socks, clock())
        for sock in socks.values():
            sock.sendall(payload)
        began = clock()
        end = began + seconds
        while (now := clock()) < end:
            for fd, _ in poll.poll(1):
                sock = socks[fd]
                got = len(sock.recv(size))
                while got < size:
                    got += len(sock.recv(size - got))
                now = clock()
                times.append(now - sent[fd])
                sent[fd] = now
                sock.send(payload)
        took = clock() - began
    return Pings(len(times) / took, [seconds * 1e6 for seconds in times])


def bulk(port: int, connections: int, size: int) -> float:
    """Megabytes a second over all connections, each receiving ``size`` bytes."""
    began = time.perf_counter()
    socks = _connect(port, connections, b"f%d\n" % size)
    buffer = bytearray(1 << 18)
    with select.epoll() as poll, contextlib.ExitStack() as stack:
        for fd, sock in socks.items():
            stack.enter_context(sock)
            poll.register(fd, select.EPOLLIN)
        left = dict.fromkeys(socks, size)
        while left:
            for fd, _ in poll.poll(10):
                left[fd] -= socks[fd].recv_into(buffer)
                if left[fd] <= 0:
                    del left[fd]
                    poll.unregister(fd)
    return connections * size / (time.perf_counter() - began) / 1e6


def cpu(pid: int) -> float:
    """Seconds of CPU time that a process has had, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _asked(sock: socket.socket) -> int:
    """Bytes that the client wants, 0 for an echo."""
    sock.settimeout(10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    first = sock.recv(1)
    while first[:1] == b"f" and not first.endswith(b"\n"):
        more = sock.recv(1)
        if not more:
            raise ConnectionResetError
        first += more
    sock.setblocking(False)
    return int(first[1:] or b"0")


def _serve() -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listening.getsockname()[1], flush=True)
    socks: dict[int, socket.socket] = {}
    floods: dict[int, int] = {}
    poll = select.epoll()
    poll.register(listening.fileno(), select.EPOLLIN)
    while True:
        for fd, event in poll.poll():
            if fd == listening.fileno():
                sock, _ = listening.accept()
                try:
                    size = _asked(sock)
                except OSError:
                    sock.close()
                    continue
                if size:
                    floods[sock.fileno()] = size
                poll.register(sock.fileno(), select.EPOLLOUT if size else select.EPOLLIN)
                socks[sock.fileno()] = sock
                continue
            sock = socks[fd]
            try:
                if event & select.EPOLLIN:
                    data = sock.recv(65536)
                    if data:
                        sock.send(data)
                        continue
                elif floods[fd]:
                    floods[fd] -= sock.send(CHUNK[: floods[fd]])
                    continue
            except BlockingIOError:
                continue
            except OSError:
                pass
            poll.unregister(fd)
            floods.pop(fd, None)
            socks.pop(fd).close()


if __name__ == "__main__":
    _serve()
