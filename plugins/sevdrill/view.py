"""What people see of a drill while it runs: made from its timeline as it grows, for terminal, page and scripts alike.

It shows, and judges nothing: the verdict is made from the whole timeline, when the drill is over. Of a live drill it
does not show what was broken, and of one that comes by surprise not even when, until somebody could have noticed.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any, get_args

from sevdrill.escaping import line as one_line
from sevdrill.level import Escalation
from sevdrill.lines import (
    End,
    FaultLine,
    Line,
    MarkLine,
    MessageLine,
    Note,
    PageLine,
    PersonLine,
    PhaseLine,
    RunLine,
    Sample,
    StepLine,
    Stopped,
)
from sevdrill.severity import LIMITS, Policy, Target, load_policy
from sevdrill.sop import Status
from sevdrill.timeline import read_new
from sevdrill.units import Duration

__all__ = ["DEFAULT_ROLES", "View", "roles_of"]

TELLING = frozenset(get_args(Status))
"""The statuses of messages that tell how things stand; an escalation, say, tells nobody outside."""
EVENTS = 200
"""Lines of the event log that are kept."""
RATES = 120
"""Values of the error rate that are kept."""
DEFAULT_ROLES = ("Incident Commander", "Tech Lead", "Communications", "Scribe")
"""The roles where the SOP names none."""
SHOWN = ("detect", "respond", "assess", "announce", "rollback", "mitigate", "recover")
PEOPLES = {
    "ack": "acknowledged",
    "announce": "announces",
    "hint": "was given",
    "mitigated": "says that it is mitigated",
    "note": "notes",
}


def roles_of(policy: Policy) -> tuple[str, ...]:
    """The roles in an incident, by the SOP where it names some."""
    return tuple(role.role for role in policy.roles.roles) if policy.roles is not None else DEFAULT_ROLES


class View:
    """A drill as it stands, from the lines that were read so far."""

    def __init__(self, path: Path) -> None:
        """Look at the timeline in this file.

        Raises:
            RunError: it cannot be read.
            PolicyError: its policy is not here.
        """
        self._path, self._offset = path, 0
        self._run: RunLine | None = None
        self._policy: Policy | None = None
        self._targets: dict[str, Target] = {}
        self._marks: dict[str, float] = {}
        self._now, self._phase, self._ended, self._stopped = 0.0, "", False, ""
        self._lights: dict[str, Sample] = {}
        self._alerts: dict[str, bool] = {}
        self._good_since: float | None = None
        self._rates: deque[float | None] = deque(maxlen=RATES)
        self._roles: dict[str, str] = {}
        self._told: list[str] = []
        self._hints = 0
        self._last_message: float | None = None
        self._messages = 0
        self._events: deque[tuple[float, str, str]] = deque(maxlen=EVENTS)
        self.read()

    @property
    def ended(self) -> bool:
        """Whether the drill is over."""
        return self._ended

    @property
    def policy(self) -> Policy | None:
        """The SOP by which the drill is judged; None before its first line is there."""
        return self._policy

    def read(self) -> bool:
        """Take in what is new; whether there was something.

        Raises:
            RunError: it cannot be read.
        """
        lines, self._offset = read_new(self._path, self._offset)
        for line in lines:
            self._take(line)
        return bool(lines)

    # -- taking in ----------------------------------------------------------------------------------------------------

    def _take(self, line: Line) -> None:
        self._now = max(self._now, line.t)
        match line:
            case RunLine():
                self._begin(line)
            case Sample():
                self._sample(line)
            case PhaseLine():
                self._phase = line.name
                if line.name == "verify" and self._good_since is not None:
                    self._marks.setdefault("recovered", self._good_since)
                self._event(line.t, "phase", line.name)
            case MarkLine():
                self._marks.setdefault(line.name, line.lo)
            case PersonLine():
                self._person(line)
            case MessageLine():
                self._message(line)
            case PageLine(status="firing", kind="page"):
                self._mark("paged", line.hi)
                self._event(line.t, "page", f"page: {', '.join(str(alert.get('name')) for alert in line.alerts)}")
            case FaultLine(event=event) if event != "prepared":
                self._event(line.t, "fault", f"{line.title}: {event.replace('-', ' ')}")
            case StepLine(event="ended"):
                if line.ok and line.mark:
                    self._mark(line.mark, line.hi)
                if line.ok and line.part == "respond" and not line.is_message:
                    self._mark("responded", line.hi)
                self._event(line.t, "step", f"{line.title}: {'done' if line.ok else 'FAILED'}")
            case Note():
                self._event(line.t, "note", line.text)
            case Stopped():
                self._stopped = f"{line.kind}: {line.reason}"
                self._event(line.t, "note", self._stopped)
            case End():
                self._ended = True
                self._event(line.t, "phase", "the drill is over")

    def _begin(self, run: RunLine) -> None:
        self._run = run
        self._policy = load_policy(run.policy)
        self._targets = self._policy.targets(run.severity)
        for key, limit in run.scenario.get("targets", {}).items():
            if run.mode != "live" or key == "detect":
                self._targets[key] = Target(key, Duration.parse(limit), "the drill", derived=False)

    def _sample(self, sample: Sample) -> None:
        kind, _, rest = sample.series.partition(":")
        if kind == "steady":
            self._lights[sample.series] = sample
            good = all(light.ok for light in self._lights.values())
            self._good_since = (self._good_since if self._good_since is not None else sample.end) if good else None
            if "requests failed" in sample.why or "no request ended" in sample.why:
                self._rates.append(sample.value)
        elif kind == "alert":
            name = rest.partition(":")[2]
            if sample.ok is not None and sample.ok != self._alerts.get(name, False):
                self._event(sample.end, "alert", f"{name} {'fires' if sample.ok else 'stops firing'}")
                if sample.ok:
                    self._mark("detected", sample.end)
            if sample.ok is not None:
                self._alerts[name] = sample.ok

    def _mark(self, name: str, at: float) -> None:
        if at >= self._marks.get("injected", float("inf")):
            self._marks.setdefault(name, at)

    def _person(self, line: PersonLine) -> None:
        match line.does:
            case "ack":
                self._mark("acknowledged", line.typed)
                if self.mode == "live":
                    self._mark("responded", line.typed)
            case "mitigated" if self.mode == "live":
                self._mark("mitigated", line.typed)
            case "role":
                self._roles[line.what] = line.by
            case "hint":
                self._hints += 1
            case _:
                pass
        if line.does == "role":
            said = f"{line.by} is {line.what}"
        else:
            said = " ".join(filter(None, (line.by, PEOPLES.get(line.does, line.does), line.what, line.text)))
        self._event(line.t, "person", said)

    def _message(self, line: MessageLine) -> None:
        if line.status == "declared":
            self._mark("declared", line.t)
        elif line.status == "escalated":
            self._told.append(line.to)
        elif line.status in TELLING:
            self._mark("announced", line.t)
            if line.t >= self._marks.get("injected", float("inf")):
                self._last_message = line.t
                self._messages += 1
        self._event(line.t, "message", f"{line.by} told {line.to}: {line.status}")

    def _event(self, at: float, kind: str, text: str) -> None:
        self._events.append((at, kind, one_line(text.replace("\n", " "))))

    # -- showing ------------------------------------------------------------------------------------------------------

    @property
    def mode(self) -> str:
        """Who responds."""
        return self._run.mode if self._run is not None else "auto"

    @property
    def _is_secret(self) -> bool:
        """Whether people may not know yet that it has begun."""
        if self._run is None or self.mode != "live" or not self._run.surprise or self._ended or self._stopped:
            return False
        return not {"detected", "paged", "acknowledged", "mitigated"} & self._marks.keys()

    def snapshot(self) -> dict[str, Any]:
        """The drill as it stands, as JSON; times are in seconds."""
        if self._run is None or self._policy is None:
            return {"drill": "", "phase": "starting", "ended": False}
        run, secret = self._run, self._is_secret
        injected = None if secret else self._marks.get("injected")
        elapsed = None if injected is None else round(self._now - injected, 3)
        hidden = bool(run.surprise) and self.mode == "live" and not self._ended
        return {
            "drill": "a live drill" if hidden else one_line(run.drill),
            "severity": run.severity,
            "policy": run.policy,
            "mode": run.mode,
            "stack": run.stack,
            "runbook": "" if hidden else one_line(str(run.scenario.get("runbook", ""))),
            "began": run.wall,
            "now": round(self._now, 3),
            "phase": "on watch" if secret else self._phase,
            "elapsed": elapsed,
            "ended": self._ended,
            "stopped": one_line(self._stopped),
            "marks": {} if injected is None else {k: round(v - injected, 3) for k, v in self._marks.items()},
            "targets": [] if secret else self._shown_targets(elapsed),
            "lights": [
                {"probe": one_line(name.split(":", 2)[-1]), "ok": s.ok, "why": one_line(s.why)}
                for name, s in self._lights.items()
            ],
            "alerts": sorted(name for name, fires in self._alerts.items() if fires),
            "error_rate": list(self._rates),
            "roles": {
                role: self._roles.get(role, "") for role in dict.fromkeys((*roles_of(self._policy), *self._roles))
            },
            "checklist": [
                {"name": each.name, "phase": each.phase, "items": list(each.items)}
                for each in self._policy.checklists_for(run.severity)
            ],
            "statuses": [word.word for word in self._policy.statuses.words] if self._policy.statuses else [],
            "message_due_in": self._message_due(elapsed),
            "messages": self._messages,
            "escalation": self._escalation(elapsed),
            "hints": {"given": self._hints, "of": len(run.scenario.get("hints", ()))},
            "events": [
                {"at": round(at if injected is None else at - injected, 1), "kind": kind, "text": text}
                for at, kind, text in self._events
                if not self._kept_back(at, kind)
            ],
        }

    def _kept_back(self, at: float, kind: str) -> bool:
        if self._ended or self.mode != "live":
            return False
        late = at >= self._marks.get("injected", float("inf")) - 1
        return kind == "fault" or (self._is_secret and kind in ("phase", "note") and late)

    def _shown_targets(self, elapsed: float | None) -> list[dict[str, Any]]:
        found = []
        for key in SHOWN:
            target = self._targets.get(key)
            # Whether a rollback is an answer at all, people decide.
            if target is None or (key == "rollback" and "rolled_back" not in self._marks):
                continue
            when = self._marks.get(LIMITS[key])
            measured = None if when is None or elapsed is None else round(when - self._marks["injected"], 3)
            counted = measured if measured is not None else elapsed
            state = "waiting" if counted is None else "running" if measured is None else "met"
            if counted is not None and counted > target.limit:
                state = "missed"
            found.append(
                {
                    "target": key,
                    "limit": float(target.limit),
                    "source": target.source,
                    "derived": target.derived,
                    "measured": measured,
                    "state": state,
                }
            )
        return found

    def _message_due(self, elapsed: float | None) -> float | None:
        """Seconds until the SOP wants the next message; None where it sets no time, or nothing has begun."""
        if elapsed is None or self._ended or "recovered" in self._marks:
            return None
        if self._last_message is None:
            first = self._targets.get("announce")
            return None if first is None else round(first.limit - elapsed, 1)
        every = self._targets.get("update")
        return None if every is None else round(self._last_message + every.limit - self._now, 1)

    def _escalation(self, elapsed: float | None) -> dict[str, Any]:
        """Who is to be brought in by now, and who is next, by time alone."""
        assert self._run is not None
        assert self._policy is not None
        path = [step for step in self._policy.level(self._run.severity).escalation if not step.when]
        if elapsed is None:
            return {"due": [], "told": [], "next": None}
        if "mitigated" in self._marks:
            elapsed = self._marks["mitigated"] - self._marks["injected"]
        due: list[Escalation] = [step for step in path if step.after <= elapsed]
        later = [step for step in path if step.after > elapsed]
        after = min(later, key=lambda step: step.after) if later and "mitigated" not in self._marks else None
        return {
            "due": [step.to for step in due],
            "told": list(self._told),
            "next": None if after is None else {"to": after.to, "in": round(after.after - elapsed, 1)},
        }
