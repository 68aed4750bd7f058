"""A guarded client of Toxiproxy's HTTP API: the only place that touches toxiproxy-python.

That library keeps the server's address in class attributes, has no time limits, never raises on 5xx and cannot change a
toxic; the real server wedges and crashes on requests that it accepts. So each client here has its own connection, every
call has a time limit, every answer that is no success is an exception, what would crash the server is never sent, and
every change is read back.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sevdrill.errors import StackError

if TYPE_CHECKING:
    import requests

__all__ = ["Proxy", "Toxic", "ToxiproxyClient", "ToxiproxyError", "ToxiproxyWedged"]

NAME = re.compile(r"[A-Za-z0-9_.-]+")
RANGES: Mapping[str, Mapping[str, int]] = {
    "latency": {"latency": 0, "jitter": 0},
    "bandwidth": {"rate": 0},
    "slow_close": {"delay": 0},
    "timeout": {"timeout": 0},
    "reset_peer": {"timeout": 0},
    "slicer": {"average_size": 1, "size_variation": 0, "delay": 0},
    "limit_data": {"bytes": 0},
}
"""The kinds of toxic, their attributes, and the least value of each."""
WEDGING = ("latency", "bandwidth")
"""Kinds whose removal or change can wedge the server while clients abort; they are taken away with their proxy."""


class ToxiproxyError(StackError):
    """Toxiproxy refused, failed, or did not do what it said; ``status`` is its HTTP status, None without an answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ToxiproxyWedged(ToxiproxyError):
    """The server runs but its control API does not answer any more; only a restart of the server helps."""


@dataclass(frozen=True)
class Toxic:
    """One toxic on a proxy; attributes have the units of Toxiproxy (ms; slicer delay in µs; rate in KB/s)."""

    name: str
    kind: str
    stream: str = "downstream"
    toxicity: float = 1.0
    attributes: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        """Make sure that the server can bear it.

        Raises:
            ValueError: it would be refused, or crash the server; the text says which value is wrong.
        """
        _check_name(self.name)
        if self.kind not in RANGES:
            raise ValueError(f"toxic {self.name}: there is no kind {self.kind!r} (kinds: {', '.join(RANGES)})")
        if self.stream not in ("upstream", "downstream"):
            raise ValueError(f"toxic {self.name}: stream is {self.stream!r}; expected upstream or downstream")
        if isinstance(self.toxicity, bool) or not 0 <= self.toxicity <= 1:
            raise ValueError(f"toxic {self.name}: toxicity is {self.toxicity!r}; expected a number from 0 to 1")
        least = RANGES[self.kind]
        for key, value in self.attributes.items():
            if key not in least:
                raise ValueError(
                    f"toxic {self.name}: {self.kind} has no attribute {key!r} (it has: {', '.join(least)})"
                )
            if not isinstance(value, int) or isinstance(value, bool) or not least[key] <= value < 2**63:
                raise ValueError(
                    f"toxic {self.name}: {key} is {value!r}; expected a whole number of at least {least[key]}"
                )
        if self.kind == "slicer":
            size = self.attributes.get("average_size", 0)
            if size < 1 or self.attributes.get("size_variation", 0) >= size:
                raise ValueError(
                    f"toxic {self.name}: a slicer needs average_size of at least 1 and size_variation below it; "
                    "anything else crashes the server"
                )

    def same(self, other: Toxic) -> bool:
        """Whether the other one does the same; attributes that are left out are 0."""
        keys = {*self.attributes, *other.attributes}
        return (
            (self.name, self.kind, self.stream) == (other.name, other.kind, other.stream)
            and abs(self.toxicity - other.toxicity) < 1e-6  # the server keeps 32 bits
            and all(self.attributes.get(key, 0) == other.attributes.get(key, 0) for key in keys)
        )


@dataclass(frozen=True)
class Proxy:
    """One proxy as the server has it."""

    name: str
    listen: str
    upstream: str
    enabled: bool = True
    toxics: tuple[Toxic, ...] = ()


