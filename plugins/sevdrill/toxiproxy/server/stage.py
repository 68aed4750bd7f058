"""Stages: one toxic at work on one direction of one connection.

A stage is fed what comes from the stage before it (or from the source), and feeds the next (or the sink). What it holds
back is counted, so that the link can stop reading; what it holds when its toxic goes is passed on at once.
"""

from __future__ import annotations

import random
from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from typing import Protocol

from sevdrill.toxiproxy.server.toxics import Toxic

__all__ = ["FOREVER", "Chain", "Receiver", "Stage"]

OVERHEAD = 256
"""Bytes that a held chunk costs beside its data."""
FOREVER = 10**12
"""Milliseconds, 31 years: beyond it the loop's clock has no milliseconds any more."""


class Receiver(Protocol):
    """What a stage feeds: the next one, or the sink."""

    def feed(self, data: bytes) -> None:
        """Take data."""

    def end(self) -> None:
        """There will be no more data: the other side has shut down its writing."""


class Chain(Protocol):
    """What a stage asks of its link."""

    loop: AbstractEventLoop

    def cut(self) -> None:
        """End the connection now, with a FIN."""

    def reset(self) -> None:
        """End the connection now, with a RST."""

    def press(self) -> None:
        """A stage holds more or less than before: read from the source, or stop it."""


class Stage:
    """Passes everything on; what a kind of toxic does otherwise is in its class."""

    limit = 64 * 1024
    """Bytes held at which the source is to be stopped."""

    def __init__(self, chain: Chain, toxic: Toxic) -> None:
        self.chain, self.toxic, self.loop = chain, toxic, chain.loop
        self.next: Receiver
        self.active = self.roll()
        self.held = 0
        self.ended = False
        """The source has ended; whoever holds data passes it on first."""
        self._queue: deque[tuple[float, bytes]] = deque()
        self._timer: TimerHandle | None = None

    def roll(self) -> bool:
        """Whether the toxic acts on this connection."""
        return random.random() < self.toxic.toxicity

    def start(self) -> None:
        """The connection is there; called once, when ``next`` is known and the toxic acts on it."""

    def feed(self, data: bytes) -> None:
        """Take data."""
        self.next.feed(data)

    def end(self) -> None:
        """Take note that the source has ended."""
        self.ended = True
        if not self._queue:
            self.next.end()

    def changed(self) -> None:
        """Act by the toxic's new settings."""
        self.disarm()
        self.work()

    def work(self) -> None:
        """Pass on what is due, and come back when more is."""

    def release(self) -> None:
        """Pass on everything that is held, at once."""
        self.disarm()
        waiting = self.ended and self.waiting()
        while self._queue:
            self.next.feed(self.take())
        if waiting:
            self.next.end()

    def waiting(self) -> bool:
        """Whether the source's end was taken note of, but not passed on."""
        return bool(self._queue)

    def drop(self) -> None:
        """The connection is gone: forget what is held."""
        self.disarm()
        self._queue.clear()
        self.held = 0
        self.ended = False

    def hold(self, data: bytes) -> None:
        """Keep data for later."""
        self._queue.append((self.loop.time(), data))
        self.held += len(data) + OVERHEAD

    def take(self) -> bytes:
        """The oldest data that is held."""
        _, data = self._queue.popleft()
        self.held -= len(data) + OVERHEAD
        return data

    def arm(self, when: float) -> None:
        """Work again at a moment of the loop's clock."""
        if self._timer is None:
            self._timer = self.loop.call_at(when, self._fire)

    def disarm(self) -> None:
        """Do not work again by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self.work()
        self.chain.press()
