"""The guarded client against both servers."""

import contextlib
import socket
import threading
import time

import pytest

from sevdrill.toxiproxy.client import Proxy, Toxic, ToxiproxyClient, ToxiproxyError

LISTEN = 21432


@pytest.fixture(scope="module")
def echo():
    """Answers what it is sent, one connection a thread."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(connection):
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    def accept():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


@pytest.fixture
def client(any_server, echo):
    client = ToxiproxyClient("127.0.0.1", any_server.port)
    client.populate([Proxy("echo", f"127.0.0.1:{LISTEN}", f"127.0.0.1:{echo}")])
    yield client
    any_server("DELETE", "/proxies/echo")
    client.close()


def trip():
    with socket.create_connection(("127.0.0.1", LISTEN), timeout=3) as connection:
        began = time.monotonic()
        connection.sendall(b"x")
        return connection.recv(1), time.monotonic() - began


def test_latency_comes_and_goes(client):
    client.add_toxic("echo", Toxic("lat", "latency", attributes={"latency": 200}))
    assert trip()[1] >= 0.2
    client.remove_toxic("echo", "lat")
    client.remove_toxic("echo", "lat")
    trips = [trip() for _ in range(10)]
    assert {data for data, _ in trips} == {b"x"}
    assert min(took for _, took in trips) < 0.15  # a busy machine is slow by itself, but not each time


def test_removing_latency_leaves_the_other_toxics(client):
    client.add_toxic("echo", Toxic("lat", "latency", attributes={"latency": 200}))
    client.add_toxic("echo", Toxic("cut", "limit_data", "upstream", 0.5, {"bytes": 7}))
    client.remove_toxic("echo", "lat")
    [left] = client.proxy("echo").toxics
    assert left.same(Toxic("cut", "limit_data", "upstream", 0.5, {"bytes": 7}))


def test_a_toxic_is_replaced_and_changed(client):
    client.add_toxic("echo", Toxic("t", "timeout", attributes={"timeout": 0}))
    client.add_toxic("echo", Toxic("t", "timeout", attributes={"timeout": 50}))
    client.update_toxic("echo", "t", attributes={"timeout": 70})
    [there] = client.proxy("echo").toxics
    assert there.attributes == {"timeout": 70}
    with pytest.raises(ToxiproxyError, match="no toxic other"):
        client.update_toxic("echo", "other", attributes={})


def test_down_refuses_and_up_accepts(client):
    client.set_enabled("echo", enabled=False)
    client.set_enabled("echo", enabled=False)
    with pytest.raises(ConnectionRefusedError):
        trip()
    with pytest.raises(ToxiproxyError, match="no effect"):
        client.add_toxic("echo", Toxic("lat", "latency", attributes={"latency": 200}))
    client.set_enabled("echo", enabled=True)
    assert trip()[0] == b"x"


def test_reset_peer_hits_connections_that_were_open_before(client):
    with socket.create_connection(("127.0.0.1", LISTEN), timeout=3) as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        client.add_toxic("echo", Toxic("rst", "reset_peer", attributes={"timeout": 0}))
        with pytest.raises(OSError, match=r"reset|Broken pipe"):  # noqa: PT012 - whichever comes first
            connection.sendall(b"x")
            if connection.recv(1) == b"":
                raise ConnectionResetError("reset")
    with pytest.raises(ConnectionResetError):
        trip()


def test_removing_latency_does_not_wedge_while_clients_abort(client):
    for _ in range(5):
        client.add_toxic("echo", Toxic("lat", "latency", attributes={"latency": 100}))
        for _ in range(4):
            with socket.create_connection(("127.0.0.1", LISTEN), timeout=3) as connection:
                connection.sendall(b"x" * 200_000)
        client.remove_toxic("echo", "lat")
    assert trip()[0] == b"x"


def test_errors_of_the_server(client):
    with pytest.raises(ToxiproxyError, match="404 proxy not found") as caught:
        client.proxy("nobody")
    assert caught.value.status == 404