class ToxiproxyClient:
    """Talks to one Toxiproxy server; usable from several threads.

    Every method raises `ToxiproxyError` when the server refuses or cannot be reached, and `ToxiproxyWedged` when it
    does not answer in time (``timeout``, in seconds).
    """

    def __init__(self, host: str, port: int, *, timeout: float = 3.0) -> None:
        self._consumer = _Consumer(host, port, timeout)

    def close(self) -> None:
        """Give back the connections."""
        self._consumer.session.close()

    def proxies(self) -> dict[str, Proxy]:
        """Every proxy with its toxics, by name; also the health check: a wedged server does not answer it."""
        listed = self._consumer.call("GET", "/proxies")
        return {name: _proxy(entry) for name, entry in listed.items()}

    def proxy(self, name: str) -> Proxy:
        """One proxy."""
        return _proxy(self._consumer.call("GET", f"/proxies/{_quoted(name)}"))

    def populate(self, proxies: Sequence[Proxy]) -> None:
        """Create what is missing, enabled; what is there as wanted keeps its toxics and its switch."""
        for proxy in proxies:
            _check_name(proxy.name)
        present = self.proxies()
        # A wildcard listener counts as changed in the server's own comparison and would lose its toxics: leave it out.
        missing = [proxy for proxy in proxies if not _as_wanted(present.get(proxy.name), proxy)]
        if missing:
            body = [{"name": p.name, "listen": p.listen, "upstream": p.upstream, "enabled": p.enabled} for p in missing]
            self._consumer.call("POST", "/populate", body)
        present = self.proxies()
        wrong = [proxy.name for proxy in proxies if not _as_wanted(present.get(proxy.name), proxy)]
        if wrong:
            raise ToxiproxyError(f"{self._consumer}: populate did not make {', '.join(wrong)} as wanted")

    def add_toxic(self, proxy: str, toxic: Toxic) -> None:
        """Add a toxic, or leave the one alone that is the same; one of that name that differs is replaced.

        Raises:
            ValueError: the server could not bear it; nothing was sent.
            ToxiproxyError: also when the proxy is down, where a toxic has no effect.
        """
        toxic.check()
        present = self.proxy(proxy)
        if not present.enabled:
            raise ToxiproxyError(
                f"{self._consumer}: proxy {proxy} is down; toxic {toxic.name} would have no effect on it"
            )
        for old in present.toxics:
            if old.name == toxic.name:
                if old.same(toxic):
                    return
                self.remove_toxic(proxy, toxic.name)
        self._add(proxy, toxic)
        if toxic.kind == "reset_peer":
            # It acts only on connections that are opened after it was added.
            self.set_enabled(proxy, enabled=False)
            self.set_enabled(proxy, enabled=True)
        if not any(toxic.same(there) for there in self.proxy(proxy).toxics):
            raise ToxiproxyError(
                f"{self._consumer}: proxy {proxy} accepted toxic {toxic.name}, but does not have it as sent"
            )

    def update_toxic(self, proxy: str, name: str, *, attributes: Mapping[str, int], toxicity: float = 1.0) -> None:
        """Change a toxic in place.

        Raises:
            ValueError: the server could not bear it, or changing this kind in place can wedge it; nothing was sent.
        """
        old = next((toxic for toxic in self.proxy(proxy).toxics if toxic.name == name), None)
        if old is None:
            raise ToxiproxyError(f"{self._consumer}: proxy {proxy} has no toxic {name} to change", 404)
        new = Toxic(name, old.kind, old.stream, toxicity, {**old.attributes, **attributes})
        new.check()
        if old.kind in WEDGING:
            raise ValueError(f"toxic {name}: changing {old.kind} in place can wedge the server; add it again instead")
        path = f"/proxies/{_quoted(proxy)}/toxics/{_quoted(name)}"
        self._consumer.call("PATCH", path, {"attributes": dict(new.attributes), "toxicity": toxicity})
        if not any(new.same(there) for there in self.proxy(proxy).toxics):
            raise ToxiproxyError(f"{self._consumer}: proxy {proxy} did not change toxic {name} as sent")

    def remove_toxic(self, proxy: str, name: str) -> None:
        """Take a toxic away; one that is not there is no error."""
        present = self.proxy(proxy)
        old = next((toxic for toxic in present.toxics if toxic.name == name), None)
        if old is None:
            return
        if old.kind in WEDGING:
            self._recreate(present, [toxic for toxic in present.toxics if toxic.name != name])
        else:
            with self._consumer.library(), self._missing_is_fine():
                _library_proxy(present).destroy_toxic(_quoted(name))
        if any(toxic.name == name for toxic in self.proxy(proxy).toxics):
            raise ToxiproxyError(f"{self._consumer}: proxy {proxy} says that toxic {name} is gone, but still has it")

    def set_enabled(self, proxy: str, *, enabled: bool) -> None:
        """Let a proxy accept connections, or refuse them and close the open ones; its toxics stay."""
        present = self.proxy(proxy)
        if present.enabled == enabled:
            return
        with self._consumer.library():
            library = _library_proxy(present)
            library.enable() if enabled else library.disable()
        if self.proxy(proxy).enabled != enabled:
            raise ToxiproxyError(
                f"{self._consumer}: proxy {proxy} did not become {'enabled' if enabled else 'disabled'}"
            )

    def _add(self, proxy: str, toxic: Toxic) -> None:
        with self._consumer.library():
            _library_proxy(self.proxy(proxy)).add_toxic(
                name=toxic.name,
                type=toxic.kind,
                stream=toxic.stream,
                toxicity=toxic.toxicity,
                attributes=dict(toxic.attributes),
            )

    def _recreate(self, proxy: Proxy, toxics: Sequence[Toxic]) -> None:
        """The same proxy on the same port, with these toxics only: it closes its connections and cannot wedge."""
        with self._missing_is_fine():
            self._consumer.call("DELETE", f"/proxies/{_quoted(proxy.name)}")
        body = {"name": proxy.name, "listen": proxy.listen, "upstream": proxy.upstream, "enabled": proxy.enabled}
        self._consumer.call("POST", "/proxies", body)
        for toxic in toxics:
            self._add(proxy.name, toxic)
        if not _as_wanted(self.proxy(proxy.name), proxy):
            raise ToxiproxyError(f"{self._consumer}: proxy {proxy.name} did not come back as it was")

    @contextlib.contextmanager
    def _missing_is_fine(self) -> Iterator[None]:
        try:
            yield
        except ToxiproxyError as error:
            if error.status != 404:
                raise


