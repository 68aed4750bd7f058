"""What each kind of toxic does to one direction of one connection."""

from __future__ import annotations

import random

from sevdrill.toxiproxy.server.stage import FOREVER, OVERHEAD, Chain, Stage
from sevdrill.toxiproxy.server.toxics import Toxic

__all__ = ["STAGES"]


class Latency(Stage):
    """Delays each chunk; chunks stay in order."""

    limit = 16 * 1024 * 1024

    def feed(self, data: bytes) -> None:
        """Hold data for latency ± jitter milliseconds."""
        self.hold(data)
        if len(self._queue) == 1:
            self._delay = self._draw()
            self.work()
        self.chain.press()

    def changed(self) -> None:
        """What is held counts from when it came."""
        self._delay = self._draw()
        super().changed()

    def work(self) -> None:
        """Pass on what is due."""
        while self._queue:
            due = self._queue[0][0] + self._delay
            # A timer can fire a little early.
            if due > self.loop.time():
                self.arm(due)
                return
            self.next.feed(self.take())
            self._delay = self._draw()
        if self.ended:
            self.next.end()

    def _draw(self) -> float:
        attributes = self.toxic.attributes
        delay, jitter = attributes["latency"], attributes["jitter"]
        if jitter > 0:
            delay += random.randrange(-jitter, jitter)
        return max(0, min(delay, FOREVER)) / 1000


