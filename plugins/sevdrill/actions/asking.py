"""Steps that ask: a request, a command, or a wait for an answer. What they find is their proof."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field

from sevdrill.actions.base import Action
from sevdrill.errors import ActionError, NotRunning
from sevdrill.model import Record
from sevdrill.ports import Endpoints, Exec, Ports, Reading
from sevdrill.probes.web import fetch, request
from sevdrill.units import Duration

__all__ = ["Http", "RetryStuck", "Run", "WaitFor"]

_STATUS = r"^[1-5](\d\d|xx)$"


def _fits(status: int, wanted: str) -> bool:
    return str(status) == wanted or (wanted.endswith("xx") and str(status)[0] == wanted[0])


class Http(Action):
    """Send one request; done when it is answered as expected."""

    needs: ClassVar[tuple[type, ...]] = (Endpoints,)

    action: Literal["http"]
    url: str = Field(pattern=r"^https?://")
    """The URL as the stack's services see it."""
    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    """How it is asked."""
    headers: dict[str, str] = Field(default={})
    """Headers of the request."""
    send: dict[str, Any] | None = None
    """What is sent, as JSON."""
    status: str = Field(default="2xx", pattern=_STATUS)
    """The status that is expected: one code, or a class such as `2xx`."""
    body: str = ""
    """Text that the answer must contain."""
    why: str = ""
    """What the request is for, in a few words."""

    @property
    def title(self) -> str:
        return self.why or f"{self.method} {self.url}"

    def run(self, ports: Ports, record: Record) -> None:
        url = ports[Endpoints].url(self.url)
        try:
            status, body = request(self.method, url, 10.0, self.headers, self.send)
        except OSError as error:
            raise ActionError(f"{self.title}: {self.url}: {error}") from None
        record["status"], record["body"] = status, body

    def proof(self, ports: Ports, record: Record) -> Reading:
        status, body = record["status"], record["body"]
        seen = f"answered {status}: {body[:120].strip()}"
        if not _fits(status, self.status):
            raise ActionError(f"{self.title}: {self.url} {seen}, expected {self.status}")
        if self.body not in body:
            raise ActionError(f"{self.title}: {self.url} {seen}, expected {self.body!r} in it")
        return Reading(ok=True, why=seen)


class Run(Action):
    """Run one command in a service; done when it ends with 0 and prints what is expected."""

    needs: ClassVar[tuple[type, ...]] = (Exec,)

    action: Literal["run"]
    service: str
    """The service in which it is run, on one replica."""
    command: tuple[str, ...] = Field(min_length=1)
    """The command, as a list of arguments."""
    prints: str = ""
    """A regular expression that must be found in what it prints."""
    why: str = ""
    """What the command is for, in a few words."""

    @property
    def title(self) -> str:
        return self.why or f"run {self.command[0]} in {self.service}"

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def prepare(self, ports: Ports) -> Record:
        try:
            re.compile(self.prints)
        except re.error as error:
            raise ActionError(f"{self.title}: prints is no regular expression: {error}") from None
        return {}

    def run(self, ports: Ports, record: Record) -> None:
        done = ports[Exec].run(self.service, self.command, timeout=self.timeout)
        record["code"], record["out"], record["err"] = done.code, done.out, done.err

    def proof(self, ports: Ports, record: Record) -> Reading:
        out = record["out"].strip()
        if record["code"] != 0:
            raise ActionError(f"{self.title}: it ended with {record['code']}: {(record['err'] or out)[:200].strip()}")
        if not re.search(self.prints, out, re.MULTILINE):
            raise ActionError(f"{self.title}: it printed {out[:200] or 'nothing'!r}, expected {self.prints!r}")
        return Reading(ok=True, why=f"it printed {len(out.splitlines())} lines: {out[:160]}")


class WaitFor(Action):
    """Wait until every replica of a service answers as expected: what gets well by itself is not pushed."""

    needs: ClassVar[tuple[type, ...]] = (Endpoints,)

    action: Literal["wait-for"]
    url: str = Field(pattern=r"^http://[^/:]+:\d+/")
    """What is asked, as the stack's services see it; each replica is asked, past any proxy."""
    status: str = Field(default="200", pattern=_STATUS)
    """The status that is waited for."""
    body: str = ""
    """Text that the answer must contain."""
    why: str = ""
    """What is waited for, in a few words."""
    timeout: Duration = Duration(60)
    """How long to wait at the most."""

    @property
    def title(self) -> str:
        return self.why or f"wait for {self.url}"

    def run(self, ports: Ports, record: Record) -> None:
        """Nothing is done: time passes."""

    def proof(self, ports: Ports, record: Record) -> Reading:
        asked = urlsplit(self.url)
        try:
            addresses = ports[Endpoints].direct(str(asked.hostname), asked.port or 80)
        except NotRunning as error:
            return Reading(ok=False, why=str(error))
        if not addresses:
            return Reading(ok=False, why=f"no replica of {asked.hostname} runs")
        for replica, address in addresses.items():
            try:
                status, body = fetch(asked._replace(netloc=f"{address.host}:{address.port}").geturl(), 2.0)
            except OSError as error:
                return Reading(ok=False, why=f"{replica}: {error}")
            if not _fits(status, self.status) or self.body not in body:
                return Reading(ok=False, why=f"{replica} answered {status}: {body[:120].strip()}")
        return Reading(ok=True, why=f"{len(addresses)} of {len(addresses)} replicas answer so")


class RetryStuck(Action):
    """Let a service try again what got stuck, until nothing is; safe only where a second try does nothing twice."""

    needs: ClassVar[tuple[type, ...]] = (Endpoints,)
    in_flight: ClassVar[float] = 30.0

    action: Literal["retry-stuck"]
    url: str = Field(pattern=r"^https?://")
    """Where the service's operators ask for it: POST tries once, GET counts; both answer such as `{"stuck": 3}`."""
    what: str = Field(min_length=1)
    """What got stuck, such as `payments`."""
    tries: int = Field(default=10, ge=1)
    """How often to try."""

    @property
    def title(self) -> str:
        return f"retry stuck {self.what}"

    def run(self, ports: Ports, record: Record) -> None:
        found = record["found"] = self._ask(ports, "GET")
        if not found:
            raise ActionError(f"{self.title}: nothing is stuck, so there is nothing to retry")
        for _ in range(self.tries):
            if not self._ask(ports, "POST"):
                return

    def proof(self, ports: Ports, record: Record) -> Reading:
        left = self._ask(ports, "GET")
        return Reading(ok=left == 0, why=f"{record['found']} were stuck, {left} are")

    def _ask(self, ports: Ports, method: str) -> int:
        url = ports[Endpoints].url(self.url)
        try:
            status, body = request(method, url, 20.0)
            return int(json.loads(body)["stuck"])
        except OSError as error:
            raise ActionError(f"{self.title}: {self.url}: {error}") from None
        except (ValueError, KeyError, TypeError):
            said = f"{self.url} answered {status}: {body[:120].strip()}"
            raise ActionError(f'{self.title}: {said}, expected such as {{"stuck": 3}}') from None
