"""The post-mortem: the SOP's own template, filled in with what was measured.

What only people can know is left as a blank that says so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from sevdrill.escaping import markdown as _md
from sevdrill.judge import Outcome, Verdict
from sevdrill.reports.terminal import where
from sevdrill.scenario import Scenario
from sevdrill.severity import Policy
from sevdrill.timeline import FaultLine, Interval, MessageLine, PageLine, Sample, StepLine, Timeline

__all__ = ["postmortem"]

BLANK = "_(to be filled in by people)_"
DEFAULT_SECTIONS = ("Summary", "Impact", "Timeline", "Root Cause", "Resolution", "Action Items", "Lessons Learned")


class _Writer:
    def __init__(self, timeline: Timeline, scenario: Scenario, policy: Policy, verdict: Verdict) -> None:
        self.timeline, self.scenario, self.policy, self.verdict = timeline, scenario, policy, verdict
        self.wall = dt.datetime.fromisoformat(timeline.run.wall)

    def at(self, seconds: float) -> str:
        try:
            return f"{self.wall + dt.timedelta(seconds=seconds):%H:%M:%S}"
        except OverflowError:
            return f"{seconds:.0f} s"

    def sections(self) -> dict[str, Callable[[], str]]:
        """What we can say, by the words that the SOPs' headings are made of."""
        return {
            "summary": self.summary,
            "impact": self.impact,
            "timeline": self.story,
            "root cause": self.cause,
            "resolution": self.resolution,
            "action items": self.actions,
            "went well": self.well,
            "could be better": self.better,
            "went wrong": self.better,
            "lessons": lambda: f"What went well\n\n{self.well()}\n\nWhat could be improved\n\n{self.better()}",
        }

    def document(self) -> str:
        shape = self.policy.postmortem
        title = shape.title if shape is not None else "Post-Mortem: [Title]"
        name = _md(self.scenario.drill)
        lines = [f"# [DRILL] {title.replace('[Title]', name).replace('[Incident Title]', name) or name}", ""]
        lines += [f"**Outcome of the drill:** {self.verdict.outcome}", ""]
        lines += self.reasons()
        lines += [""] if self.verdict.reasons else []
        for field in shape.fields if shape is not None else ():
            lines.append(f"**{field.heading}**: {self.field(field.heading)}")
        headings = [section.heading for section in shape.sections] if shape is not None else list(DEFAULT_SECTIONS)
        for heading in headings:
            words = heading.lower()
            body = next((write() for key, write in self.sections().items() if key in words), BLANK)
            lines += ["", f"## {heading}", "", body]
        return "\n".join(lines) + "\n"

    def field(self, heading: str) -> str:
        known = {
            "date": f"{self.wall:%Y-%m-%d}",
            "duration": self.duration(),
            "severity": self.scenario.severity,
            "author": "sevdrill (drill)",
            "impact": _md(self.scenario.about) or BLANK,
        }
        return next((value for key, value in known.items() if key in heading.lower()), BLANK)

    def duration(self) -> str:
        time = self.verdict.since_injected("recovered")
        return _seconds(time) if time is not None else "not recovered while the drill watched"

    def summary(self) -> str:
        run = self.timeline.run
        return (
            f"A drill, not an incident. {_md(self.scenario.about)}\n\n"
            f"- Date: {self.wall:%Y-%m-%d}, {self.wall:%H:%M} UTC\n- Severity: {self.scenario.severity}\n"
            f"- Judged by: {_md(self.policy.document.title)} ({_md(run.policy)})\n- Stack: {_md(run.stack)}\n"
            f"- Runbook: {_md(self.scenario.runbook) or BLANK}"
        )

    def impact(self) -> str:
        worst = max(
            (s for s in self.timeline.of(Sample) if s.series.startswith("steady:") and s.ok is False and s.value),
            key=lambda s: s.value or 0.0,
            default=None,
        )
        broken = [c for c in self.verdict.checks if c.invariant and c.finding.result != "holds"]
        loss = "; ".join(f"{_md(c.title)}: {_md(c.finding.why)}" for c in broken) or "none found"
        seen = f"\n- Worst that users saw: {_md(worst.why)}" if worst is not None and worst.why else ""
        return f"- Duration: {self.duration()}\n- Users affected: {BLANK}{seen}\n- Data loss: {loss}"

    def story(self) -> str:
        events: list[tuple[float, str]] = []
        names = {"injected": "Fault injected", "symptom": "Users feel it", "detected": "Alert fires"}
        names |= {"responded": "First response done", "rolled_back": "Rolled back", "mitigated": "Mitigated"}
        names |= {"recovered": "Recovered: steady state is back"}
        events += [(when.hi, names[name]) for name, when in self.verdict.marks.items() if name in names]
        for line in self.timeline.lines:
            if isinstance(line, FaultLine) and line.event in ("on", "without-effect", "undone", "dirty"):
                events.append((line.t, f"{_md(line.title)}: {line.event}"))
            elif isinstance(line, StepLine) and line.event == "ended" and not line.is_message:
                events.append((line.t, f"{_md(line.title)}: {'done' if line.ok else 'FAILED'} ({_md(line.why)})"))
            elif isinstance(line, MessageLine):
                events.append((line.t, f"Announced to {_md(line.to)}: {_md(line.status)}"))
            elif isinstance(line, PageLine):
                named = ", ".join(_md(str(alert.get("name"))) for alert in line.alerts)
                events.append((line.hi, f"{_md(line.kind.capitalize())} delivered, {_md(line.status)}: {named}"))
        start = self.verdict.marks.get("injected", Interval(0.0, 0.0)).lo
        rows = [f"| {self.at(when)} | {text} |" for when, text in sorted(events) if when >= start]
        return "\n".join(["| Time | Event |", "| ---- | ----- |", *rows])

    def cause(self) -> str:
        faults = "\n".join(f"- {_md(fault.title)}" for fault in self.scenario.inject)
        return f"The drill injected:\n\n{faults}" if faults else "Nothing was injected: a quiet drill."

    def resolution(self) -> str:
        steps = [s for s in self.verdict.steps if not s.is_message]
        return "\n".join(f"1. {_md(s.title)}: {_md(s.why)}" for s in steps) or "No step of the runbook was done."

    def actions(self) -> str:
        missed = [f"- [ ] {_md(reason)} - {BLANK} - {BLANK}" for reason in self.verdict.reasons]
        return "\n".join(missed) or f"- [ ] Nothing was missed. {BLANK}"

    def well(self) -> str:
        met = [r for r in self.verdict.targets if r.met and r.measured is not None]
        lines = [
            f"- {r.target.key}: {_seconds(r.measured)} against {r.target.limit} ({_md(r.target.source)})"
            for r in met
            if r.measured is not None
        ]
        lines += [f"- {_md(c.title)}: {_md(c.finding.why)}" for c in self.verdict.checks if c.finding.result == "holds"]
        return "\n".join(lines) or BLANK

    def better(self) -> str:
        if self.verdict.outcome is Outcome.PASSED:
            return BLANK
        return "\n".join(self.reasons())

    def reasons(self) -> list[str]:
        """Each reason with the lines of the timeline that it rests on."""
        found = zip(self.verdict.reasons, self.verdict.rests_on, strict=True)
        return [f"- {_md(reason)} ({where(lines)})" for reason, lines in found]


def _seconds(interval: Interval) -> str:
    return f"{interval.hi:.1f} s (±{interval.width / 2:.1f} s)"


def postmortem(timeline: Timeline, scenario: Scenario, policy: Policy, verdict: Verdict) -> str:
    """The post-mortem of one drill, as Markdown in the shape of the SOP in force."""
    return _Writer(timeline, scenario, policy, verdict).document()
