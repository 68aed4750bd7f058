"""Clients and upstreams that abort, stall and half-close at random while toxics come and go.

The API answers each call, and afterwards file descriptors, connections and memory are back where they were. For the
built-in server only: the real one hangs within a second of this.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import toxiproxies
from toxiproxies import LIMIT, Server, Way, ending, read, until

SEED = 20261121
SECONDS = 0.8
CLIENTS = 12
ANSWER = 3.0
"""Seconds for an API call: one second is promised, this machine may be three times too busy."""
GROWTH = 48 * 1024
"""KiB that the second of two equal rounds may add to the memory of the first: an allocator's unevenness, no leak."""
TOXICS = (
    ("latency", {"latency": 40, "jitter": 30}),
    ("latency", {"latency": 100_000}),
    ("bandwidth", {"rate": 2000}),
    ("bandwidth", {"rate": 0}),
    ("slow_close", {"delay": 300}),
    ("timeout", {"timeout": 100}),
    ("timeout", {"timeout": 0}),
    ("reset_peer", {"timeout": 20}),
    ("slicer", {"average_size": 50, "size_variation": 20, "delay": 50}),
    ("slicer", {"average_size": 1}),
    ("limit_data", {"bytes": 5000}),
)


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _upstream(sock: socket.socket, dice: random.Random) -> None:
    """Echo, flood, stall or abort, as it comes."""
    sock.settimeout(0.5)
    with contextlib.suppress(OSError), sock:
        mode = dice.choice(("echo", "flood", "stall", "abort"))
        if mode == "abort":
            sock.recv(100)
            _reset(sock)
        elif mode == "stall":
            time.sleep(0.2)
        elif mode == "flood":
            for _ in range(64):
                sock.sendall(bytes(1 << 16))
        else:
            while data := sock.recv(1 << 16):
                sock.sendall(data)


def _client(port: int, dice: random.Random) -> None:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.3) as sock:
        sock.sendall(bytes(dice.choice((1, 1000, 300_000))))
        mode = dice.choice(("reset", "read a little and reset", "stall", "half-close", "close"))
        if mode == "reset":
            _reset(sock)
        elif mode == "read a little and reset":
            sock.recv(1000)
            _reset(sock)
        elif mode == "stall":
            time.sleep(0.15)
        elif mode == "half-close":
            sock.shutdown(socket.SHUT_WR)
            read(sock, 100_000)


def _repeat(stop: threading.Event, work: Callable[[], None]) -> None:
    while not stop.is_set():
        work()


def _round(way: Way, seed: int) -> float:
    """Trouble for a while; returns the longest time that an API call took."""
    dice, stop, slowest = random.Random(seed), threading.Event(), 0.0
    threads: list[threading.Thread] = []

    def accept() -> None:
        with contextlib.suppress(TimeoutError):
            far, _ = way.upstream.accept()
            thread = threading.Thread(target=_upstream, args=(far, random.Random(dice.random())), daemon=True)
            thread.start()
            threads.append(thread)

    def call(method: str, path: str, body: object = None) -> int:
        nonlocal slowest
        began = time.monotonic()
        status = way.server(method, path, body).status
        slowest = max(slowest, time.monotonic() - began)
        return status

    way.upstream.settimeout(0.1)
    workers = [threading.Thread(target=_repeat, args=(stop, accept))]
    for _ in range(CLIENTS):
        own = random.Random(dice.random())
        workers.append(threading.Thread(target=_repeat, args=(stop, lambda own=own: _client(way.port, own))))
    for worker in workers:
        worker.daemon = True
        worker.start()
    toxics, end, count = f"{way.path}/toxics", time.monotonic() + SECONDS, 0
    names: list[str] = []
    try:
        while time.monotonic() < end:
            kind, attributes = dice.choice(TOXICS)
            body = {"type": kind, "stream": dice.choice(("upstream", "downstream")), "attributes": attributes}
            body |= {"name": f"t{count}", "toxicity": dice.choice((1, 0.5))}
            assert call("POST", toxics, body) == 200
            names.append(f"t{count}")
            count += 1
            changed = dice.choice(names)
            assert call("PATCH", f"{toxics}/{changed}", {"toxicity": dice.choice((0, 1))}) == 200
            assert call("GET", "/proxies") == 200
            time.sleep(0.01)
            if len(names) > 3:
                assert call("DELETE", f"{toxics}/{names.pop(dice.randrange(len(names)))}") == 204
            if dice.random() < 0.05:
                assert call("PATCH", way.path, {"enabled": False}) == 200
                assert call("POST", "/reset") == 204
                names.clear()
    finally:
        stop.set()
    assert count > 3
    assert call("POST", "/reset") == 204
    for thread in (*workers, *threads):
        thread.join(LIMIT)
        assert not thread.is_alive()
    return slowest


def _drained(way: Way) -> bool:
    """Close what the upstream has not accepted yet: nobody else would."""
    way.upstream.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        while True:
            way.upstream.accept()[0].close()
    return True


def _status(server: Server, field: str) -> int:
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise LookupError(field)


def _descriptors(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def test_trouble_leaves_nothing_behind() -> None:
    with toxiproxies.built_in() as server, toxiproxies.way(server, "trouble") as way:
        client, far = way.connect()
        for sock in (client, far):
            sock.close()
        assert until(lambda: server("GET", "/proxies").status == 200)
        time.sleep(0.05)
        before, sizes = _descriptors(server), []
        for seed in (SEED, SEED + 1):
            assert _round(way, seed) < ANSWER
            assert until(lambda: _drained(way) and _descriptors(server) <= before), (before, _descriptors(server))
            sizes.append(_status(server, "VmRSS"))
        assert sizes[1] - sizes[0] < GROWTH, sizes
        way.upstream.settimeout(LIMIT)
        client, far = way.connect()
        client.sendall(b"x")
        assert far.recv(1) == b"x"


def test_a_peer_that_resets_while_nobody_reads_from_it_is_let_go() -> None:
    with toxiproxies.built_in() as server, toxiproxies.way(server, "unread") as way:
        client, far = way.connect()
        before = _descriptors(server)
        way.add("bandwidth", "upstream", rate=1)
        client.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            client.sendall(bytes(1 << 24))  # more than all buffers take
        _reset(client)
        assert until(lambda: _descriptors(server) < before)
        way.server("POST", "/reset")
        assert ending(far) == "FIN"


def test_what_a_stalled_connection_holds_is_bounded() -> None:
    with toxiproxies.built_in() as server, toxiproxies.way(server, "bounded") as way:
        pairs = [way.ends("downstream") for _ in range(2)]
        before = _status(server, "VmRSS")
        way.add("slicer", average_size=1, delay=1000)
        way.add("bandwidth", rate=1)
        for sender, _ in pairs:
            sender.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                sender.sendall(bytes(1 << 26))
        assert _status(server, "VmRSS") - before < 32 * 1024
        assert server("GET", "/proxies").status == 200