class _Consumer:
    """One client's own connection to its server; also what toxiproxy-python calls while that client is at work."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._base, self._timeout = f"http://{host}:{port}", timeout
        self._session: requests.Session | None = None

    def __str__(self) -> str:
        return f"Toxiproxy at {self._base}"

    @property
    def session(self) -> requests.Session:
        if self._session is None:
            import requests

            self._session = requests.Session()
            self._session.trust_env = False  # the environment's HTTP proxy is not meant for this
            # A connection kept open would fail once after the server was restarted.
            self._session.headers.update({"User-Agent": "sevdrill", "Connection": "close"})
        return self._session

    def send(self, method: str, path: str, body: object = None) -> requests.Response:
        """One call; every answer that is no success is an exception."""
        import requests

        what = f"{self}: {method} {path}"
        try:
            response = self.session.request(
                method, self._base + path, json=body, timeout=self._timeout, allow_redirects=False
            )
        except requests.Timeout as error:
            # Nothing listening at all times out only behind a packet filter; a wedged server is what does.
            raise ToxiproxyWedged(f"{what}: no answer within {self._timeout:g} s; restart that server") from error
        except requests.RequestException as error:
            raise ToxiproxyError(f"{what}: cannot be reached ({error}); does its container run?") from error
        if response.status_code == 503:
            raise ToxiproxyWedged(f"{what}: it gave up (503); restart that server", 503)
        if not 200 <= response.status_code < 300:
            said = _said(response.text)
            raise ToxiproxyError(f"{what}: {response.status_code} {said}", response.status_code)
        return response

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One call; the answer's JSON, None where it has no content."""
        response = self.send(method, path, body)
        if response.status_code == 204:
            return None
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ToxiproxyError(f"{self}: {method} {path}: it answered no JSON object: {response.text[:80]!r}")
        return answer

    @contextlib.contextmanager
    def library(self) -> Iterator[None]:
        """Let the library's calls from this thread go through this consumer."""
        _install()
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)


_active: ContextVar[_Consumer | None] = ContextVar("_active", default=None)
_installing = threading.Lock()


def _install() -> None:
    """Put a switch before the library's three calls: to the active client of this thread, else as they were.

    The library has no other seam (its classes call class methods of one global class), and its other users in this
    process, such as the tests of a team that has it too, must not notice.
    """
    from toxiproxy.api import APIConsumer

    with _installing:
        if getattr(APIConsumer, "_sevdrill", False):
            return
        for method in ("get", "post", "delete"):
            setattr(APIConsumer, method, classmethod(_switch(method, getattr(APIConsumer, method).__func__)))
        APIConsumer._sevdrill = True


def _switch(method: str, original: Any) -> Any:
    def call(cls: type, url: str, *args: Any, **kwargs: Any) -> Any:
        consumer = _active.get()
        if consumer is None:
            return original(cls, url, *args, **kwargs)
        return consumer.send(method.upper(), url, kwargs.get("json"))

    return call


def _library_proxy(proxy: Proxy) -> Any:
    from toxiproxy import Proxy as LibraryProxy

    # The library puts the name into its URLs as it is.
    return LibraryProxy(name=_quoted(proxy.name), upstream=proxy.upstream, enabled=proxy.enabled, listen=proxy.listen)


def _proxy(entry: Any) -> Proxy:
    try:
        toxics = tuple(
            Toxic(t["name"], t["type"], t["stream"], float(t["toxicity"]), dict(t["attributes"] or {}))
            for t in entry["toxics"] or ()
        )
        return Proxy(entry["name"], entry["listen"], entry["upstream"], bool(entry["enabled"]), toxics)
    except (KeyError, TypeError, ValueError) as error:
        raise ToxiproxyError(f"Toxiproxy described a proxy in an unknown way ({error!r}): {str(entry)[:200]}") from None


def _as_wanted(present: Proxy | None, wanted: Proxy) -> bool:
    if present is None:
        return False
    return present.upstream == wanted.upstream and _listen(present.listen) == _listen(wanted.listen)


def _listen(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"{'*' if host in ('0.0.0.0', '[::]', '') else host}:{port}"  # noqa: S104 - the server shows them alike


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a proxy or toxic; expected letters, digits and _ . -")


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _said(text: str) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:200]
