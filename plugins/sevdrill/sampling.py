"""Looking at one thing again and again, on a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from sevdrill.errors import SevdrillError
from sevdrill.lines import Sample
from sevdrill.ports import Reading
from sevdrill.timeline import TimelineWriter

__all__ = ["Look", "Sampler"]

T = TypeVar("T")


class Sampler(threading.Thread):
    """Takes a sample every ``every`` seconds until it is ended; a slow look never delays another sampler."""

    def __init__(
        self,
        series: str,
        look: Callable[[], Reading],
        every: float,
        timeline: TimelineWriter,
        taken: Callable[[Sample], None] = lambda sample: None,
    ) -> None:
        """``taken`` is told of each sample once it is recorded."""
        super().__init__(name=f"sevdrill {series}", daemon=True)
        self.series, self.every = series, every
        self._look, self._timeline, self._taken = look, timeline, taken
        self._ended = threading.Event()
        self.samples: list[Sample] = []

    def run(self) -> None:
        while not self._ended.is_set():
            start = self._timeline.now()
            try:
                reading = self._look()
            except Exception as error:  # a probe that fails, for whatever reason, is unknown
                reading = Reading(ok=None, why=f"{type(error).__name__}: {error}".splitlines()[0][:300])
            end = self._timeline.now()
            if self._ended.is_set():
                # A look that was under way when its subject was taken away says nothing.
                return
            sample = Sample(
                series=self.series,
                start=round(start, 6),
                end=round(end, 6),
                ok=reading.ok,
                value=reading.value,
                why=reading.why,
                users=reading.users,
            )
            with self._timeline.changed:
                self.samples.append(sample)
                # A full disk must not blind the engine: it still has to see that all is well again.
                with contextlib.suppress(OSError):
                    self._timeline.write(sample)
                self._taken(sample)
            self._ended.wait(max(0.0, self.every - (self._timeline.now() - start)))

    def end(self) -> None:
        """Take no more samples; a look that is under way is dropped."""
        self._ended.set()


class Look(threading.Thread, Generic[T]):
    """A single look on a thread of its own, for whoever must be able to leave it alone."""

    def __init__(self, look: Callable[[], T], timeline: TimelineWriter) -> None:
        super().__init__(name="sevdrill look", daemon=True)
        self._look, self._timeline = look, timeline
        self._found: list[T] = []
        self._error: BaseException | None = None
        self.done = False
        self.start()

    def run(self) -> None:
        try:
            self._found.append(self._look())
        except BaseException as error:  # raised again where the result is wanted
            self._error = error
        with self._timeline.changed:
            self.done = True
            self._timeline.changed.notify_all()

    def result(self) -> T:
        """What was seen, or the error that came up instead.

        Raises:
            SevdrillError: it is not over yet.
        """
        if self._error is not None:
            raise self._error
        if not self._found:
            raise SevdrillError("the drill was stopped before this was seen")
        return self._found[0]
