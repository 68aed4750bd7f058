"""Messages to people, in the words of the policy. Every one begins with ``[DRILL]``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import cast, get_args

from sevdrill.clock import Clock
from sevdrill.errors import ActionError
from sevdrill.facts import Situation, facts
from sevdrill.level import Escalation
from sevdrill.lines import Line, MessageLine, PersonLine
from sevdrill.scenario import Scenario
from sevdrill.severity import Policy
from sevdrill.sop import Status, Template
from sevdrill.timeline import TimelineWriter

__all__ = ["ASKING", "ESCALATED", "EVERYBODY", "OVER", "PREFIX", "Announcer"]

PREFIX = "[DRILL]"
"""How every message begins: nobody who reads one may take a drill for an incident."""
ESCALATED = "escalated"
"""The status of a message that brings somebody in."""
ASKING = "approval"
"""The status of a message that asks for a person's yes."""
OVER = "over"
"""The status of the message that a drill has ended before its time."""
EVERYBODY = "everybody"
"""Who is told that a drill is over: whoever is told anything at all."""
FIRST: tuple[Status, ...] = ("investigating",)
"""What a template says that is for first messages only."""


CAUSES: Mapping[str, set[str]] = MappingProxyType(
    {
        **{family: {"infrastructure"} for family in ("container", "network", "resource", "database", "tls")},
        "security": {"data_breach"},
    }
)
"""What a fault of a family is, in the words of the escalation paths."""


def _taken(lines: Sequence[Line]) -> dict[str, str]:
    """The roles that people took during the drill; whoever took one last has it."""
    return {line.what.casefold(): line.by for line in lines if isinstance(line, PersonLine) and line.does == "role"}


def _nobody(line: MessageLine) -> None:
    """Send it nowhere: that is the default."""


