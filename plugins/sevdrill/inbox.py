"""What people say to a run that is under way, from other processes: an append-only file beside its journal.

A command, console or page appends one JSON line and is done; the run takes up what is new, and writes it on its
timeline, which is where everybody reads what came of it. A second small file says which drill is running just now.
Both are gone when the run is.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["STATUSES", "Does", "Inbox", "Now", "Saying", "clear_now", "now_of", "put", "remove", "write_now"]

Does = Literal["ack", "note", "mitigated", "role", "announce", "hint"]

STATUSES = ("declared", "investigating", "identified", "monitoring", "resolved")
"""Where an incident can stand, in the words of drill files."""
LONGEST = 4000
"""The longest text that somebody may say, in characters."""
MOST = 1 << 20
"""The most that is read of an inbox at once, in bytes."""


class Saying(BaseModel):
    """One thing that somebody says or does."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    id: str = Field(default_factory=lambda: secrets.token_hex(8), pattern=r"^[0-9a-f]{16}$")
    by: Annotated[str, Field(min_length=1, max_length=60)]
    does: Does
    what: Annotated[str, Field(max_length=200)] = ""
    """The role that is taken, or the status that is announced."""
    to: Annotated[str, Field(max_length=60)] = ""
    """Who is told; for ``announce``."""
    text: Annotated[str, Field(max_length=LONGEST)] = ""
    at: float
    """When it was sent, in monotonic seconds."""


class Now(BaseModel):
    """Which drill is running just now."""

    model_config = ConfigDict(frozen=True)

    timeline: str
    """Its timeline, an absolute path."""
    drill: str
    """Its folder under the run's."""


def _inbox(journal: Path) -> Path:
    return journal.with_suffix(".inbox")


def _now(journal: Path) -> Path:
    return journal.with_suffix(".now")


def write_now(journal: Path, now: Now) -> None:
    """Say which drill is running; nobody ever reads half of it.

    Raises:
        OSError: the disk does not take it.
    """
    draft = journal.with_suffix(".now-draft")
    draft.write_text(now.model_dump_json(), encoding="utf-8")
    draft.rename(_now(journal))


def clear_now(journal: Path) -> None:
    """Say that no drill is running any more."""
    _now(journal).unlink(missing_ok=True)


def now_of(journal: Path) -> Now | None:
    """Which drill the run of this journal is running; None between drills."""
    try:
        return Now.model_validate_json(_now(journal).read_bytes())
    except (OSError, ValidationError):
        return None


def remove(journal: Path) -> None:
    """Take away what is beside a journal that is gone: these two, what was asked and answered, a note to stop."""
    for path in journal.parent.iterdir():
        if path.stem == journal.stem and path != journal:
            path.unlink(missing_ok=True)


def put(journal: Path, saying: Saying) -> None:
    """Append a saying to the inbox of a run.

    Raises:
        OSError: there is no inbox, or the disk does not take it; then nothing of it is left.
    """
    data = saying.model_dump_json().encode() + b"\n"
    descriptor = os.open(_inbox(journal), os.O_WRONLY | os.O_APPEND)
    try:
        # Several speak at once; each line is whole.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        if os.write(descriptor, data) != len(data):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(_inbox(journal)))
    finally:
        os.close(descriptor)


class Inbox:
    """The run's end of it: what is new since the last look."""

    def __init__(self, journal: Path) -> None:
        """Make the file, or begin at its end: what was said to an earlier drill is not for this one.

        Raises:
            OSError: the disk does not take it.
        """
        self._file = os.open(_inbox(journal), os.O_RDONLY | os.O_CREAT, 0o600)
        self._read = os.fstat(self._file).st_size

    def new(self) -> list[Saying]:
        """The whole lines that are new, in their order; what is no saying is left out."""
        data = os.pread(self._file, MOST, self._read)
        whole, feed, _ = data.rpartition(b"\n")
        if not feed:
            # A line that fills all of this is none of ours.
            self._read += len(data) if len(data) == MOST else 0
            return []
        self._read += len(whole) + 1
        found = []
        for line in whole.split(b"\n"):
            try:
                found.append(Saying.model_validate(json.loads(line)))
            except (ValueError, RecursionError):
                continue
        return found

    def close(self) -> None:
        """Read no more."""
        os.close(self._file)
