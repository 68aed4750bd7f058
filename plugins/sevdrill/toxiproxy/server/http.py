"""The HTTP/1.1 front: one request after the other on a connection, with limits on size and time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from sevdrill.toxiproxy.server.api import PLAIN, Response

__all__ = ["HttpFront"]

HEAD = 64 * 1024
"""Bytes that a request line and its headers may have."""
BODY = 16 * 1024 * 1024
"""Bytes that a body may have."""
READ = 15.0
"""Seconds within which a request must have arrived."""
IDLE = 60.0
"""Seconds that a connection is kept without a request."""
TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

Handle = Callable[[str, str, str, bytes], Awaitable[Response]]


class Malformed(Exception):
    """What came is no request that can be answered; the connection ends with this status."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Request:
    """The head of a request."""

    def __init__(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        parts = first.split(" ")
        if len(parts) != 3 or not set(parts[0]) <= TOKEN or not parts[0] or not parts[1]:
            raise Malformed(400, "malformed request line")
        self.method, self.target, version = parts
        if version not in ("HTTP/1.1", "HTTP/1.0"):
            raise Malformed(505 if version.startswith("HTTP/") else 400, "unsupported protocol version")
        if self.target.startswith("http://"):
            self.target = "/" + self.target[7:].partition("/")[2]
        if not self.target.startswith("/"):
            raise Malformed(400, "malformed request target")
        self.headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or not set(name) <= TOKEN:
                raise Malformed(400, "malformed header")
            key, value = name.lower(), value.strip(" \t")
            if key in ("content-length", "host") and self.headers.get(key, value) != value:
                raise Malformed(400, f"two different headers {key}")
            if key == "transfer-encoding" and key in self.headers:
                raise Malformed(501, "unsupported transfer encoding")
            self.headers[key] = value
        if version == "HTTP/1.1" and "host" not in self.headers:
            raise Malformed(400, "missing required Host header")
        connection = self.headers.get("connection", "").lower()
        self.keep = connection != "close" if version == "HTTP/1.1" else connection == "keep-alive"

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        coding = self.headers.get("transfer-encoding")
        if coding is None:
            return False
        if coding.lower() != "chunked":
            raise Malformed(501, "unsupported transfer encoding")
        if "content-length" in self.headers:
            raise Malformed(400, "a length and a transfer encoding")
        return True

    @property
    def length(self) -> int:
        """Bytes of the body."""
        text = self.headers.get("content-length", "0")
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise Malformed(400, "bad Content-Length")
        if int(text) > BODY:
            raise Malformed(413)
        return int(text)


class HttpFront(asyncio.Protocol):
    """One connection of an HTTP client."""

    def __init__(self, handle: Handle, fronts: set[HttpFront]) -> None:
        self._handle, self._fronts = handle, fronts
        self._loop = asyncio.get_running_loop()
        self._data = bytearray()
        self._scanned = 0
        self._request: Request | None = None
        self._chunks: bytearray | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = self._closing = self._blocked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._fronts.add(self)
        self._limit(IDLE)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone; what it asked for is still done."""
        self._fronts.discard(self)
        self._closing = True
        self._data.clear()
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """More of a request, or of several."""
        if self._closing:
            return
        fresh = not self._data and self._request is None and self._task is None
        self._data += data
        if fresh:
            self._limit(READ)
        if self._task is None and not self._blocked:
            self._advance()
        elif len(self._data) > HEAD:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more; it may still read the answer."""
        self._ended = True
        self._advance()
        return True

    def pause_writing(self) -> None:
        """The client does not read its answers: it gets no more of them."""
        self._blocked = True

    def resume_writing(self) -> None:
        """The client has read its answers."""
        self._blocked = False
        if self._task is None and not self._closing:
            self._transport.resume_reading()
            self._advance()

    def close(self) -> None:
        """The server ends."""
        self._transport.abort()

    def _limit(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._transport.abort)

    def _advance(self) -> None:
        """Go on with what has arrived."""
        try:
            while self._task is None and not self._closing and not self._blocked and self._parse():
                pass
        except Malformed as error:
            self._refuse(error)
        if self._ended and self._task is None and not self._closing and not self._blocked:
            self._transport.close()  # what is left is no whole request

    def _parse(self) -> bool:
        """Read a head or a body; whether there was a whole one."""
        if self._request is None:
            while self._data[:2] == b"\r\n":
                del self._data[:2]
            end = self._find(b"\r\n\r\n", HEAD, 431)
            if end < 0:
                return False
            head = bytes(self._data[:end])
            del self._data[: end + 4]
            self._request = Request(head)
            self._chunks = bytearray() if self._request.chunked else None
            length = self._request.length
            if self._request.headers.get("expect", "").lower() == "100-continue" and (
                length or self._chunks is not None
            ):
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self._body(self._request)
        if body is None:
            return False
        request, self._request = self._request, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._task = self._loop.create_task(self._answer(request, body))
        return True

    def _find(self, mark: bytes, most: int, status: int) -> int:
        """Where a mark is in what has arrived, -1 if not yet; nothing is looked at twice."""
        end = self._data.find(mark, max(0, self._scanned - len(mark) + 1))
        if end > most or (end < 0 and len(self._data) > most):
            raise Malformed(status)
        self._scanned = 0 if end >= 0 else len(self._data)
        return end

    def _body(self, request: Request) -> bytes | None:
        if self._chunks is None:
            length = request.length
            if len(self._data) < length:
                return None
            body = bytes(self._data[:length])
            del self._data[:length]
            return body
        while True:
            end = self._find(b"\r\n", 256, 400)
            if end < 0:
                return None
            text = bytes(self._data[:end]).partition(b";")[0].strip().decode("latin-1")
            if not text or len(text) > 15 or not set(text) <= set("0123456789abcdefABCDEF"):
                raise Malformed(400, "malformed chunk")
            size = int(text, 16)
            if len(self._chunks) + size > BODY:
                raise Malformed(413)
            if size == 0:
                # Trailers are read and forgotten.
                last = self._data.find(b"\r\n\r\n", end)
                if last < 0:
                    if len(self._data) > HEAD:
                        raise Malformed(431)
                    return None
                del self._data[: last + 4]
                body, self._chunks = bytes(self._chunks), None
                return body
            if len(self._data) < end + 2 + size + 2:
                return None
            chunk = end + 2
            if self._data[chunk + size : chunk + size + 2] != b"\r\n":
                raise Malformed(400, "malformed chunk")
            self._chunks += self._data[chunk : chunk + size]
            del self._data[: chunk + size + 2]

    async def _answer(self, request: Request, body: bytes) -> None:
        try:
            response = await self._handle(request.method, request.target, request.headers.get("user-agent", ""), body)
        except Exception as error:
            print(f"sevdrill toxiproxy: {request.method} {request.target[:200]}: {error!r}", file=sys.stderr)  # noqa: T201
            response = Response(500, b"internal error\n", PLAIN)
        self._task = None
        self._send(response, keep=request.keep)
        if request.keep and not self._transport.is_closing():
            self._limit(READ if self._data else IDLE)
            if not self._blocked:
                self._transport.resume_reading()
            self._advance()

    def _refuse(self, error: Malformed) -> None:
        status = HTTPStatus(error.status)
        text = f"{status.value} {status.phrase}" + (f": {error}" if error.text else "")
        self._send(Response(error.status, text.encode(), PLAIN), keep=False)

    def _send(self, response: Response, *, keep: bool) -> None:
        if self._transport.is_closing():
            return
        status = HTTPStatus(response.status)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
        if response.kind:
            lines.append(f"Content-Type: {response.kind}")
        if response.location:
            lines.append(f"Location: {response.location}")
        if status != HTTPStatus.NO_CONTENT:
            lines.append(f"Content-Length: {len(response.body)}")
        if not keep:
            lines.append("Connection: close")
        self._transport.write("\r\n".join((*lines, "", "")).encode("latin-1", "replace") + response.body)
        if not keep:
            self._finish()

    def _finish(self) -> None:
        """Close, so that the client sees the answer even where it still sends."""
        self._closing = True
        self._data.clear()
        self._transport.write_eof()
        self._limit(0.5)
