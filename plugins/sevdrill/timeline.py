"""The append-only record of one run.

A timeline is a JSONL file: one line an event, flushed as it happens, so that a killed run still tells its story.
Verdict, reports and history are made from it alone. Times are seconds since the run began, on the one monotonic clock.

Line types: ``run`` (first line), ``phase``, ``sample``, ``mark``, ``fault``, ``step``, ``message``, ``page``, ``read``,
``note``, ``stopped`` and ``end``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sevdrill.clock import Clock
from sevdrill.errors import RunError

__all__ = [
    "SCHEMA_VERSION",
    "End",
    "FaultLine",
    "Interval",
    "Line",
    "MarkLine",
    "MessageLine",
    "Note",
    "PageLine",
    "PhaseLine",
    "ReadLine",
    "RunLine",
    "Sample",
    "StepLine",
    "Stopped",
    "Timeline",
    "TimelineWriter",
]

SCHEMA_VERSION = 1

L = TypeVar("L", bound=BaseModel)

PhaseName = Literal[
    "prepare", "steady", "inject", "detect", "respond", "recover", "quiet", "close", "verify", "restore", "review"
]


class Interval(NamedTuple):
    """A point in time as far as it could be measured: not before ``lo``, not after ``hi`` (seconds)."""

    lo: float
    hi: float

    def since(self, start: Interval) -> Interval:
        """The duration from ``start`` to here, with the width that both measurements allow."""
        return Interval(self.lo - start.hi, self.hi - start.lo)

    @property
    def width(self) -> float:
        """How far apart the two ends are, in seconds."""
        return self.hi - self.lo


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    t: float = 0.0
    """When the line was written, in seconds since the run began."""


class RunLine(_Line):
    """The first line: which drill ran, where, and judged by what."""

    type: Literal["run"] = "run"
    version: int = SCHEMA_VERSION
    drill: str
    severity: str
    policy: str
    stack: str
    mode: str = "auto"
    wall: str
    """Time of day of the run's beginning, ISO 8601 in UTC; for display only."""
    file: str = ""
    scenario: dict[str, Any]
    """The whole drill, so that a run can be judged again from its timeline alone."""


class PhaseLine(_Line):
    """A phase of the run begins."""

    type: Literal["phase"] = "phase"
    name: PhaseName


class Sample(_Line):
    """One reading of one probe, detector or fault state.

    ``ok`` is None when the probe itself could not tell; that is not good.
    """

    type: Literal["sample"] = "sample"
    series: str
    start: float
    end: float
    ok: bool | None
    value: float | None = None
    why: str = ""


class MarkLine(_Line):
    """A point in time that was caused or said, rather than found by polling."""

    type: Literal["mark"] = "mark"
    name: str
    lo: float
    hi: float
    by: str = ""


class FaultLine(_Line):
    """Something happened to a fault, or to the undo of a reverting action."""

    type: Literal["fault"] = "fault"
    index: int
    fault: str
    title: str
    event: Literal["prepared", "injected", "failed", "on", "without-effect", "undone", "dirty"]
    why: str = ""


class StepLine(_Line):
    """A runbook step began or ended; ``ok`` says whether its own effect was proved."""

    type: Literal["step"] = "step"
    part: Literal["investigate", "respond", "close"]
    index: int
    action: str
    title: str
    event: Literal["began", "ended"]
    is_message: bool = False
    ok: bool | None = None
    mark: str = ""
    lo: float = 0.0
    hi: float = 0.0
    why: str = ""


class MessageLine(_Line):
    """A message that was said to people."""

    type: Literal["message"] = "message"
    to: str
    status: str
    text: str
    by: str = "sevdrill"


class PageLine(_Line):
    """What the alerting delivered to the pager: a page wakes someone, a ticket can wait."""

    type: Literal["page"] = "page"
    id: int
    kind: str
    status: str
    lo: float
    hi: float
    alerts: list[dict[str, Any]]


class ReadLine(_Line):
    """A final read: what a check found, recorded so that it can be judged later and again."""

    type: Literal["read"] = "read"
    check: int
    when: Literal["verify", "restored"]
    ok: bool = True
    data: dict[str, Any] = {}
    why: str = ""


class Note(_Line):
    """Anything else worth telling a person."""

    type: Literal["note"] = "note"
    text: str


class Stopped(_Line):
    """The run was stopped before its end: a signal, a stop condition, or an error of the stack."""

    type: Literal["stopped"] = "stopped"
    kind: Literal["aborted", "invalid"]
    reason: str


class End(_Line):
    """The last line of a run that reached its end."""

    type: Literal["end"] = "end"
    dirty: bool = False


Line = Annotated[
    RunLine
    | PhaseLine
    | Sample
    | MarkLine
    | FaultLine
    | StepLine
    | MessageLine
    | PageLine
    | ReadLine
    | Note
    | Stopped
    | End,
    Field(discriminator="type"),
]
_LINE: TypeAdapter[Line] = TypeAdapter(Line)


class Timeline:
    """The lines of a run, in the order in which they were written."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.lines: tuple[Line, ...] = tuple(lines)
        if not self.lines or not isinstance(self.lines[0], RunLine):
            raise RunError("this is no timeline: its first line is not a `run` line; give a run directory of sevdrill")

    @property
    def run(self) -> RunLine:
        """The first line."""
        line = self.lines[0]
        assert isinstance(line, RunLine)
        return line

    def of(self, kind: type[L]) -> Iterator[L]:
        """Every line of one type."""
        return (line for line in self.lines if isinstance(line, kind))

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
            RunError: no such file, a version that is not ours, or a line that is no line of a timeline.
        """
        try:
            raw = path.read_bytes().split(b"\n")
        except OSError as error:
            raise RunError(f"cannot read the timeline {path}: {error.strerror}") from None
        lines: list[Line] = []
        for number, text in enumerate(raw, start=1):
            if not text.strip():
                continue
            try:
                lines.append(_LINE.validate_json(text))
            except ValidationError as error:
                if number == len(raw):
                    break
                why = error.errors(include_url=False)[0]["msg"]
                raise RunError(f"{path}:{number}: not a line of a timeline ({why}); the file was changed") from None
        timeline = cls(lines)
        if timeline.run.version != SCHEMA_VERSION:
            raise RunError(
                f"{path}: timeline version {timeline.run.version}, but this sevdrill reads version {SCHEMA_VERSION}"
            )
        return timeline


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
        self.changed = threading.Condition(threading.RLock())
        self.lines: list[Line] = []

    def now(self) -> float:
        """Seconds since the run began."""
        return self._clock.now() - self._zero

    def relative(self, moment: float) -> float:
        """Turn a reading of the clock into seconds since the run began."""
        return moment - self._zero

    def write(self, line: Line) -> None:
        """Append a line, stamped with the time, and flush it."""
        with self.changed:
            stamped = line.model_copy(update={"t": round(self.now(), 6)})
            text = json.dumps(stamped.model_dump(mode="json", exclude_defaults=False), ensure_ascii=False)
            if not self._file.closed:
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
