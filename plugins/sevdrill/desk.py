"""Takes up what people say while a drill runs, and puts it on the timeline."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

from sevdrill.inbox import Inbox, Saying
from sevdrill.lines import Note, PersonLine
from sevdrill.people import Messages
from sevdrill.timeline import TimelineWriter

__all__ = ["Desk"]

LOOK_EVERY = 0.1
"""Seconds between two looks into the inbox."""


class Desk(threading.Thread):
    """Reads a run's inbox until it is closed."""

    def __init__(self, journal: Path, timeline: TimelineWriter, messages: Messages, hints: Sequence[str]) -> None:
        """Open the inbox of the run with this journal.

        Raises:
            OSError: the disk does not take it.
        """
        super().__init__(name="sevdrill desk", daemon=True)
        self._inbox = Inbox(journal)
        self._timeline, self._messages, self._hints = timeline, messages, hints
        self._hinted = 0
        self._closing = threading.Event()
        self.acknowledged = False
        """Whether anybody acknowledged."""
        self.mitigated: float | None = None
        """When somebody last typed that it is mitigated, in seconds since the run began."""

    def run(self) -> None:
        while not self._closing.wait(LOOK_EVERY):
            self._take_up()
        self._take_up()

    def close(self) -> None:
        """Take up what was said until now, and nothing more."""
        self._closing.set()
        self.join()
        self._inbox.close()

    def _take_up(self) -> None:
        for saying in self._inbox.new():
            try:
                self._one(saying)
            except Exception as error:  # what one person says must not silence the others
                with contextlib.suppress(OSError):
                    self._timeline.write(Note(text=f"what {saying.by} said could not be taken up: {error}"))

    def _one(self, saying: Saying) -> None:
        text = saying.text
        if saying.does == "hint":
            text = self._hint()
        now = self._timeline.now()
        line = PersonLine(
            id=saying.id,
            by=saying.by,
            does=saying.does,
            what=saying.what,
            text=text,
            typed=round(min(max(self._timeline.relative(saying.at), 0.0), now), 6),
        )
        with self._timeline.changed:
            self.acknowledged |= saying.does == "ack"
            if saying.does == "mitigated":
                self.mitigated = line.typed
            self._timeline.write(line)
        if saying.does == "announce":
            self._messages.announce(saying.to or "status-page", saying.what, saying.text, by=saying.by)

    def _hint(self) -> str:
        self._hinted += 1
        if self._hinted > len(self._hints):
            return f"there are no more hints than {len(self._hints)}" if self._hints else "this drill has no hints"
        return f"hint {self._hinted} of {len(self._hints)}: {self._hints[self._hinted - 1]}"
