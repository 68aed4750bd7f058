"""Toxiproxy servers to test against: the built-in one, and the real one out of its image, without a container."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

IMAGE = "ghcr.io/shopify/toxiproxy:2.12.0"
LIMIT = 10.0
"""Seconds that a socket waits at most, so that a test that would hang fails."""


@dataclass
class Answer:
    status: int
    kind: str
    text: str
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Server:
    """A running server, and its API."""

    kind: str
    port: int
    process: subprocess.Popen[Any]

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """One call; a body that is no text is sent as JSON."""
        data = body if isinstance(body, str | bytes | None) else json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        try:
            connection.request(method, path, data, {name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            text = answer.read().decode()
            return Answer(answer.status, answer.getheader("Content-Type", ""), text, dict(answer.getheaders()))
        finally:
            connection.close()

    def ok(self, method: str, path: str, body: object = None) -> Any:
        """What a call that must succeed answers."""
        answer = self(method, path, body)
        assert 200 <= answer.status < 300, (method, path, body, answer)
        return answer.json if answer.text else None


@dataclass
class Way:
    """A proxy, and an upstream whose connections the test holds itself."""

    server: Server
    name: str
    port: int
    upstream: socket.socket
    open: list[socket.socket] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"/proxies/{self.name}"

    def dial(self) -> socket.socket:
        """A client's connection to the proxy."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open.append(client)
        return client

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """Both ends of a connection through the proxy."""
        client = self.dial()
        far, _ = self.upstream.accept()
        far.settimeout(LIMIT)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open.append(far)
        return client, far

    def ends(self, stream: str) -> tuple[socket.socket, socket.socket]:
        """A connection, the end that sends in this stream first."""
        client, far = self.connect()
        return (client, far) if stream == "upstream" else (far, client)

    def add(self, kind: str, stream: str = "downstream", toxicity: float = 1, **attributes: int) -> str:
        """Add a toxic; returns its path."""
        body = {"type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes}
        return f"{self.path}/toxics/{self.server.ok('POST', f'{self.path}/toxics', body)['name']}"

    def remove(self, toxic: str) -> None:
        assert self.server("DELETE", toxic).status == 204

    def enable(self, enabled: bool) -> None:
        self.server.ok("PATCH", self.path, {"enabled": enabled})

    def close(self) -> None:
        for sock in (*self.open, self.upstream):
            sock.close()
        self.server("DELETE", self.path)


@contextlib.contextmanager
def way(server: Server, name: str) -> Iterator[Way]:
    """A proxy of its own for a test."""
    with listening() as upstream:
        entry = {"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{upstream.getsockname()[1]}"}
        made = server.ok("POST", "/proxies", entry)
        opened = Way(server, name, int(made["listen"].rpartition(":")[2]), upstream)
        try:
            yield opened
        finally:
            opened.close()


@contextlib.contextmanager
def listening(**options: Any) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=128, **options) as sock:
        sock.settimeout(LIMIT)
        yield sock


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def read(sock: socket.socket, size: int) -> bytes:
    """So many bytes, or less where the other side ended."""
    data = bytearray()
    while len(data) < size:
        more = sock.recv(min(size - len(data), 1 << 20))
        if not more:
            break
        data += more
    return bytes(data)


def quiet(sock: socket.socket, seconds: float = 0.1) -> bool:
    """Whether nothing comes, no end either."""
    sock.settimeout(seconds)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    except OSError:
        return False
    finally:
        sock.settimeout(LIMIT)
    return False


def ending(sock: socket.socket) -> str:
    """How the connection ends: FIN or RST; what comes before it is read."""
    try:
        while sock.recv(1 << 16):
            pass
    except ConnectionResetError:
        return "RST"
    return "FIN"


def until(true: Callable[[], bool], within: float = LIMIT) -> bool:
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@contextlib.contextmanager
def built_in(*options: str) -> Iterator[Server]:
    """The built-in server; what it says on stderr fails the test."""
    command = [sys.executable, "-m", "sevdrill", "toxiproxy", "--listen", "127.0.0.1:0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, process.communicate(timeout=LIMIT)
        yield Server("built-in", int(line.rpartition(":")[2]), process)
    finally:
        process.terminate()
        _, said = process.communicate(timeout=LIMIT)
    assert said == "", said
    assert process.returncode == 0, process.returncode


@contextlib.contextmanager
def real(folder: Path) -> Iterator[Server]:
    """The real server; its file is taken from the image into the folder."""
    program, port = _extract(folder), free_port()
    process = subprocess.Popen(
        [program, "-host=127.0.0.1", f"-port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    server = Server("real", port, process)

    def answers() -> bool:
        try:
            return server("GET", "/version").status == 200
        except OSError:
            return False

    try:
        assert until(answers)
        yield server
    finally:
        process.kill()
        process.wait(LIMIT)


def _extract(folder: Path) -> Path:
    program = folder / "toxiproxy"
    if program.exists():
        return program
    try:
        if shutil.which("docker") is None:
            raise FileNotFoundError("there is no docker command")
        made = _docker("create", IMAGE)
        try:
            _docker("cp", f"{made}:/toxiproxy", str(program))
        finally:
            _docker("rm", made)
    except (OSError, subprocess.SubprocessError) as error:
        why = f"the real Toxiproxy is not to be had: {error} {getattr(error, 'stderr', '')}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must test against it; {why}")
        pytest.skip(why)
    return program


def _docker(*command: str) -> str:
    done = subprocess.run(["docker", *command], check=True, capture_output=True, text=True, timeout=120)
    return done.stdout.strip()
