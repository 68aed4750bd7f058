"""The append-only record of one run.

A timeline is a JSONL file: one line an event, flushed as it happens, so that a killed run still tells its story.
Verdict, reports and history are made from it alone. Times are seconds since the run began, on the one monotonic clock.

Every line (their types are in `lines`) carries its number and the id of its run, so that a file of which lines were
moved, taken out or put in is not taken for what happened.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from sevdrill.clock import Clock
from sevdrill.errors import RunError
from sevdrill.escaping import json_line
from sevdrill.lines import (
    READABLE,
    End,
    Line,
    MarkLine,
    RunLine,
    Sample,
)
from sevdrill.masking import MASKER
from sevdrill.opening import read_lines

__all__ = [
    "TIMELINE",
    "Timeline",
    "TimelineWriter",
    "read_new",
]

TIMELINE = "timeline.jsonl"
"""Its name in the folder of a drill's run."""

L = TypeVar("L", bound=BaseModel)

_LINE: TypeAdapter[Line] = TypeAdapter(Line)


class Timeline:
    """The lines of a run, in the order in which they were written."""

    def __init__(self, lines: Iterable[Line]) -> None:
        """Take the lines of one run.

        Raises:
            RunError: they do not begin with a `run` line, are in another order than they were written in, or not all
                of the same run.
        """
        self.missing: list[int] = []
        """Numbers of lines after which others are missing."""
        taken: list[Line] = []
        for line in lines:
            self._check(taken, line)
            taken.append(line)
        if not taken:
            raise _Broken("this is no timeline: it has no lines; give a folder under drill-runs/")
        self.lines: tuple[Line, ...] = tuple(taken)
        # What was made in memory has no numbers; then each line is known by its place.
        self._numbers = {id(line): line.n or place for place, line in enumerate(taken, start=1)}

    def _check(self, before: list[Line], line: Line) -> None:
        if not before:
            if not isinstance(line, RunLine):
                raise _Broken("this is no timeline: its first line is no `run` line; give a folder under drill-runs/")
            if line.n > 1:
                raise _Broken(f"the first line has the number {line.n}; {_CHANGED}")
            return
        first, last = before[0], before[-1]
        place = len(before) + 1
        if isinstance(line, RunLine):
            raise _Broken(f"line {place} begins another run; {_CHANGED}")
        if line.run != first.run:
            raise _Broken(f"line {place} is of another run ({line.run or 'none'}); {_CHANGED}")
        if bool(line.n) != bool(first.n) or (first.n and line.n <= last.n):
            raise _Broken(f"line {place} has the number {line.n}, after {last.n}: the order is wrong; {_CHANGED}")
        if first.n and line.n != last.n + 1:
            self.missing.append(last.n)

    @property
    def run(self) -> RunLine:
        """The first line."""
        line = self.lines[0]
        assert isinstance(line, RunLine)
        return line

    def number(self, line: Line) -> int:
        """The number of one of the lines in its file, from 1."""
        return self._numbers[id(line)]

    def of(self, kind: type[L]) -> Iterator[L]:
        """Every line of one type."""
        return iter(cast("list[L]", self._by_type.get(kind, [])))

    @cached_property
    def _by_type(self) -> dict[type, list[Line]]:
        # Whoever judges asks for each type many times, and most lines are samples.
        found: dict[type, list[Line]] = {}
        for line in self.lines:
            found.setdefault(type(line), []).append(line)
        return found

    def samples(self, series: str) -> list[Sample]:
        """Every sample of one series, by the time it began."""
        return sorted((s for s in self.of(Sample) if s.series == series), key=lambda s: (s.start, s.end))

    @property
    def ended(self) -> bool:
        """Whether the run reached its end (a killed run did not)."""
        return any(True for _ in self.of(End))

    @classmethod
    def load(cls, path: Path) -> Timeline:
        """Read a timeline; a torn last line, as a killed run leaves it, is left out.

        Raises:
            RunError: no such file, a version that is not ours, a line that is no line of a timeline, or lines that
                are not all of one run, numbered, and in their order.
        """
        try:
            # Line by line: what is no timeline is refused before it fills the memory.
            timeline = cls(_read(path))
        except OSError as error:
            raise RunError(f"cannot read the timeline {path}: {error.strerror}") from None
        except _Broken as error:
            raise RunError(f"{path}: {error}") from None
        run = timeline.run
        if run.n != 1:
            raise RunError(f"{path}:1: the lines have no numbers, so nobody knows whether all are there; {_CHANGED}")
        try:
            dt.datetime.fromisoformat(run.wall)
        except ValueError:
            raise RunError(f"{path}:1: {run.wall!r} is no time of day; {_CHANGED}") from None
        return timeline


