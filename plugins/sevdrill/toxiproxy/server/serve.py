"""Run the built-in Toxiproxy in this process until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from sevdrill.errors import UsageError
from sevdrill.toxiproxy.server.addresses import bind, shown, split
from sevdrill.toxiproxy.server.api import Api
from sevdrill.toxiproxy.server.http import HttpFront
from sevdrill.toxiproxy.server.jsons import ApiError

__all__ = ["serve"]


def serve(listen: str, config: Path | None = None, parent: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT, or until the process ``parent`` ends; prints the address that it listens on.

    Raises:
        UsageError: the address cannot be had, or the proxies of the file cannot be made.
    """
    # Two descriptors a connection; the usual limit is for programs that use select().
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    proxies = b"[]" if config is None else _read(config)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(listen, proxies, config, parent))


def _read(config: Path) -> bytes:
    try:
        return config.read_bytes()
    except OSError as error:
        raise UsageError(f"{config}: cannot be read: {error.strerror}") from None


async def _serve(listen: str, proxies: bytes, config: Path | None, parent: int | None) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_report)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if parent is not None:
        _end_with(parent, loop, ended)
    api = Api()
    fronts: set[HttpFront] = set()
    try:
        host, _ = split(listen)
        sock = bind(listen if host != "localhost" else listen.replace("localhost", "127.0.0.1", 1))
    except (ValueError, ApiError) as error:
        raise UsageError(f"--listen {listen}: {getattr(error, 'message', error)}; expected HOST:PORT") from None
    server = await loop.create_server(lambda: HttpFront(api.handle, fronts), sock=sock)
    try:
        _, failed = await api.populate(proxies)
        if failed is not None:
            raise UsageError(f"{config}: {failed.message}; expected a JSON array of proxies")
        print(shown(sock.getsockname()), flush=True)  # noqa: T201 - how callers learn the port
        await ended.wait()
    finally:
        server.close()
        api.close()
        for front in list(fronts):
            front.close()
        # Sockets close a moment after they are told to.
        await asyncio.sleep(0)


def _end_with(parent: int, loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    """End when another process does, however that ends."""
    try:
        # Linux's parent-death signal would come with the end of the *thread* that started this process.
        handle = os.pidfd_open(parent)
    except ProcessLookupError:
        ended.set()
    except (AttributeError, OSError):
        _poll(parent, loop, ended)
    else:
        loop.add_reader(handle, ended.set)


def _poll(parent: int, loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    try:
        os.kill(parent, 0)
    except ProcessLookupError:
        ended.set()
    except PermissionError:
        pass
    loop.call_later(0.5, _poll, parent, loop, ended)


def _report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """One line for what went wrong in a callback; a peer that vanished is no news."""
    problem = context.get("exception")
    if not isinstance(problem, OSError):
        print(f"sevdrill toxiproxy: {context.get('message')}: {problem!r}", file=sys.stderr)  # noqa: T201
