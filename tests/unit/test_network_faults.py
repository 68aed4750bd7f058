"""Every network fault, on a real connection: felt once it is injected, and not before, nor after its undo."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping

import pytest

from sevdrill.faults import FAULTS, Fault, State
from sevdrill.faults.network import (
    NetworkBandwidth,
    NetworkDown,
    NetworkLatency,
    NetworkLimitData,
    NetworkReset,
    NetworkSlicer,
    NetworkSlowClose,
    NetworkTimeout,
)
from sevdrill.ports import Ports, Proxies
from sevdrill.toxiproxy.client import Proxy, Toxic, ToxiproxyClient

LONG = 0.25
"""Seconds that a fault adds; a connection without it answers in far less."""


class OneProxy:
    """The port, for a service `db` behind one proxy."""

    def __init__(self, client: ToxiproxyClient) -> None:
        self._client = client

    def set_toxic(
        self, service: str, name: str, kind: str, stream: str, toxicity: float, attributes: Mapping[str, int]
    ) -> None:
        self._client.add_toxic(service, Toxic(name, kind, stream, toxicity, dict(attributes)))

    def remove_toxic(self, service: str, name: str) -> None:
        self._client.remove_toxic(service, name)

    def toxics(self, service: str) -> dict[str, list[str]]:
        return {"5432": [toxic.name for toxic in self._client.proxy(service).toxics]}

    def set_down(self, service: str, *, down: bool) -> None:
        self._client.set_enabled(service, enabled=not down)

    def down(self, service: str) -> dict[str, bool]:
        return {"5432": not self._client.proxy(service).enabled}


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    """Answers what it is sent, and hangs up when that ends with a full stop."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)
                if data.endswith(b"."):
                    return

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    accepting.join()


@pytest.fixture(scope="module")
def client() -> Iterator[ToxiproxyClient]:
    command = [sys.executable, "-m", "sevdrill", "toxiproxy", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            host, _, port = server.stdout.readline().strip().rpartition(":")
            client = ToxiproxyClient(host, int(port))
            yield client
            client.close()
        finally:
            server.terminate()


@pytest.fixture
def address(client: ToxiproxyClient, echo: int) -> tuple[str, int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client.populate([Proxy("db", f"127.0.0.1:{port}", f"127.0.0.1:{echo}")])
    return "127.0.0.1", port


def answer(address: tuple[str, int], size: int) -> tuple[bytes, float]:
    """What comes back of so much, until the other side hangs up; and how long that takes."""
    began = time.monotonic()
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(b"x" * (size - 1) + b".")
        got = b""
        while data := connection.recv(65536):
            got += data
    return got, time.monotonic() - began


def takes_long(address: tuple[str, int]) -> bool:
    got, seconds = answer(address, 4000)
    return len(got) == 4000 and seconds >= LONG


def is_silent(address: tuple[str, int]) -> bool:
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(b"anyone?")
        connection.settimeout(LONG)
        try:
            return not connection.recv(1)
        except TimeoutError:
            return True


def breaks_off(address: tuple[str, int]) -> bool:
    try:
        answer(address, 100)
    except ConnectionResetError:
        return True
    return False


def is_cut_short(address: tuple[str, int]) -> bool:
    return len(answer(address, 4000)[0]) == 100


def refuses(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


CASES = {
    NetworkLatency: ({"latency": "250ms"}, takes_long),
    NetworkBandwidth: ({"rate": "8kB"}, takes_long),
    NetworkSlicer: ({"size": "100B", "delay": "10ms"}, takes_long),
    NetworkSlowClose: ({"delay": "250ms"}, takes_long),
    NetworkTimeout: ({}, is_silent),
    NetworkReset: ({}, breaks_off),
    NetworkLimitData: ({"limit": "100B"}, is_cut_short),
    NetworkDown: ({}, refuses),
}


def test_every_network_fault_is_here() -> None:
    behind_a_proxy = {fault for fault in FAULTS if Proxies in fault.needs}
    assert behind_a_proxy == set(CASES)


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_it_is_felt_while_it_is_on(kind: type[Fault], client: ToxiproxyClient, address: tuple[str, int]) -> None:
    settings, felt = CASES[kind]
    name = kind.model_fields["fault"].annotation.__args__[0]
    fault = kind.model_validate({"fault": name, "service": "db", **settings})
    ports = Ports({Proxies: OneProxy(client)})

    assert not felt(address)
    record = fault.prepare(ports)
    assert fault.state(ports, record) is State.OFF
    fault.inject(ports, record)
    assert fault.state(ports, record) is State.ON
    assert felt(address)
    for _ in range(2):
        fault.undo(ports, record)
        assert fault.state(ports, record) is State.OFF
        assert not felt(address)


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"fault": "network.bandwidth", "rate": "64kB"}, {"rate": 64}),
        ({"fault": "network.bandwidth", "rate": "1B"}, {"rate": 1}),
        ({"fault": "network.bandwidth", "rate": "0B"}, {"rate": 0}),
        ({"fault": "network.slicer", "size": "1kB", "varies": "100B", "delay": "2ms"}, (1000, 100, 2000)),
    ],
)
def test_what_toxiproxy_is_told(settings: dict[str, str], sent: object) -> None:
    kind = {"network.bandwidth": NetworkBandwidth, "network.slicer": NetworkSlicer}[settings["fault"]]
    _, attributes = kind.model_validate({"service": "db", **settings})._kind
    assert attributes == sent if isinstance(sent, dict) else tuple(attributes.values()) == sent


@pytest.mark.parametrize("settings", [{"size": "0B"}, {"size": "10B", "varies": "10B"}])
def test_a_slicer_that_would_crash_the_server_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="size must be at least 1B and more than varies"):
        NetworkSlicer.model_validate({"fault": "network.slicer", "service": "db", **settings})
