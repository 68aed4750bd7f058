"""``sevdrill console --web``: the console as a page on loopback, live over server-sent events.

Whoever has the link may take part: the token in it is made anew for every start. The page asks for nothing from
elsewhere, and answers only to this machine's own names.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from importlib.resources import files

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sevdrill.errors import SevdrillError, UsageError
from sevdrill.following import STATUSES, Following

__all__ = ["serve"]

LOOK_EVERY = 0.5
"""Seconds between two looks, of every page."""
MOST = 20_000
"""The longest request body, in bytes."""


CLOSED = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Page:
    """The routes of the page."""

    def __init__(self, following: Following, token: str, port: int) -> None:
        self._following, self._token = following, token
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    def app(self) -> Starlette:
        """The application."""
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/events", self._events),
                Route("/say", self._say, methods=["POST"]),
                Route("/stop", self._stop, methods=["POST"]),
            ]
        )

    def _admit(self, request: Request) -> None:
        # A page of another site may make a browser ask us by a name of its own; it does not know the token either.
        if request.headers.get("host") not in self._hosts:
            raise HTTPException(403, "this page answers to this machine only")
        if not secrets.compare_digest(request.query_params.get("token", "").encode(), self._token.encode()):
            raise HTTPException(403, "the link is not complete: open it as `sevdrill console --web` printed it")

    async def _page(self, request: Request) -> Response:
        self._admit(request)
        nonce = secrets.token_urlsafe(12)
        text = files("sevdrill").joinpath("console.html").read_text(encoding="utf-8")
        text = text.replace("NONCE", nonce).replace("STATUSES", json.dumps(STATUSES))
        policy = f"default-src 'none'; img-src data:; connect-src 'self'; style-src 'nonce-{nonce}'"
        headers = {
            "Content-Security-Policy": f"{policy}; script-src 'nonce-{nonce}'; {CLOSED}",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(text, headers=headers)

    async def _events(self, request: Request) -> Response:
        self._admit(request)
        following = self._following.again()

        async def stream() -> AsyncIterator[bytes]:
            last = ""
            while not await request.is_disconnected():
                try:
                    shown = await asyncio.to_thread(following.look)
                except SevdrillError as error:
                    shown = {"error": str(error)}
                text = json.dumps(shown)
                yield f"data: {text}\n\n".encode() if text != last else b": still here\n\n"
                last = text
                await asyncio.sleep(LOOK_EVERY)

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def _body(self, request: Request) -> dict[str, str]:
        self._admit(request)
        body = await request.body()
        try:
            found = json.loads(body) if len(body) <= MOST else None
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise HTTPException(422, "expected a JSON object of texts")
        return found

    async def _say(self, request: Request) -> Response:
        given = await self._body(request)
        known = {key: given[key] for key in ("by", "does", "what", "text", "to") if key in given}
        try:
            said = await asyncio.to_thread(lambda: self._following.say(**{"by": "", "does": "", **known}))
        except SevdrillError as error:
            return JSONResponse({"error": str(error)}, 422 if isinstance(error, UsageError) else 409)
        return JSONResponse({"said": said})

    async def _stop(self, request: Request) -> Response:
        given = await self._body(request)
        try:
            told = await asyncio.to_thread(lambda: list(self._following.stop(given.get("by", "") or "somebody")))
        except SevdrillError as error:
            return JSONResponse({"error": str(error)}, 409)
        return JSONResponse({"said": told[-1]})


def serve(following: Following, port: int, told: Callable[[str], object] = print) -> None:
    """Serve the page until Ctrl-C or SIGTERM; ``told`` is called with its link.

    Raises:
        UsageError: the port is taken.
    """
    listening = socket.socket()
    try:
        listening.bind(("127.0.0.1", port))
    except OSError as error:
        listening.close()
        raise UsageError(
            f"port {port} of 127.0.0.1 cannot be used: {error.strerror}; choose another with --port"
        ) from None
    with listening:
        port, token = listening.getsockname()[1], secrets.token_urlsafe(24)
        app = Page(following, token, port).app()
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, lifespan="off", ws="none")
        told(f"http://127.0.0.1:{port}/?token={token}")
        uvicorn.Server(config).run(sockets=[listening])
