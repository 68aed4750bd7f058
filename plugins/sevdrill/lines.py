"""The lines of a timeline, each a type of its own.

``run`` (first line), ``phase``, ``sample``, ``mark``, ``fault``, ``step``, ``message``, ``person``, ``page``, ``read``,
``note``, ``stopped`` and ``end``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "READABLE",
    "SCHEMA_VERSION",
    "End",
    "FaultLine",
    "Interval",
    "Line",
    "MarkLine",
    "MessageLine",
    "Mode",
    "Note",
    "PageLine",
    "PersonLine",
    "PhaseLine",
    "PhaseName",
    "ReadLine",
    "RunLine",
    "Sample",
    "StepLine",
    "Stopped",
    "Users",
]


SCHEMA_VERSION = 2
"""The version that is written: 2 says in numbers what users saw, which 1 has in words only."""


READABLE = (1, 2)
"""The versions that are read: what a version adds has a default that means that nobody noted it."""


Mode = Literal["auto", "live", "observe"]
"""Who responds: the tool by the runbook, people, or nobody."""


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
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    t: float = 0.0
    """When the line was written, in seconds since the run began."""
    n: int = 0
    """The line's number in its file, from 1; 0 for a line that was never written to one."""
    run: str = ""
    """Which run it is of: the same on every line of a file."""


class RunLine(_Line):
    """The first line: which drill ran, where, and judged by what."""

    type: Literal["run"] = "run"
    version: int = SCHEMA_VERSION
    drill: str
    severity: str
    policy: str
    stack: str
    mode: Mode = "auto"
    surprise: float = 0.0
    """The window, in seconds, within which the fault came at a random moment; 0 when it came as soon as it could."""
    wall: str
    """Time of day of the run's beginning, ISO 8601 in UTC; for display only."""
    file: str = ""
    scenario: dict[str, Any]
    """The whole drill, so that a run can be judged again from its timeline alone."""


class PhaseLine(_Line):
    """A phase of the run begins."""

    type: Literal["phase"] = "phase"
    name: PhaseName


class Users(BaseModel):
    """What the load's users saw in one window of time."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    requests: int
    """Requests that ended in the window."""
    failures: int
    """Those of them that failed."""
    p95: float | None = None
    """95th percentile of their times, in seconds; None when there was none."""


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
    users: Users | None = None
    """What the load's users saw, where it was they that were asked (since version 2)."""


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
    subject: str = ""
    """Subject line, where the SOP's template has one."""


class PersonLine(_Line):
    """Something that a person did: typed at a console, a web page, or as a command."""

    type: Literal["person"] = "person"
    id: str
    """Chosen by whoever sent it, so that they can see that it arrived."""
    by: str
    does: Literal["ack", "note", "mitigated", "role", "announce", "hint"]
    what: str = ""
    """The role that is taken, or the status that is announced."""
    text: str = ""
    typed: float = 0.0
    """When it was sent, in seconds since the run began; ``t`` is when it arrived."""


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
    | PersonLine
    | PageLine
    | ReadLine
    | Note
    | Stopped
    | End,
    Field(discriminator="type"),
]