_CHANGED = "the file was changed after the run, so it proves nothing"

MOST_BYTES = 256 << 20
"""The largest timeline that is read, in bytes: some hours of a drill with many probes."""
MOST_OF_A_LINE = 16 << 20
"""The longest line that is read, in bytes."""


class _Broken(RunError):
    """Lines that do not make one timeline; without the file's name."""


def _read(path: Path) -> Iterator[Line]:
    """The lines of a file, one after the other: it may be large."""
    torn = ""
    for number, text in read_lines(path, MOST_BYTES, MOST_OF_A_LINE):
        if torn:
            raise RunError(torn)
        if number == 1:
            _check_version(path, text)
        try:
            line = _LINE.validate_json(text)
        except ValidationError as error:
            why = error.errors(include_url=False, include_input=False)[0]["msg"]
            torn = f"{path}:{number}: not a line of a timeline ({why}); {_CHANGED}"
            # Only the last line can be torn, and one that was written whole ends with a line feed.
            if text.endswith(b"\n"):
                raise RunError(torn) from None
        else:
            # Which fields were given is of no use, and takes more memory than the line itself.
            object.__setattr__(line, "__pydantic_fields_set__", _NONE)
            yield line


_NONE: set[str] = set()


def _check_version(path: Path, text: bytes) -> None:
    """Refuse another version before a line of it is: that would look like one that was changed."""
    try:
        first = json.loads(text)
    except (ValueError, RecursionError):
        return  # no line of a timeline: that is told where it is read
    version = first.get("version", 1) if isinstance(first, dict) and first.get("type") == "run" else READABLE[-1]
    if version not in READABLE:
        readable = " and ".join(map(str, READABLE))
        raise RunError(f"{path}: timeline version {version}, but this sevdrill reads {readable}; use a newer sevdrill")


def read_new(path: Path, offset: int) -> tuple[list[Line], int]:
    """The lines that were written since ``offset`` bytes, and where the next ones begin; for whoever follows a run.

    Raises:
        RunError: the file cannot be read, or has a line that is no line of a timeline.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(MOST_OF_A_LINE)
        whole = data[: data.rfind(b"\n") + 1]
        return [_LINE.validate_json(line) for line in whole.splitlines() if line.strip()], offset + len(whole)
    except OSError as error:
        raise RunError(f"cannot read the timeline {path}: {error.strerror}") from None
    except ValidationError:
        raise RunError(f"{path}: a line of it is no line of a timeline; {_CHANGED}") from None


class TimelineWriter:
    """Appends lines to a timeline file, from any thread, and tells whoever waits.

    ``listener`` is called with each line, under the lock, in order.
    """

    def __init__(self, path: Path, clock: Clock, *, listener: Callable[[Line], None] | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._clock = clock
        self._zero = clock.now()
        self._file = path.open("x", encoding="utf-8")
        self._listener = listener
        self._run = secrets.token_hex(4)
        self._count = 0
        self.changed = threading.Condition(threading.RLock())
        self.lines: list[Line] = []

    def now(self) -> float:
        """Seconds since the run began."""
        return self._clock.now() - self._zero

    def relative(self, moment: float) -> float:
        """Turn a reading of the clock into seconds since the run began."""
        return moment - self._zero

    def write(self, line: Line) -> None:
        """Append a line, masked, numbered and stamped with the time, and flush it."""
        data = MASKER.data(line.model_dump(mode="json"))
        with self.changed:
            if not self._file.closed:
                # Counted even if the disk does not take it: then whoever reads the file sees that a line is missing.
                self._count += 1
                data |= {"t": round(self.now(), 6), "n": self._count, "run": self._run}
                # Numbers inside a line stay what they are: there is nothing in them to mask.
                kept = {name: value for name, value in line if isinstance(value, BaseModel)}
                stamped = type(line).model_construct(**{**data, **kept})
                text = json_line(data)
                self._file.write(text + "\n")
                self._file.flush()
                self.lines.append(stamped)
                if self._listener is not None:
                    self._listener(stamped)
            self.changed.notify_all()

    def mark(self, name: str, lo: float, hi: float | None = None, *, by: str = "") -> None:
        """Note a point in time (seconds since the run began)."""
        self.write(MarkLine(name=name, lo=lo, hi=lo if hi is None else hi, by=by))

    def timeline(self) -> Timeline:
        """What was recorded so far."""
        with self.changed:
            return Timeline(self.lines)

    def close(self) -> None:
        """Close the file; later lines are dropped (a probe thread may still be finishing)."""
        with self.changed:
            self._file.close()
