"""The guarded client against a server that answers whatever a test tells it to."""

import http.server
import json
import threading
import time
from contextlib import contextmanager

import pytest

from sevdrill.errors import StackError
from sevdrill.toxiproxy.client import Proxy, Toxic, ToxiproxyClient, ToxiproxyError, ToxiproxyWedged


class Scripted(http.server.BaseHTTPRequestHandler):
    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.seen.append((self.command, self.path, body))
        status, payload, delay = self.server.script(self.command, self.path, body)
        self.server.released.wait(delay)
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

    def log_message(self, *args):
        pass


@contextmanager
def server(script, *, timeout=1.0):
    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *args):
            pass

    listening = Server(("127.0.0.1", 0), Scripted)
    listening.seen, listening.script, listening.released = [], script, threading.Event()
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    client = ToxiproxyClient("127.0.0.1", listening.server_port, timeout=timeout)
    try:
        yield client, listening
    finally:
        client.close()
        listening.released.set()
        listening.shutdown()
        listening.server_close()
        thread.join()


def described(*, enabled=True, toxics=(), listen="[::]:5432"):
    return {
        "name": "db-5432",
        "listen": listen,
        "upstream": "db:5432",
        "enabled": enabled,
        "Logger": {},
        "toxics": list(toxics),
    }


LATENCY = {
    "name": "lat",
    "type": "latency",
    "stream": "downstream",
    "toxicity": 1,
    "attributes": {"latency": 5, "jitter": 0},
}


@pytest.mark.parametrize("status", [400, 403, 404, 409, 500, 302])
def test_every_answer_that_is_no_success_is_an_error(status):
    with server(lambda *_: (status, {"error": "because", "status": status}, 0)) as (client, listening):
        with pytest.raises(ToxiproxyError, match=rf"GET /proxies: {status} because") as caught:
            client.proxies()
        assert caught.value.status == status
        assert f"127.0.0.1:{listening.server_port}" in str(caught.value)
        assert isinstance(caught.value, StackError)


def test_a_wedged_server_is_noticed_in_time():
    with server(lambda *_: (200, {}, 20), timeout=0.2) as (client, _):
        began = time.monotonic()
        with pytest.raises(ToxiproxyWedged, match=r"no answer within 0\.2 s"):
            client.proxies()
        assert time.monotonic() - began < 10  # it would answer after twenty seconds
    with (
        server(lambda *_: (503, b"<html>Service Unavailable</html>", 0)) as (client, _),
        pytest.raises(ToxiproxyWedged),
    ):
        client.proxies()


def test_nobody_there():
    with server(lambda *_: (200, {}, 0)) as (client, _):
        pass
    with pytest.raises(ToxiproxyError, match="cannot be reached") as caught:
        client.proxies()
    assert not isinstance(caught.value, ToxiproxyWedged)


@pytest.mark.parametrize(
    "payload", [b"no json", [], {"p": 5}, {"p": {"name": "p"}}, {"p": described() | {"toxics": [{}]}}]
)
def test_nonsense_is_an_error_not_a_crash(payload):
    with server(lambda *_: (200, payload, 0)) as (client, _), pytest.raises(ToxiproxyError):
        client.proxies()


def test_an_enable_that_changed_nothing_is_an_error():
    with server(lambda *_: (200, described(enabled=False), 0)) as (client, listening):
        with pytest.raises(ToxiproxyError, match="did not become enabled"):
            client.set_enabled("db-5432", enabled=True)
        assert ("POST", "/proxies/db-5432", {"enabled": True}) in listening.seen


def test_an_enable_on_a_taken_port_is_an_error():
    def script(method, _path, _body):
        return (
            (500, {"error": "bind: address already in use"}, 0)
            if method == "POST"
            else (200, described(enabled=False), 0)
        )

    with server(script) as (client, _), pytest.raises(ToxiproxyError, match="500 bind: address already in use"):
        client.set_enabled("db-5432", enabled=True)


def test_a_toxic_that_was_accepted_and_is_not_there_is_an_error():
    def script(method, _path, _body):
        return (200, LATENCY, 0) if method == "POST" else (200, described(), 0)

    with server(script) as (client, _), pytest.raises(ToxiproxyError, match="does not have it as sent"):
        client.add_toxic("db-5432", Toxic("lat", "latency", attributes={"latency": 5}))


