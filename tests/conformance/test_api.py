"""The HTTP API: shapes, status codes, errors, and what each call leaves behind."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from toxiproxies import LIMIT, Server, Way, ending, free_port, listening, read, until

PLAIN = "text/plain; charset=utf-8"
PROXY = {"name": "p", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:9"}


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT).close()
    except ConnectionRefusedError:
        return True
    return False


def _port(proxy: dict[str, Any]) -> int:
    return int(proxy["listen"].rpartition(":")[2])


def test_version(server: Server) -> None:
    answer = server("GET", "/version")
    assert (answer.status, answer.text) == (200, '{"version": "2.12.0"}\n')
    assert answer.kind == "application/json;charset=utf-8"


@pytest.mark.parametrize("path", ["/", "/metrics", "/nothing", "/proxies/", "/proxies/p/", "/proxies/p/toxics/t/x"])
def test_unknown_paths(server: Server, path: str) -> None:
    answer = server("GET", path)
    assert (answer.status, answer.text, answer.kind) == (404, "404 page not found\n", PLAIN)


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/proxies"), ("DELETE", "/version"), ("GET", "/populate"), ("GET", "/reset"), ("PUT", "/proxies/p")],
)
def test_methods_that_a_path_does_not_have(server: Server, method: str, path: str) -> None:
    answer = server(method, path)
    assert (answer.status, answer.text) == (405, "")


@pytest.mark.parametrize(("path", "clean"), [("//version", "/version"), ("/proxies/../version", "/version")])
def test_untidy_paths_are_redirected(server: Server, path: str, clean: str) -> None:
    answer = server("GET", path)
    assert (answer.status, answer.headers["Location"]) == (301, clean)


def test_browsers_are_kept_out(server: Server) -> None:
    answer = server("GET", "/version", User_Agent="Mozilla/5.0")
    assert (answer.status, answer.text) == (403, "User agent not allowed\n")


def test_create_shows_the_proxy(server: Server) -> None:
    answer = server("POST", "/proxies", PROXY)
    assert (answer.status, answer.kind) == (201, "application/json")
    proxy = answer.json
    assert {**proxy, "listen": ""} == {**PROXY, "listen": "", "enabled": True, "Logger": {}, "toxics": []}
    assert proxy["listen"].startswith("127.0.0.1:")
    assert not _refused(_port(proxy))
    assert server.ok("GET", "/proxies/p") == proxy
    assert server.ok("GET", "/proxies") == {"p": proxy}


def test_create_without_listen_takes_any_port_everywhere(server: Server) -> None:
    proxy = server.ok("POST", "/proxies", {"name": "p", "upstream": "127.0.0.1:9"})
    assert proxy["listen"].startswith("[::]:")
    assert not _refused(_port(proxy))


def test_create_disabled_does_not_listen(server: Server) -> None:
    port = free_port()
    proxy = server.ok("POST", "/proxies", {**PROXY, "listen": f"127.0.0.1:{port}", "enabled": False})
    assert (proxy["enabled"], proxy["listen"]) == (False, f"127.0.0.1:{port}")
    assert _refused(port)


def test_host_names_are_resolved(server: Server) -> None:
    proxy = server.ok("POST", "/proxies", {**PROXY, "listen": "localhost:0"})
    assert proxy["listen"].startswith("127.0.0.1:")


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ("", 400, "bad request body: EOF"),
        ('{"name":', 400, "bad request body: unexpected EOF"),
        ('{"name": "a', 400, "bad request body: unexpected EOF"),
        ("hello", 400, "bad request body: "),
        ("{'name': 1}", 400, "bad request body: "),
        ("[]", 400, "bad request body: "),
        ('{"name": 5, "upstream": "u:1"}', 400, "bad request body: "),
        ('{"name": "p", "upstream": "u:1", "enabled": "yes"}', 400, "bad request body: "),
        ("{}", 400, "missing required field: name"),
        ("null", 400, "missing required field: name"),
        ('{"name": ""}', 400, "missing required field: name"),
        ('{"name": "p"}', 400, "missing required field: upstream"),
        ('{"name": "p", "upstream": ""}', 400, "missing required field: upstream"),
        ('{"name": "p", "upstream": "u:1", "listen": "foo"}', 500, "listen tcp: address foo: missing port"),
        ('{"name": "p", "upstream": "u:1", "listen": "127.0.0.1:99999"}', 500, "listen tcp: address 99999: invalid"),
        (
            '{"name": "p", "upstream": "u:1", "listen": "192.0.2.1:0"}',
            500,
            "listen tcp 192.0.2.1:0: bind: ",
        ),
    ],
)
def test_create_refuses(server: Server, body: str, status: int, error: str) -> None:
    answer = server("POST", "/proxies", body)
    assert (answer.status, answer.kind) == (status, PLAIN)
    assert answer.text.endswith("\n")
    assert answer.json["status"] == status
    assert answer.json["error"].startswith(error)
    assert server.ok("GET", "/proxies") == {}


def test_create_on_a_taken_port(server: Server) -> None:
    with listening() as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = server("POST", "/proxies", {**PROXY, "listen": listen})
    assert answer.status == 500
    assert answer.json == {"error": f"listen tcp {listen}: bind: address already in use", "status": 500}
    assert server.ok("GET", "/proxies") == {}


def test_create_twice(server: Server) -> None:
    proxy = server.ok("POST", "/proxies", PROXY)
    answer = server("POST", "/proxies", PROXY)
    assert (answer.status, answer.json) == (409, {"error": "proxy already exists", "status": 409})
    assert server.ok("GET", "/proxies/p") == proxy


def test_what_json_may_look_like(server: Server) -> None:
    body = ' {"NAME": "p", "Upstream": "u:1", "listen": null, "other": [1]} and more'
    assert server.ok("POST", "/proxies", body)["upstream"] == "u:1"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("POST", ""),
        ("DELETE", ""),
        ("GET", "/toxics"),
        ("POST", "/toxics"),
        ("GET", "/toxics/t"),
        ("DELETE", "/toxics/t"),
    ],
)
def test_a_proxy_that_is_not_there(server: Server, method: str, path: str) -> None:
    answer = server(method, "/proxies/nobody" + path, {})
    assert (answer.status, answer.json) == (404, {"error": "proxy not found", "status": 404})


def test_names_are_quoted_in_paths(server: Server) -> None:
    server.ok("POST", "/proxies", {**PROXY, "name": "a proxy é"})
    assert server.ok("GET", "/proxies/a%20proxy%20%C3%A9")["name"] == "a proxy é"


def test_delete(way: Way) -> None:
    client, far = way.connect()
    answer = way.server("DELETE", way.path)
    assert (answer.status, answer.text) == (204, "")
    assert ending(client) == ending(far) == "FIN"
    assert _refused(way.port)
    assert way.server("DELETE", way.path).status == 404


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_change_where_it_dials(way: Way, method: str) -> None:
    client, _ = way.connect()
    with listening() as other:
        upstream = f"127.0.0.1:{other.getsockname()[1]}"
        proxy = way.server.ok(method, way.path, {"upstream": upstream})
        assert (proxy["upstream"], proxy["enabled"], proxy["listen"]) == (upstream, True, f"127.0.0.1:{way.port}")
        assert ending(client) == "FIN"
        way.dial()
        other.accept()[0].close()


def test_change_where_it_listens(way: Way) -> None:
    port = free_port()
    way.add("latency")
    proxy = way.server.ok("PATCH", way.path, {"listen": f"127.0.0.1:{port}", "name": "other"})
    assert (proxy["listen"], proxy["name"], len(proxy["toxics"])) == (f"127.0.0.1:{port}", way.name, 1)
    assert _refused(way.port)
    assert not _refused(port)


def test_change_nothing(way: Way) -> None:
    client, far = way.connect()
    before = way.server.ok("GET", way.path)
    assert way.server.ok("PATCH", way.path, {}) == before
    assert way.server.ok("PATCH", way.path, {"enabled": True, "listen": f"localhost:{way.port}"}) == before
    client.sendall(b"x")
    assert far.recv(1) == b"x"


def test_a_failed_change_applies_in_part(way: Way) -> None:
    with listening() as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = way.server("PATCH", way.path, {"listen": listen})
        assert answer.status == 500
        assert answer.json["error"].endswith("address already in use")
    proxy = way.server.ok("GET", way.path)
    assert (proxy["enabled"], proxy["listen"]) == (False, listen)
    assert way.server.ok("PATCH", way.path, {"enabled": True})["enabled"]


@pytest.mark.parametrize("body", ["", "[]", '{"enabled": 1}', '{"listen": 5}'])
def test_change_refuses(way: Way, body: str) -> None:
    before = way.server.ok("GET", way.path)
    answer = way.server("PATCH", way.path, body)
    assert answer.status == 400
    assert answer.json["error"].startswith("bad request body: ")
    assert way.server.ok("GET", way.path) == before


def test_populate_creates(server: Server) -> None:
    port = free_port()
    answer = server(
        "POST", "/populate", [PROXY, {**PROXY, "name": "q", "listen": f"127.0.0.1:{port}", "enabled": False}]
    )
    assert (answer.status, answer.kind) == (201, "application/json")
    assert [(proxy["name"], proxy["enabled"]) for proxy in answer.json["proxies"]] == [("p", True), ("q", False)]
    assert server.ok("GET", "/proxies") == {proxy["name"]: proxy for proxy in answer.json["proxies"]}


def test_populate_keeps_what_is_as_wanted(way: Way) -> None:
    way.add("latency")
    client, far = way.connect()
    there = way.server.ok("GET", way.path)
    wanted = {"name": way.name, "listen": f"localhost:{way.port}", "upstream": there["upstream"]}
    assert way.server.ok("POST", "/populate", [wanted]) == {"proxies": [there]}
    client.sendall(b"x")
    assert far.recv(1) == b"x"
    way.enable(False)
    [proxy] = way.server.ok("POST", "/populate", [{**wanted, "enabled": True}])["proxies"]
    assert not proxy["enabled"]


def test_populate_replaces_what_is_not(way: Way) -> None:
    way.add("latency")
    client, _ = way.connect()
    wanted = {"name": way.name, "listen": f"127.0.0.1:{way.port}", "upstream": "127.0.0.1:9"}
    [proxy] = way.server.ok("POST", "/populate", [wanted])["proxies"]
    assert (proxy["upstream"], proxy["toxics"], proxy["enabled"]) == ("127.0.0.1:9", [], True)
    assert ending(client) == "FIN"


def test_populate_takes_a_wildcard_for_a_change(server: Server) -> None:
    wanted = {"name": "p", "listen": f"0.0.0.0:{free_port()}", "upstream": "127.0.0.1:9"}
    server.ok("POST", "/populate", [wanted])
    server.ok("POST", "/proxies/p/toxics", {"type": "noop"})
    [proxy] = server.ok("POST", "/populate", [wanted])["proxies"]
    assert proxy["listen"] == wanted["listen"].replace("0.0.0.0", "[::]")
    assert proxy["toxics"] == []


def test_populate_stops_at_the_first_failure(server: Server) -> None:
    with listening() as taken:
        bad = {**PROXY, "name": "q", "listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        answer = server("POST", "/populate", [PROXY, bad, {**PROXY, "name": "r"}])
    assert (answer.status, answer.kind) == (500, "application/json")
    assert answer.json["status"] == 500
    assert answer.json["error"].endswith("address already in use")
    assert [proxy["name"] for proxy in answer.json["proxies"]] == ["p"]
    assert list(server.ok("GET", "/proxies")) == ["p"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", "bad request body: EOF"),
        ('{"proxies": []}', "bad request body: "),
        ("[5]", "bad request body: "),
        ('[{"name": "p", "upstream": "u:1"}, {}]', "missing required field: name at proxy 2"),
        ('[{"name": "p"}]', "missing required field: upstream at proxy 1"),
    ],
)
def test_populate_refuses(server: Server, body: str, error: str) -> None:
    answer = server("POST", "/populate", body)
    assert (answer.status, answer.kind) == (400, "application/json")
    assert answer.json["error"].startswith(error)
    assert answer.json["proxies"] is None
    assert server.ok("GET", "/proxies") == {}


def test_reset_enables_and_takes_every_toxic_away(way: Way) -> None:
    way.add("slicer", "upstream", average_size=1)
    way.add("slow_close")
    way.enable(False)
    answer = way.server("POST", "/reset")
    assert (answer.status, answer.text) == (204, "")
    proxy = way.server.ok("GET", way.path)
    assert (proxy["enabled"], proxy["toxics"]) == (True, [])
    client, far = way.connect()
    client.sendall(b"x")
    assert far.recv(1) == b"x"


def test_down_and_up(way: Way) -> None:
    way.add("slow_close")
    client, far = way.connect()
    way.enable(False)
    assert ending(client) == ending(far) == "FIN"
    assert _refused(way.port)
    proxy = way.server.ok("GET", way.path)
    assert (proxy["enabled"], len(proxy["toxics"])) == (False, 1)
    way.enable(True)
    client, far = way.connect()
    client.sendall(b"x")
    assert far.recv(1) == b"x"


def test_an_upstream_that_refuses(way: Way) -> None:
    way.server.ok("PATCH", way.path, {"upstream": f"127.0.0.1:{free_port()}"})
    assert ending(way.dial()) == "FIN"
    assert until(lambda: way.server.ok("GET", way.path)["enabled"])


def test_an_upstream_that_speaks_first(way: Way) -> None:
    for _ in range(30):
        client, far = way.connect()
        far.sendall(b"hello")
        assert read(client, 5) == b"hello"
        far.sendall(b"again")
        assert read(client, 5) == b"again"
