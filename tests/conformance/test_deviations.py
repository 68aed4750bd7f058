"""Where the built-in server does better than the real one, on purpose: see ``deviations.py`` for what that does."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

import pytest
from toxiproxies import LIMIT, Server, Way, ending, listening, quiet, read, until

QUICK = 3.0
"""Seconds for an API call: one second is promised, this machine may be three times too busy."""


def _timed(server: Server, method: str, path: str, body: object = None) -> int:
    began = time.monotonic()
    status = server(method, path, body).status
    assert time.monotonic() - began < QUICK, (method, path)
    return status


def test_half_close_is_kept(way: Way) -> None:
    for one, other in (way.ends("upstream"), way.ends("downstream")):
        one.sendall(b"question")
        one.shutdown(socket.SHUT_WR)
        assert read(other, 100) == b"question"
        time.sleep(0.05)
        other.sendall(b"answer")
        other.close()
        assert read(one, 100) == b"answer"


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("latency", {"latency": 20}),
        ("bandwidth", {"rate": 1000}),
        ("slicer", {"average_size": 100}),
        ("slow_close", {"delay": 20}),
    ],
)
def test_half_close_is_kept_through_toxics(way: Way, kind: str, attributes: dict[str, int]) -> None:
    for stream in ("upstream", "downstream"):
        way.add(kind, stream, **attributes)
    client, far = way.connect()
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert read(far, 100) == b"question"
    far.sendall(b"answer" * 1000)
    far.close()
    assert read(client, 10_000) == b"answer" * 1000


def test_reset_peer_resets_an_open_connection(way: Way) -> None:
    sender, receiver = way.ends("downstream")
    way.add("reset_peer")
    sender.sendall(b"lost")
    assert ending(receiver) == "RST"


def test_toxicity_holds_while_neighbours_come_and_go(way: Way) -> None:
    way.add("limit_data", "downstream", 0.5, bytes=0)
    for _ in range(10):
        sender, receiver = way.ends("downstream")
        for _ in range(5):
            way.remove(way.add("noop"))
        sender.sendall(b"x")
        hit = receiver.recv(1) == b""
        if not hit:
            for _ in range(20):
                way.remove(way.add("noop"))
                sender.sendall(b"x")
                assert receiver.recv(1) == b"x"


def test_latency_behind_bandwidth_adds_to_it(way: Way) -> None:
    way.add("bandwidth", rate=100)
    way.add("latency", latency=150)
    sender, receiver = way.ends("downstream")
    began = time.monotonic()
    sender.sendall(bytes(10_000))
    assert read(receiver, 10_000) == bytes(10_000)
    assert time.monotonic() - began >= 0.24


def test_a_reset_that_waits_can_be_called_off(way: Way) -> None:
    path = way.add("reset_peer", timeout=300)
    sender, receiver = way.ends("downstream")
    sender.sendall(b"x")
    assert quiet(receiver)
    way.remove(path)
    assert receiver.recv(1) == b"x"
    assert quiet(receiver, 0.35)


def test_removing_a_toxic_from_clients_that_abort(way: Way) -> None:
    """The real server hangs on the first of these."""
    chunk = bytes(1 << 16)

    def flood(far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for _ in range(100):
                far.sendall(chunk)
        far.close()

    for kind, attributes in (("latency", {"latency": 50}), ("bandwidth", {"rate": 300}), ("slicer", {"delay": 100})):
        path = way.add(kind, **attributes)
        threads = []
        for _ in range(4):
            client, far = way.connect()
            thread = threading.Thread(target=flood, args=(far,))
            thread.start()
            threads.append(thread)
            client.recv(1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        stalled, far = way.connect()
        threads.append(threading.Thread(target=flood, args=(far,)))
        threads[-1].start()
        assert _timed(way.server, "DELETE", path) == 204
        assert _timed(way.server, "GET", "/proxies") == 200
        stalled.close()
        for thread in threads:
            thread.join(LIMIT)
            assert not thread.is_alive()


def test_a_dial_that_hangs_blocks_nothing(way: Way) -> None:
    """An upstream whose backlog is full lets the first packet of a connection go unanswered."""
    with listening() as full:
        full.listen(0)
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            assert _timed(way.server, "PATCH", way.path, {"upstream": f"127.0.0.1:{address[1]}"}) == 200
            waiting = [way.dial() for _ in range(3)]
            assert all(quiet(client, 0.05) for client in waiting)
            assert _timed(way.server, "GET", "/proxies") == 200
            assert _timed(way.server, "PATCH", way.path, {"enabled": False}) == 200
            assert {ending(client) for client in waiting} == {"FIN"}
            upstream = f"127.0.0.1:{way.upstream.getsockname()[1]}"
            assert _timed(way.server, "PATCH", way.path, {"upstream": upstream, "enabled": True}) == 200
            client, far = way.connect()
            client.sendall(b"x")
            assert far.recv(1) == b"x"
        finally:
            for filler in fillers:
                filler.close()


@pytest.mark.parametrize("attributes", [{}, {"size_variation": 7}, {"average_size": -4, "size_variation": -4}])
def test_a_slicer_without_settings_lets_data_through(way: Way, attributes: dict[str, int]) -> None:
    way.add("slicer", **attributes)
    sender, receiver = way.ends("downstream")
    sender.sendall(bytes(5000))
    assert read(receiver, 5000) == bytes(5000)


def test_a_negative_rate_stalls(way: Way) -> None:
    path = way.add("bandwidth", rate=-1)
    sender, receiver = way.ends("downstream")
    sender.sendall(b"x")
    assert quiet(receiver)
    way.remove(path)
    assert until(lambda: receiver.recv(1) == b"x")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("latency", ["latency", "jitter"]),
        ("bandwidth", ["rate"]),
        ("slow_close", ["delay"]),
        ("timeout", ["timeout"]),
        ("reset_peer", ["timeout"]),
        ("slicer", ["average_size", "size_variation", "delay"]),
        ("limit_data", ["bytes"]),
    ],
)
def test_settings_out_of_all_bounds(way: Way, kind: str, names: list[str]) -> None:
    for value in (2**63 - 1, -(2**63)):
        path = way.add(kind, **dict.fromkeys(names, value))
        sender, receiver = way.ends("downstream")
        with contextlib.suppress(OSError):
            sender.sendall(b"x")
            sender.shutdown(socket.SHUT_WR)
        assert _timed(way.server, "GET", way.path) == 200
        assert _timed(way.server, "DELETE", path) == 204
        receiver.close()
