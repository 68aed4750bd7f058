"""The live line of a running drill: phase, clock against the target, last event."""

from __future__ import annotations

import os
import select
import shutil
import threading

from sevdrill.detectors import DETECTING
from sevdrill.escaping import line as one_line
from sevdrill.lines import (
    FaultLine,
    Line,
    MarkLine,
    MessageLine,
    Mode,
    PageLine,
    PersonLine,
    PhaseLine,
    Sample,
    StepLine,
    Stopped,
)
from sevdrill.plan import targets_of
from sevdrill.scenario import Scenario
from sevdrill.severity import LIMITS, Policy

__all__ = ["Progress"]

CLEAR = "\r\x1b[2K"
BELOW = "\x1bD\x1b[1A\x1b7\x1b[1B"
"""Make room for a line below, keep the place where pytest writes, and go down."""
BACK = "\x1b8"
"""Back to that place."""
NEXT = {"quiet": "quiet", "inject": "detect", "detect": "detect", "respond": "mitigate", "recover": "recover"}


class Progress:
    """Keeps one line of a terminal up to date, from whatever thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._name, self._phase, self._event = "", "", ""
        self._limits: dict[str, str] = {}
        self._zero: float | None = None
        self._shown = -1.0
        self._below = False

    def begin(self, name: str, scenario: Scenario, policy: Policy, mode: Mode = "auto") -> None:
        """A drill begins."""
        self._name, self._phase, self._event = name, "stack", "starting or reusing the stack"
        self._zero, self._shown = None, -1.0
        limits = targets_of(scenario, policy, mode).items()
        self._limits = {key: f"{t.limit} to {key}" for key, t in limits if key in LIMITS}
        if scenario.quiet is not None:
            self._limits = {"quiet": str(scenario.quiet.for_)}
        # pytest has begun its own line, and goes on with it when the drill is over.
        self._below = self._below or self._write(BELOW)
        self._show()

    def line(self, line: Line) -> None:
        """Something was written to the timeline."""
        event = self._event_of(line)
        if event:
            self._event = event
        # A sample only moves the clock; five times a second is enough for eyes.
        if event or line.t - self._shown >= 0.2:
            self._shown = line.t
            self._show(line.t)

    def _event_of(self, line: Line) -> str:
        match line:
            case PhaseLine():
                self._phase = line.name
                return line.name
            case MarkLine(name="injected" | "quiet"):
                self._zero = line.lo
                return line.name
            case Sample(series=series, ok=True) if series.startswith(DETECTING) and self._zero is not None:
                told = series.split(":", 2)[-1] + (" fires" if series.startswith("alert:") else "")
                return told if self._phase == "detect" else ""
            case FaultLine():
                return f"{line.title}: {line.event}"
            case StepLine(event="began"):
                return f"{line.title} ..."
            case StepLine():
                return f"{line.title}: {'done' if line.ok else 'FAILED'}"
            case MessageLine():
                return f"told {line.to}: {line.status}"
            case PersonLine():
                return f"{line.by}: {line.does} {line.what or line.text}".rstrip()
            case PageLine():
                return f"{line.kind} delivered ({line.status})"
            case Stopped():
                return f"{line.kind}: {line.reason}"
        return ""

    def _show(self, now: float = 0.0) -> None:
        clock = ""
        if self._zero is not None:
            key = NEXT.get(self._phase, "")
            limit = f" of {self._limits[key]}" if key in self._limits else ""
            clock = f" {now - self._zero:5.1f} s{limit} |"
        text = f"{self._name} | {self._phase} |{clock} {self._event}"
        self._write(CLEAR + one_line(text)[: shutil.get_terminal_size().columns - 1])

    def end(self) -> None:
        """The drill is over: the line goes."""
        if self._below:
            self._below = not self._write(CLEAR + BACK)

    def _write(self, text: str) -> bool:
        """Whether the terminal took it."""
        with self._lock:
            try:
                # A terminal that takes nothing (stopped by Ctrl-S, say) must not stop a drill with its fault on.
                if select.select([], [self._descriptor], [], 0)[1]:
                    os.write(self._descriptor, text.encode(errors="replace"))
                    return True
            except (OSError, ValueError):
                # A terminal that went away must not end a drill.
                return False
        return False
