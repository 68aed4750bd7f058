"""The operators' API of a stack's services: asked and changed replica by replica, and every refusal is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sevdrill.errors import StackError, UsageError
from sevdrill.ports import Address
from sevdrill.stacks.admin import HttpAdmin
from sevdrill.stacks.settings import read_settings


class Replica(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.values = {"flag.x": "on"}
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Replica

    def do_GET(self) -> None:
        self._answer(200, self.server.values if self.path == "/admin" else ["no", "object"])

    def do_PUT(self) -> None:
        change = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if change["name"] not in self.server.values:
            return self._answer(422, {"error": "unknown setting"})
        self.server.values[change["name"]] = change["value"]
        return self._answer(200, self.server.values)

    def _answer(self, status: int, content: Any) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: Any) -> None:
        pass


class Where:
    def __init__(self, *replicas: Replica) -> None:
        self.at = {f"app-{n}": Address("127.0.0.1", r.server_address[1]) for n, r in enumerate(replicas, 1)}

    def url(self, url: str) -> str:
        raise AssertionError("an operator goes past the proxy")

    def direct(self, service: str, port: int) -> dict[str, Address]:
        assert (service, port) == ("app", 3000)
        return self.at


@pytest.fixture
def replicas() -> Iterator[list[Replica]]:
    found = [Replica(), Replica()]
    yield found
    for each in found:
        each.shutdown()
        each.server_close()


def test_every_replica_is_asked_and_changed(replicas: list[Replica]) -> None:
    admin = HttpAdmin({"app": "http://app:3000/admin"}, Where(*replicas))
    assert admin.settings("app") == {"app-1": {"flag.x": "on"}, "app-2": {"flag.x": "on"}}
    admin.change("app", "flag.x", "off")
    assert [each.values for each in replicas] == [{"flag.x": "off"}] * 2


def test_what_goes_wrong_names_the_replica(replicas: list[Replica]) -> None:
    admin = HttpAdmin({"app": "http://app:3000/admin"}, Where(*replicas))
    with pytest.raises(StackError, match=r"app-1 answered 422.*unknown setting"):
        admin.change("app", "flag.y", "off")
    with pytest.raises(StackError, match="app-1 answered 200"):
        HttpAdmin({"app": "http://app:3000/other"}, Where(*replicas)).settings("app")
    nowhere = Where()
    with pytest.raises(StackError, match="none of its replicas runs"):
        HttpAdmin({"app": "http://app:3000/admin"}, nowhere).change("app", "flag.x", "off")
    nowhere.at["app-9"] = Address("127.0.0.1", 1)
    with pytest.raises(StackError, match="app-9 does not answer"):
        HttpAdmin({"app": "http://app:3000/admin"}, nowhere).settings("app")
    with pytest.raises(StackError, match=r"x-sevdrill\.admin has: app"):
        admin.settings("db")


@pytest.mark.parametrize(
    ("admin", "told"),
    [({"ap": "http://ap:1/x"}, 'did you mean "app"'), ({"app": "app:3000"}, r"x-sevdrill\.admin\.app")],
)
def test_mistakes_in_the_stacks_files_are_told(admin: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_settings({"target": "staging", "admin": admin}, ["app"], "x.yml")