class Bandwidth(Stage):
    """Lets data through at a rate, in slices of at most 100 ms."""

    def __init__(self, chain: Chain, toxic: Toxic) -> None:
        super().__init__(chain, toxic)
        self._free = 0.0
        """When the line is done with the slice before."""
        self._fit()

    def _fit(self) -> None:
        self._rate = max(0, self.toxic.attributes["rate"]) * 1000
        self._slice = max(1, self._rate // 10)
        # Enough that a timer which fires late finds work, and no more.
        self.limit = min(max(Stage.limit, self._slice), 4 * 1024 * 1024)

    def changed(self) -> None:
        """The next slice goes at the new rate."""
        self._fit()
        self._free = min(self._free, self.loop.time())
        super().changed()

    def feed(self, data: bytes) -> None:
        """Hold data until the line had time for it."""
        if not self._queue:
            self._free = max(self._free, self.loop.time())
        self.hold(data)
        self.work()
        self.chain.press()

    def work(self) -> None:
        """Pass on the slices that the line had time for."""
        while self._queue:
            if not self._rate:
                return
            due = self._free + min(self._slice, len(self._queue[0][1])) / self._rate
            if due > self.loop.time():
                self.arm(due)
                return
            self._free = due
            data = self.take()
            if len(data) > self._slice:
                self._queue.appendleft((due, data[self._slice :]))
                self.held += len(data) - self._slice + OVERHEAD
            self.next.feed(data[: self._slice])
        if self.ended:
            self.next.end()


class SlowClose(Stage):
    """Delays the end of its own direction."""

    _passed = False

    def end(self) -> None:
        """Pass the end on later."""
        if not self.ended:
            self.ended = True
            self.changed()

    def changed(self) -> None:
        """A delay that runs starts again."""
        self.disarm()
        if self.ended and not self._passed:
            self._due = self.loop.time() + max(0, min(self.toxic.attributes["delay"], FOREVER)) / 1000
            self.arm(self._due)

    def work(self) -> None:
        """Pass the end on."""
        if self._due > self.loop.time():
            self.arm(self._due)
        else:
            self._passed = True
            self.next.end()

    def waiting(self) -> bool:
        """Whether the delay runs."""
        return self.ended and not self._passed


class Timeout(Stage):
    """Drops data, and closes the connection when none has come for a time; its end passes."""

    def start(self) -> None:
        """The time runs from now on."""
        self._last = self.loop.time()
        self.work()

    def feed(self, data: bytes) -> None:
        """Drop data; the time runs anew."""
        self._last = self.loop.time()

    def changed(self) -> None:
        """The time runs anew."""
        self.disarm()
        self.start()

    def work(self) -> None:
        """Close the connection when its time has come."""
        timeout = min(self.toxic.attributes["timeout"], FOREVER) / 1000
        if timeout <= 0 or self.ended:
            return
        if self._last + timeout > self.loop.time():
            self.arm(self._last + timeout)
        else:
            self.chain.cut()


class ResetPeer(Stage):
    """Resets the connection a time after the first data, or the end, came."""

    def start(self) -> None:
        """Nothing has come yet."""
        self._due: float | None = None

    def feed(self, data: bytes) -> None:
        """Hold data, which will be lost."""
        self.hold(data)
        self._soon()
        self.chain.press()

    def end(self) -> None:
        """The end counts as data does."""
        self.ended = True
        self._soon()

    def _soon(self) -> None:
        if self._due is None:
            self._due = self.loop.time() + max(0, min(self.toxic.attributes["timeout"], FOREVER)) / 1000
            self.work()

    def changed(self) -> None:
        """A time that runs starts again."""
        self.disarm()
        if self._due is not None:
            self._due = None
            self._soon()

    def work(self) -> None:
        """Reset the connection when its time has come."""
        if self._due is None:
            return
        if self._due > self.loop.time():
            self.arm(self._due)
        else:
            self.chain.reset()

    def waiting(self) -> bool:
        """The end never passes."""
        return self.ended


class Slicer(Stage):
    """Cuts data into pieces, with a pause after each."""

    burst = 64
    """Pieces passed on before others have their turn."""

    def __init__(self, chain: Chain, toxic: Toxic) -> None:
        super().__init__(chain, toxic)
        self._free = 0.0
        self._cuts: list[tuple[int, int]] = []
        """What is left of the oldest chunk, last part first; cut as it goes, since it may be a million pieces."""

    def feed(self, data: bytes) -> None:
        """Hold data until its pieces had their turn."""
        self.hold(data)
        if len(self._queue) == 1:
            self._cuts = [(0, len(data))]
            self.work()
        self.chain.press()

    def work(self) -> None:
        """Pass on the pieces whose time has come."""
        delay = max(0, min(self.toxic.attributes["delay"], FOREVER * 1000)) / 1e6
        for _ in range(self.burst):
            if not self._queue:
                break
            now = self.loop.time()
            if self._free > now:
                break
            # Timers have milliseconds: what one was late is made up for, so that short pauses are right in the mean.
            self._free = max(self._free, now - 0.001) + delay
            self.next.feed(self._piece())
        if self._queue:
            self.arm(self._free)
        elif self.ended:
            self.next.end()

    def take(self) -> bytes:
        """What is left of the oldest chunk."""
        left = self._cuts[-1][0]
        data = super().take()[left:]
        self._cuts = [(0, len(self._queue[0][1]))] if self._queue else []
        return data

    def _piece(self) -> bytes:
        average = max(1, self.toxic.attributes["average_size"])
        variation = min(max(0, self.toxic.attributes["size_variation"]), average - 1)
        start, end = self._cuts.pop()
        while end - start - average > variation:
            middle = start + (end - start) // 2
            if variation:
                middle = min(max(start + 1, middle + random.randrange(-variation, variation)), end - 1)
            self._cuts.append((middle, end))
            end = middle
        piece = self._queue[0][1][start:end]
        if not self._cuts:
            self._cuts = [(end, end)]
            self.take()
        return piece


class LimitData(Stage):
    """Closes the connection after so many bytes."""

    _passed = 0

    def feed(self, data: bytes) -> None:
        """Pass on what is within the limit; close when it is reached."""
        left = max(0, self.toxic.attributes["bytes"] - self._passed)
        if data[:left]:
            self._passed += len(data[:left])
            self.next.feed(data[:left])
        if self._passed >= self.toxic.attributes["bytes"]:
            self.chain.cut()


STAGES: dict[str, type[Stage]] = {
    "latency": Latency,
    "bandwidth": Bandwidth,
    "slow_close": SlowClose,
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "slicer": Slicer,
    "limit_data": LimitData,
    "noop": Stage,
}
