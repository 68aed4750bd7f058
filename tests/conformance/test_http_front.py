"""The HTTP front of the built-in server against clients that are wrong, slow or hostile: an answer or an end."""

from __future__ import annotations

import contextlib
import json
import random
import socket
from collections.abc import Iterator

import pytest
import toxiproxies
from toxiproxies import LIMIT, Server

GET = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with toxiproxies.built_in() as server:
        yield server


def _talk(server: Server, *parts: bytes, end: bool = True) -> bytes:
    """Everything that is answered to these bytes until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT) as sock:
        answer = bytearray()
        try:
            for part in parts:
                sock.sendall(part)
            if end:
                sock.shutdown(socket.SHUT_WR)
            while data := sock.recv(1 << 16):
                answer += data
        except (ConnectionResetError, BrokenPipeError):
            pass
        return bytes(answer)


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\r\n\r\n" + GET, 200),
        (b"hello\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /version\r\n\r\n", 400),
        (b"GET /version HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET /version HTTP/1.1\r\n\r\n", 400),
        (b"GET version HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET  /version HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"G\xffT /version HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET http://other/version HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /version HTTP/1.0\r\n\r\n", 200),
        (b"BREW /version HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /%00%ff%zz HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /proxies/%0d%0aX:%201 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /version HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"GET /version HTTP/1.1\r\nHost: x\r\n folded: x\r\n\r\n", 400),
        (b"GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
        (b"POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400),
        (b"POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", 400),
        (b"POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffff0\r\n", 413),
        (b"POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 300, 400),
        (b"POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n", 204),
        (b"GET /version HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000, 431),
        (b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"GET /version HTTP/1.1\r\n" + b"X: y\r\n" * 12_000 + b"\r\n", 431),
    ],
)
def test_requests_that_are_odd_or_wrong(server: Server, request_: bytes, status: int) -> None:
    assert (
        _status(_talk(server, request_, end=False)) == status
        if status >= 400 and status != 404 and status != 405
        else True
    )
    assert _status(_talk(server, request_)) == status


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"name": "' + b"x" * 1_000_000 + b'"}',
        b'{"name": NaN}',
        b'{"name": "p", "upstream": "u:1", "toxicity": 1e999}',
        b"1" * 10_000,
        b"\xff\xfe\x00",
        b'"\\ud800"',
        b'{"name": "\\ud800", "upstream": "u:1", "enabled": false}',
        b'{"name": "p", "upstream": "u:1", "listen": "\\u0000:1"}',
        b'{"name": "p", "upstream": "u:1", "listen": "' + b"x" * 300 + b':1"}',
        b'{"name": "p", "upstream": "u:1", "listen": "a..b:1"}',
        b'{"name": "p", "upstream": "u:1", "listen": "[::1:1"}',
        b'{"name": "p", "upstream": "u:1", "listen": "127.0.0.1:\\u0663"}',
        b'{"name": "p", "upstream": "u:1", "listen": "127.0.0.1:nosuchservice"}',
    ],
)
@pytest.mark.parametrize("path", ["/proxies", "/populate"])
def test_bodies_that_are_odd_or_wrong(server: Server, path: str, body: bytes) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    answer = _talk(server, head, body)
    assert _status(answer) in (201, 400, 500)
    assert b"internal error" not in answer
    server("POST", "/reset")
    with contextlib.suppress(UnicodeEncodeError):
        for name in server.ok("GET", "/proxies"):
            server("DELETE", f"/proxies/{name}")


@pytest.mark.parametrize(
    ("listen", "upstream"), [("127.0.0.1:0", "nonsense"), ("127.0.0.1:0", "\x00:1"), ("127.0.0.1:0", "a..b:99")]
)
def test_upstreams_that_are_no_address(server: Server, listen: str, upstream: str) -> None:
    proxy = server.ok("POST", "/proxies", {"name": "odd", "listen": listen, "upstream": upstream})
    with socket.create_connection(("127.0.0.1", int(proxy["listen"].rpartition(":")[2])), timeout=LIMIT) as client:
        assert client.recv(1) == b""
    server("DELETE", "/proxies/odd")


def test_a_pipeline_is_answered_in_order(server: Server) -> None:
    body = json.dumps({"name": "p", "upstream": "u:1", "listen": "127.0.0.1:0"}).encode()
    create = b"POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    delete = b"DELETE /proxies/p HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = _talk(server, (create + GET + delete) * 200)
    assert [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]] == [201, 200, 204] * 200


def test_a_client_that_does_not_read_its_answers(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.3) as sock:
        with contextlib.suppress(TimeoutError):
            for _ in range(200):
                sock.sendall(GET * 2000)
        assert server("GET", "/proxies").status == 200


def test_a_request_that_comes_byte_by_byte(server: Server) -> None:
    body = b'[{"name": "slow", "upstream": "u:1", "enabled": false}]'
    head = b"POST /populate HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert _status(_talk(server, *(bytes([byte]) for byte in head + body))) == 201
    server("DELETE", "/proxies/slow")


def test_expect_continue(server: Server) -> None:
    head = b"POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT) as sock:
        sock.sendall(head)
        assert sock.recv(1000).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"{}")
        assert sock.recv(1000).startswith(b"HTTP/1.1 204 ")


def test_slow_clients_hold_up_nobody(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT))
            sock.sendall(b"POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
        assert server("GET", "/proxies").status == 200


def test_noise(server: Server) -> None:
    """Requests with parts cut, doubled, swapped and overwritten: an answer or an end, and the server goes on."""
    dice = random.Random(7)
    body = b'{"name": "n", "upstream": "u:1", "enabled": false}'
    whole = b"POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    chunked = b"POST /populate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n"
    for _ in range(400):
        noisy = bytearray(dice.choice((whole, chunked, GET, whole + GET)))
        for _ in range(dice.randrange(1, 6)):
            at = dice.randrange(len(noisy))
            change = dice.randrange(4)
            if change == 0:
                noisy[at] = dice.randrange(256)
            elif change == 1:
                del noisy[at : at + dice.randrange(1, 20)]
            elif change == 2:
                noisy[at:at] = noisy[dice.randrange(len(noisy)) :][:20]
            else:
                noisy[at:at] = dice.choice((b"\r\n", b"\r\n\r\n", b"\x00", b": ", b"%", b"9" * 30))
            noisy = noisy or bytearray(b"x")
        answer = _talk(server, bytes(noisy))
        assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
        assert b"internal error" not in answer
    assert server("GET", "/version").status == 200
