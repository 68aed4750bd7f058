"""The facts that fill an SOP's message templates: what is known of a drill at one moment, from its timeline.

Every field that a shipped policy's template has gets a value. What nobody knows yet says so; a reader must not have to
tell a placeholder from a fact.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sevdrill.detectors import alerts_of
from sevdrill.lines import Line, MarkLine, MessageLine, Sample, StepLine
from sevdrill.plan import effect_series, steady_series
from sevdrill.ports import Load
from sevdrill.scenario import Scenario
from sevdrill.severity import Policy
from sevdrill.sop import Status, Template
from sevdrill.units import Duration

__all__ = ["NOBODY", "Situation", "facts"]

NOBODY = "sevdrill, which plays the responder"
"""Who has a role when no person was given it."""
UNKNOWN = "not known yet"


@dataclass(frozen=True)
class Situation:
    """What is known of a drill now."""

    scenario: Scenario
    policy: Policy
    lines: Sequence[Line]
    """The timeline so far."""
    now: float
    """Seconds since the run began."""
    wall: dt.datetime
    """Time of day, in UTC."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """Who has which role, by the words of a policy's roles, in small letters."""
    run: str = ""
    """Where the reports of the drill will be."""
    number: int = 1
    """The incident's number of the day."""
    reveals: bool = True
    """Whether messages may say what the fault is: people who respond must find that out."""

    @property
    def injected(self) -> float | None:
        """When the fault was injected, in seconds since the run began."""
        return next((line.lo for line in self.lines if isinstance(line, MarkLine) and line.name == "injected"), None)

    def holder(self, role: str) -> str:
        """Who has a role, whatever exactly it is called; empty when nobody has it."""
        words = {word for word in re.findall(r"[a-z]+", role.casefold()) if word not in ("incident", "lead")}
        return next((who for held, who in self.roles.items() if any(word[:7] in held for word in words)), "")

    @property
    def channel(self) -> str:
        """The incident's channel by the SOP's pattern; empty where the SOP has none for this severity."""
        pattern, has = self.policy.channel, self.policy.level(self.scenario.severity).channel
        if pattern is None or not has:
            return ""
        return pattern.name(self.wall.date(), self.number, self.scenario.drill if self.reveals else "drill")

    @property
    def started(self) -> dt.datetime:
        """Time of day of the injection; now, when nothing is injected yet."""
        injected = self.injected
        return self.wall if injected is None else self.wall - dt.timedelta(seconds=self.now - injected)

    @property
    def done(self) -> list[str]:
        """The steps that were done so far, messages left out."""
        return [
            line.title
            for line in self.lines
            if isinstance(line, StepLine) and line.event == "ended" and line.ok and not line.is_message
        ]

    @property
    def felt(self) -> list[str]:
        """What users felt so far, in the words of the drill's `effect:`."""
        since, series = self.injected, effect_series(self.scenario)
        if since is None:
            return []
        bad = {line.series for line in self.lines if isinstance(line, Sample) and line.ok and line.start >= since}
        return [probe.title for name, probe in series.items() if name in bad]

    @property
    def impact(self) -> str:
        """What users suffered: the worst share of failed requests, and what they felt."""
        loaded = {
            name
            for name, probe in steady_series(self.scenario).items()
            if Load in probe.needs and getattr(probe, "error_rate", None) is not None
        }
        since = self.injected
        rates = [
            line.value
            for line in self.lines
            if isinstance(line, Sample) and line.series in loaded and since is not None and line.start >= since
            if line.value is not None
        ]
        found = [f"up to {max(rates):.0%} of requests failed"] if rates and max(rates) > 0 else []
        return "; ".join([*found, *self.felt]) or "none was measured so far"

    @property
    def next(self) -> str:
        """The step of the runbook that comes next."""
        steps = [step.title for step in self.scenario.respond if not step.is_message]
        left = steps[len([title for title in self.done if title in steps]) :]
        return left[0] if left else "watch until the steady state has held"


def _alerts(situation: Situation) -> str:
    names = list(alerts_of(situation.scenario.detect))
    return f"what the alert {' or '.join(names)} watches" if names else "the service"


def _services(situation: Situation) -> str:
    services = sorted({service for fault in situation.scenario.inject for service in fault.services})
    return ", ".join(services) or "the service"


def _listed(items: Sequence[str], otherwise: str) -> str:
    return "\n".join(f"- {item}" for item in items) or f"- {otherwise}"


def facts(situation: Situation, template: Template, status: Status, to: str) -> dict[str, str]:
    """A value for every field of a template, for one message to ``to``."""
    scenario, policy, reveals = situation.scenario, situation.policy, situation.reveals
    over = status == "resolved"
    lists = "\n- " in template.placeholders.get("action", "")
    done = situation.done if reveals or over else []
    what = (scenario.about or scenario.drill) if reveals or over else f"a disturbance of {_alerts(situation)}"
    started, wall = situation.started, situation.wall
    told = [line for line in situation.lines if isinstance(line, MessageLine) and line.to == to]
    review = policy.level(scenario.severity).review
    due = f", due within {review.due}" if review is not None and review.due is not None else ""
    causes = "; ".join(fault.title for fault in scenario.inject)
    felt = "; ".join(situation.felt)
    affected = _services(situation) if reveals or over else _alerts(situation)
    upcoming = "the post-mortem" if over else situation.next if reveals else "find the cause and mitigate"
    return {
        "status": template.words.get(status) or policy.status_word(status),
        "severity": scenario.severity,
        "started": f"{started:%H:%M} UTC",
        "time": f"{wall:%H:%M} UTC",
        "date": f"{wall:%Y-%m-%d}",
        "duration": str(Duration(round(situation.now - (situation.injected or situation.now)))),
        "description": what.strip().removesuffix("."),
        "affected": f"{affected} ({felt})" if felt and felt not in affected else affected,
        "impact": situation.impact,
        "action": _listed(done, "none yet") if lists else "; ".join(done) or "investigating",
        "next": _listed([upcoming], "") if lists else upcoming,
        "eta": "resolved" if over else UNKNOWN,
        "root_cause": (causes or "none") if over else UNKNOWN,
        "resolution": "; ".join(done) or "nothing was done; the system recovered by itself",
        "prevention": _listed([], "what the post-mortem of this drill finds"),
        "postmortem": f"{situation.run or 'postmortem.md'}{due}",
        "number": str(sum(line.status in ("investigating", "identified", "monitoring") for line in told)),
        "channel": situation.channel or "none",
        "commander": situation.holder("commander") or NOBODY,
        "tech_lead": situation.holder("technical") or situation.holder("tech") or NOBODY,
        "communications": situation.holder("communications") or NOBODY,
        "owner": situation.holder("owner") or situation.holder("commander") or NOBODY,
    }