@dataclass
class Announcer:
    """Says things by writing them on the timeline, and gives them to whoever sends (implements the port `Messages`)."""

    scenario: Scenario
    policy: Policy
    timeline: TimelineWriter
    clock: Clock
    roles: Mapping[str, str] = field(default_factory=dict)
    """Who has which role, by the words of the policy, in small letters."""
    run: str = ""
    """Where the post-mortem of the drill will be."""
    number: int = 1
    """The incident's number of the day, for the channel's name."""
    reveals: bool = True
    """Whether messages may say what the fault is."""
    send: Callable[[MessageLine], None] = _nobody
    """Sends what was said; returns at once, whatever becomes of it."""
    reach: Callable[[str], str] = lambda level: ""
    """How somebody of a level is reached, for people; empty where nobody said."""

    def __post_init__(self) -> None:
        self.causes: set[str] = {*self.scenario.causes}
        """What the incident is, as far as the SOP's path asks for it."""
        for fault in self.scenario.inject:
            self.causes |= CAUSES.get(fault.fault.partition(".")[0], set())

    @property
    def situation(self) -> Situation:
        """What is known now."""
        with self.timeline.changed:
            lines = tuple(self.timeline.lines)
        wall = self.clock.wall().astimezone(dt.UTC)
        return Situation(
            self.scenario,
            self.policy,
            lines,
            self.timeline.now(),
            wall,
            {**self.roles, **_taken(lines)},
            self.run,
            self.number,
            self.reveals,
        )

    def announce(self, to: str, status: str, text: str, by: str = "sevdrill") -> None:
        """Say how things stand, by the SOP's template for this status and these readers where it has one."""
        now = self.situation
        subject = ""
        if status in get_args(Status):
            said, subject = self._filled(now, to, cast("Status", status))
        else:
            said = self._declared(now)
        self._say(MessageLine(to=to, status=status, text="\n".join(filter(None, (said, text))), subject=subject, by=by))

    def _filled(self, now: Situation, to: str, status: Status) -> tuple[str, str]:
        template = self._template(now, to, status)
        if template is None:
            about = self.scenario.about or self.scenario.drill
            what = about if self.reveals or status == "resolved" else "a disturbance is looked into"
            return f"{self.policy.status_word(status)}: {what} ({self.scenario.severity})", ""
        values = facts(now, template, status, to)
        return template.fill(values), template.fill_subject(values)

    def _template(self, now: Situation, to: str, status: Status) -> Template | None:
        found = self.policy.message(status, to, self.scenario.severity)
        told = any(isinstance(m, MessageLine) and m.to == to and m.status in get_args(Status) for m in now.lines)
        if found is None or not told or found.statuses != FIRST:
            return found
        # The SOP's first message goes out once; after that it is an update, where it has one for these readers.
        updates = (
            template
            for template in self.policy.messages.values()
            if to in template.to and status in template.statuses and template.statuses != FIRST
        )
        return next((t for t in updates if self.scenario.severity in t.severities), found)

    def _declared(self, now: Situation) -> str:
        level = self.policy.level(self.scenario.severity)
        name = self.scenario.drill if self.reveals else "a disturbance"
        lines = [f"Incident declared: {name}, {self.scenario.severity} ({level.name})."]
        if now.channel:
            lines.append(f"Channel: {now.channel}")
        if level.bridge:
            lines.append(f"Incident bridge: {level.bridge.sop}")
        roles = self.policy.roles.roles if self.policy.roles else ()
        lines += [f"{role.role}: {who}" for role in roles if (who := now.holder(role.role))]
        return "\n".join(lines)

    def escalate(self, to: str, why: str) -> None:
        """Tell a level of the SOP's path, or the next one that was not told yet; when all were told, nobody.

        Raises:
            ActionError: the SOP has no such level for this severity.
        """
        path = self.policy.level(self.scenario.severity).escalation
        # Level 1 is who answers already.
        found = [step for step in path if (step.to == to if to else step.level > 1)]
        if not found:
            named = ", ".join(step.to for step in path) or "nobody"
            what = f'no level "{to}"' if to else "no level above the first"
            raise ActionError(f"{self.policy.cite} has {what} for {self.scenario.severity}; its path: {named}")
        told = self._brought_in()
        left = [step for step in found if to or step.to not in told]
        if left:
            self.tell(min(left, key=lambda step: step.level), why)

    def due(self, elapsed: float) -> None:
        """Tell every level of the path that severity, time and cause demand by now, once each (port `Escalations`)."""
        level = self.policy.level(self.scenario.severity)
        for step in level.escalations_due(elapsed, self.causes):
            if step.level > 1 and step.to not in self._brought_in():
                cause = " or ".join(sorted({*step.when} & self.causes)).replace("_", " ")
                passed = f"unresolved for {step.after}" if step.after else ""
                why = "; ".join(filter(None, (passed, cause)))
                self.tell(step, f"{step.sop}{f' ({why})' if why else ''}")

    def ask(self, what: str) -> None:
        """Ask the team for a yes to a step, and whoever the SOP wants for a person's decision."""
        self.causes.add("human_decision")
        text = f"Approval needed: {what}\n`sevdrill approve --as NAME` says yes, with --no it says no."
        self._say(MessageLine(to="team", status=ASKING, text=text))

    def _brought_in(self) -> set[str]:
        with self.timeline.changed:
            return {m.to for m in self.timeline.lines if isinstance(m, MessageLine) and m.status == ESCALATED}

    def tell(self, step: Escalation, why: str = "") -> None:
        """Tell a level of the SOP's path."""
        name = self.scenario.drill if self.reveals else "a disturbance"
        lines = [f"Escalation to {step.to} (level {step.level}): {name}, {self.scenario.severity}."]
        lines.append(f"Reason: {why or step.sop}")
        reached = self.reach(step.to)
        if reached:
            lines.append(f"Reached by: {reached}")
        self._say(MessageLine(to=step.to, status=ESCALATED, text="\n".join(lines)))

    def over(self, why: str, undone: bool | None) -> None:
        """Tell everybody that the drill ends now (``undone`` is None), or has ended, with everything undone or not."""
        said = {
            None: f"This drill ends now: {why}\nWhat it broke is being undone. What you see from now on may be real.",
            True: f"This drill is over: {why}\nEverything that it broke is undone. What you see now is real.",
            False: f"This drill is over: {why}\nNOT everything could be undone; `sevdrill heal` tries again.",
        }[undone]
        self._say(MessageLine(to=EVERYBODY, status=OVER, text=said))

    def _say(self, line: MessageLine) -> None:
        subject = f"{PREFIX} {line.subject}" if line.subject else ""
        self.timeline.write(line := line.model_copy(update={"text": f"{PREFIX} {line.text}", "subject": subject}))
        self.send(line)
