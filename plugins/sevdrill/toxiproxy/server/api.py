"""The routes of the HTTP API, and what they do to the proxies."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sevdrill.toxiproxy.server.addresses import Resolver
from sevdrill.toxiproxy.server.jsons import ApiError, decode, encode, read_bool, read_string
from sevdrill.toxiproxy.server.proxies import Proxy
from sevdrill.toxiproxy.server.toxics import Toxic

__all__ = ["Api", "Response"]

VERSION = "2.12.0"
"""The version of Toxiproxy that it speaks."""
PLAIN = "text/plain; charset=utf-8"
JSON = "application/json"


@dataclass(frozen=True)
class Response:
    """An answer."""

    status: int
    body: bytes = b""
    kind: str = ""
    location: str = ""


class Api:
    """The proxies, as the API speaks of them."""

    def __init__(self) -> None:
        self._proxies: dict[str, Proxy] = {}
        self._resolver = Resolver()

    def close(self) -> None:
        """Close every listener and connection."""
        for proxy in self._proxies.values():
            proxy.stop()

    async def handle(self, method: str, target: str, agent: str, body: bytes) -> Response:
        """Answer one request."""
        path = unquote(target.partition("?")[0], errors="replace")
        clean = posixpath.normpath("/" + path.lstrip("/")) + ("/" if path.endswith("/") and path.strip("/") else "")
        if path != clean:
            return Response(301, location=clean)
        for pattern, handlers in ROUTES:
            found = pattern.fullmatch(path)
            if found is None:
                continue
            if method not in handlers:
                return Response(405)
            if agent.startswith("Mozilla/"):
                # A page in a browser must not reach it.
                return Response(403, b"User agent not allowed\n", PLAIN)
            try:
                return await handlers[method](self, body, *found.groups())
            except ApiError as error:
                said = encode({"error": error.message, "status": error.status})
                return Response(error.status, said + b"\n", PLAIN)
        return Response(404, b"404 page not found\n", PLAIN)

    async def populate(self, body: bytes) -> tuple[list[Proxy], ApiError | None]:
        """Create or replace proxies, as far as it goes; those that are there as wanted stay as they are."""
        done: list[Proxy] = []
        try:
            wanted = [_entry(entry, f" at proxy {i}") for i, entry in enumerate(decode(body, list), 1)]
            for name, listen, upstream, enabled in wanted:
                done.append(await self._put(name, listen, upstream, enabled=enabled))
        except ApiError as error:
            return done, error
        return done, None

    async def _put(self, name: str, listen: str, upstream: str, *, enabled: bool) -> Proxy:
        old = self._proxies.get(name)
        resolved = await self._resolver.listen(listen) if old or enabled else listen
        old = self._proxies.get(name)  # names may have taken a while to be looked up
        if old is not None:
            if not old.differs(resolved, upstream):
                return old
            old.stop()
        proxy = Proxy(name, listen, upstream, self._resolver)
        if enabled:
            proxy.start(resolved)
        self._proxies[name] = proxy
        return proxy

    def _proxy(self, name: str) -> Proxy:
        if name not in self._proxies:
            raise ApiError(404, "proxy not found")
        return self._proxies[name]

    async def _version(self, _body: bytes) -> Response:
        return Response(200, b'{"version": "%s"}\n' % VERSION.encode(), "application/json;charset=utf-8")

    async def _index(self, _body: bytes) -> Response:
        return _json({name: self._proxies[name].shown() for name in sorted(self._proxies)})

    async def _create(self, body: bytes) -> Response:
        name, listen, upstream, enabled = _entry(decode(body, dict))
        if name in self._proxies:
            raise ApiError(409, "proxy already exists")
        resolved = await self._resolver.listen(listen) if enabled else listen
        if name in self._proxies:
            raise ApiError(409, "proxy already exists")
        proxy = Proxy(name, listen, upstream, self._resolver)
        if enabled:
            proxy.start(resolved)
        self._proxies[name] = proxy
        return _json(proxy.shown(), 201)

    async def _populate(self, body: bytes) -> Response:
        proxies, error = await self.populate(body)
        answer: dict[str, Any] = {} if error is None else {"error": error.message, "status": error.status}
        answer["proxies"] = [proxy.shown() for proxy in proxies] or None
        return _json(answer, 201 if error is None else error.status)

    async def _reset(self, _body: bytes) -> Response:
        failed = None
        for proxy in list(self._proxies.values()):
            for toxic in proxy.toxics:
                proxy.remove(toxic)
            try:
                resolved = await self._resolver.listen(proxy.listen)
                # It may have been deleted while its name was looked up.
                if self._proxies.get(proxy.name) is proxy:
                    proxy.start(resolved)
            except ApiError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return Response(204)

    async def _show(self, _body: bytes, name: str) -> Response:
        return _json(self._proxy(name).shown())

    async def _update(self, body: bytes, name: str) -> Response:
        proxy = self._proxy(name)
        given = decode(body, dict)
        listen = read_string(given, "listen", proxy.listen)
        upstream = read_string(given, "upstream", proxy.upstream)
        enabled = read_bool(given, "enabled", proxy.enabled)
        resolved = await self._resolver.listen(listen)
        proxy = self._proxy(name)
        if proxy.differs(resolved, upstream):
            proxy.stop()
            proxy.listen, proxy.upstream = listen, upstream
        if enabled != proxy.enabled:
            proxy.start(resolved) if enabled else proxy.stop()
        return _json(proxy.shown())

    async def _delete(self, _body: bytes, name: str) -> Response:
        self._proxy(name).stop()
        del self._proxies[name]
        return Response(204)

    async def _toxics(self, _body: bytes, name: str) -> Response:
        return _json([toxic.shown() for toxic in self._proxy(name).toxics])

    async def _add(self, body: bytes, name: str) -> Response:
        proxy = self._proxy(name)
        toxic = Toxic.read(decode(body, dict))
        proxy.add(toxic)
        return _json(toxic.shown())

    async def _toxic(self, _body: bytes, name: str, toxic: str) -> Response:
        return _json(self._proxy(name).toxic(toxic).shown())

    async def _change(self, body: bytes, name: str, toxic: str) -> Response:
        proxy = self._proxy(name)
        found = proxy.toxic(toxic)
        found.change(decode(body, dict))
        proxy.change(found)
        return _json(found.shown())

    async def _remove(self, _body: bytes, name: str, toxic: str) -> Response:
        proxy = self._proxy(name)
        proxy.remove(proxy.toxic(toxic))
        return Response(204)


def _entry(body: Any, place: str = "") -> tuple[str, str, str, bool]:
    """Name, listen, upstream and enabled of a proxy in a request."""
    if not isinstance(body, dict):
        raise ApiError(400, f"bad request body: expected an object{place}")
    name, upstream = read_string(body, "name"), read_string(body, "upstream")
    for field, value in (("name", name), ("upstream", upstream)):
        if not value:
            raise ApiError(400, f"missing required field: {field}{place}")
    return name, read_string(body, "listen"), upstream, read_bool(body, "enabled", True)


def _json(value: object, status: int = 200) -> Response:
    return Response(status, encode(value), JSON)


Handler = Callable[..., Awaitable[Response]]
PATHS: dict[str, dict[str, Handler]] = {
    "/version": {"GET": Api._version},
    "/proxies": {"GET": Api._index, "POST": Api._create},
    "/populate": {"POST": Api._populate},
    "/reset": {"POST": Api._reset},
    "/proxies/([^/]+)": {"GET": Api._show, "PATCH": Api._update, "POST": Api._update, "DELETE": Api._delete},
    "/proxies/([^/]+)/toxics": {"GET": Api._toxics, "POST": Api._add},
    "/proxies/([^/]+)/toxics/([^/]+)": {
        "GET": Api._toxic,
        "PATCH": Api._change,
        "POST": Api._change,
        "DELETE": Api._remove,
    },
}
ROUTES = [(re.compile(path), handlers) for path, handlers in PATHS.items()]
