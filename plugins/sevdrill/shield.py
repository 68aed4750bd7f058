"""Signals that must not tear an undo apart.

SIGINT and SIGTERM raise `Interrupted` in the main thread, except inside `Shield.shielded`, where they wait for its end
or for `Shield.heed`. A drill runs shielded from its first line to its last, and heeds signals wherever it waits: so
Ctrl-C waits for the call in flight, and a second Ctrl-C cannot stop an undo.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["Interrupted", "Shield"]


class Interrupted(KeyboardInterrupt):
    """The run was interrupted; the text names the signal."""


class Shield:
    """Holds SIGINT and SIGTERM back while something must not be interrupted; interrupts a run once at most."""

    def __init__(self) -> None:
        self._depth = 0
        self._pending: str | None = None
        self._interrupted = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM for the duration of the block; does nothing outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._received) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _received(self, number: int, frame: FrameType | None) -> None:
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        if self._depth:
            self._pending = name
        elif not self._interrupted:
            # Once is enough: everything is being undone already, and a second signal must not tear that apart.
            self._interrupted = True
            raise Interrupted(name)

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        """Hold signals back until the end of the (outermost) block, then raise what came.

        Only the main thread is ever interrupted, so in another thread this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if not self._depth:
            self.heed()

    def heed(self) -> None:
        """Raise what came, from the middle of a shielded block, where that can be left: in the main thread only."""
        if self._pending is None or threading.current_thread() is not threading.main_thread():
            return
        name, self._pending = self._pending, None
        if not self._interrupted:
            self._interrupted = True
            raise Interrupted(name)