def test_a_toxic_on_a_proxy_that_is_down_is_refused():
    with server(lambda *_: (200, described(enabled=False), 0)) as (client, listening):
        with pytest.raises(ToxiproxyError, match="would have no effect"):
            client.add_toxic("db-5432", Toxic("lat", "latency", attributes={"latency": 5}))
        assert {method for method, _, _ in listening.seen} == {"GET"}


def test_the_same_toxic_again_sends_nothing():
    with server(lambda *_: (200, described(toxics=[LATENCY]), 0)) as (client, listening):
        client.add_toxic("db-5432", Toxic("lat", "latency", attributes={"latency": 5}))
        assert {method for method, _, _ in listening.seen} == {"GET"}


def test_latency_goes_with_its_proxy_and_other_toxics_come_back():
    other = {"name": "cut", "type": "limit_data", "stream": "upstream", "toxicity": 0.5, "attributes": {"bytes": 9}}
    state = {"toxics": [LATENCY, other]}

    def script(method, path, body):
        if method == "DELETE":
            state.clear()
            return 204, b"", 0
        if method == "POST" and path == "/proxies":
            state["toxics"] = []
            return 201, described(), 0
        if method == "POST":
            state["toxics"].append(body)
            return 200, body, 0
        return 200, described(toxics=state["toxics"]), 0

    with server(script) as (client, listening):
        client.remove_toxic("db-5432", "lat")
        assert state["toxics"] == [other]
        changes = [(method, path) for method, path, _ in listening.seen if method != "GET"]
        assert changes == [
            ("DELETE", "/proxies/db-5432"),
            ("POST", "/proxies"),
            ("POST", "/proxies/db-5432/toxics"),
        ]
        client.remove_toxic("db-5432", "lat")  # not there: nothing to do


@pytest.mark.parametrize(
    "toxic",
    [
        Toxic("a/b", "latency"),
        Toxic("", "latency"),
        Toxic("a", "lag"),
        Toxic("a", "latency", "Downstream"),
        Toxic("a", "latency", toxicity=1.1),
        Toxic("a", "latency", toxicity=float("nan")),
        Toxic("a", "latency", attributes={"latency": 1.5}),
        Toxic("a", "latency", attributes={"latency": True}),
        Toxic("a", "latency", attributes={"latnecy": 1}),
        Toxic("a", "bandwidth", attributes={"rate": -1}),
        Toxic("a", "slicer"),
        Toxic("a", "slicer", attributes={"average_size": 10, "size_variation": 10}),
    ],
)
def test_what_would_crash_or_confuse_the_server_is_never_sent(toxic):
    with server(lambda *_: (200, described(), 0)) as (client, listening):
        with pytest.raises(ValueError, match=r"toxic|name"):
            client.add_toxic("db-5432", toxic)
        assert listening.seen == []


def test_populate_leaves_alone_what_is_as_wanted():
    with server(lambda *_: (200, {"db-5432": described()}, 0)) as (client, listening):
        client.populate([Proxy("db-5432", "0.0.0.0:5432", "db:5432")])
        assert {method for method, _, _ in listening.seen} == {"GET"}
        with pytest.raises(ToxiproxyError, match="populate did not make other"):
            client.populate([Proxy("other", "[::]:1", "x:1")])
        assert [body for method, _, body in listening.seen if method == "POST"] == [
            [{"name": "other", "listen": "[::]:1", "upstream": "x:1", "enabled": True}]
        ]


def test_clients_do_not_share_a_server_and_other_users_of_the_library_notice_nothing():
    from toxiproxy import Toxiproxy
    from toxiproxy.api import APIConsumer

    def named(name):
        return lambda method, *_: (200, described() | {"upstream": name, "enabled": method == "GET"}, 0)

    with server(named("one")) as (one, first), server(named("two")) as (two, second):
        for client in (one, two):
            with pytest.raises(ToxiproxyError):
                client.set_enabled("db-5432", enabled=False)
        assert [m for m, _, _ in first.seen] == [m for m, _, _ in second.seen] == ["GET", "POST", "GET"]
        assert (APIConsumer.host, APIConsumer.port) == ("127.0.0.1", 8474)
        with server(lambda *_: (200, {}, 0)) as (_, third):
            before = APIConsumer.port
            Toxiproxy().update_api_consumer("127.0.0.1", third.server_port)
            try:
                assert Toxiproxy().proxies() == {}
                assert third.seen == [("GET", "/proxies", None)]
            finally:
                APIConsumer.port = before


def test_the_environments_proxy_is_not_asked(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with server(lambda *_: (200, {}, 0)) as (client, _):
        assert client.proxies() == {}
