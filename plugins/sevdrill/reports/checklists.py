"""The SOP's checklists, ticked from what happened.

Only what the run proves is ticked. What a tool cannot know is left to people, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sevdrill.checks import Result
from sevdrill.lines import MessageLine
from sevdrill.plan import steady_series
from sevdrill.reports.case import Case, short, span
from sevdrill.reports.logs import errors_in_logs

__all__ = ["Item", "Ticked", "proof_of", "ticked"]


@dataclass(frozen=True)
class Item:
    """One item of a checklist."""

    text: str
    done: bool | None
    """None: only people can say."""
    proof: str


@dataclass(frozen=True)
class Ticked:
    """One checklist of the SOP."""

    name: str
    phase: str
    source: str
    within: str
    items: tuple[Item, ...]


Finding = tuple[bool | None, str]
PEOPLE: Finding = (None, "for people to say")


class _Facts:
    def __init__(self, case: Case) -> None:
        self.case = case

    def mark(self, name: str) -> Finding:
        when = self.case.verdict.since_injected(name)
        return (False, f"never {name.replace('_', ' ')}") if when is None else (True, f"after {span(when)}")

    def declared(self) -> Finding:
        done, why = self.mark("declared")
        severity = self.case.scenario.severity
        return (
            (True, f"declared {severity} {why}")
            if done
            else (None, f"the runbook declares nothing; drilled as {severity}")
        )

    def told(self, *audiences: str, status: str = "") -> Finding:
        messages = [m for m in self.case.timeline.of(MessageLine) if m.t >= self.case.zero]
        for message in messages:
            if message.to in audiences and status in ("", message.status):
                return True, f"told {message.to} ({message.status}) after {short(message.t - self.case.zero)}"
        return False, f"no message{f' {status}' if status else ''} to {' or '.join(audiences)}"

    def attempted(self) -> Finding:
        if self.case.timeline.run.mode == "live":
            return self.mark("mitigated")
        steps = [s for s in self.case.verdict.steps if s.part == "respond" and not s.is_message]
        return (True, f"{steps[0].title}") if steps else (False, "no step of the runbook was tried")

    def fixed(self) -> Finding:
        return self.mark("mitigated")

    def healthy(self) -> Finding:
        return self.mark("recovered")

    def evidence(self) -> Finding:
        folder = self.case.folder / "evidence"
        count = sum(1 for path in folder.iterdir() if path.is_file()) if folder.is_dir() else 0
        return (True, f"{count} files in evidence/") if count else (False, "evidence/ is empty")

    def users(self) -> Finding:
        worst = self.case.worst
        if worst is None:
            return None, "the drill has no load, so nobody counted"
        return True, f"at worst {worst.error_rate:.0%} of requests failed (p95 {short(worst.p95)})"

    def affected(self) -> Finding:
        services = sorted({service for fault in self.case.scenario.inject for service in fault.services})
        felt = [p.title for s, p in self.case.probes.items() if s.startswith("effect:")]
        what = f"broken: {', '.join(services) or 'nothing'}"
        return True, what + (f"; users feel: {', '.join(felt)}" if felt else "")

    def started(self) -> Finding:
        return (
            (True, f"{self.case.wall(self.case.zero):%H:%M:%S} UTC")
            if "injected" in self.case.verdict.marks
            else PEOPLE
        )

    def changed(self) -> Finding:
        changes = [fault.title for fault in self.case.scenario.inject]
        return (True, f"the drill injected: {'; '.join(changes)}") if changes else (True, "nothing was injected")

    def data(self) -> Finding:
        checks = [c for c in self.case.verdict.checks if c.invariant]
        if not checks:
            return None, "the drill checks no data"
        bad = [c for c in checks if c.finding.result is not Result.HOLDS]
        why = "; ".join(f"{c.title}: {c.finding.why}" for c in bad or checks)
        return (None if any(c.finding.result is Result.UNKNOWN for c in bad) else True), why

    def normal(self, *words: str) -> Finding:
        """The last look at the probes of the steady state whose titles have one of these words."""
        found = {n: p for n, p in steady_series(self.case.scenario).items() if any(w in p.title.lower() for w in words)}
        if not found or "injected" not in self.case.verdict.marks:
            return None, "no probe of the drill looks at it"
        lasts = [(p.title, self.case.series.get(n, [None])[-1]) for n, p in found.items()]
        bad = [f"{title}: {last.why if last else 'never looked at'}" for title, last in lasts if not (last and last.ok)]
        return (False, "; ".join(bad)) if bad else (True, "; ".join(f"{t}: {s.why or 'good'}" for t, s in lasts if s))

    def quiet_since(self) -> Finding:
        recovered = self.case.verdict.marks.get("recovered")
        if recovered is None:
            return False, "never recovered"
        for name, probe in steady_series(self.case.scenario).items():
            for sample in self.case.series.get(name, ()):
                if (
                    sample.start > recovered.hi
                    and sample.ok is False
                    and sample.end < self.case.phases.get("verify", 0)
                ):
                    return False, f"{probe.title}: {sample.why}"
        return True, "every probe stayed good once recovered"

    def green(self) -> Finding:
        found = [c for c in self.case.verdict.checks if c.check == "alert_resolved"]
        if not found:
            return None, "the drill checks no alert"
        bad = [c for c in found if c.finding.result is not Result.HOLDS]
        return (False, bad[0].finding.why) if bad else (True, f"{len(found)} alert(s) stopped firing")

    def logs(self) -> Finding:
        lines = errors_in_logs(self.case, most=1)
        return (
            (True, f"{lines[0].source}: {lines[0].text}") if lines else (None, "no line in evidence/ speaks of trouble")
        )

    def recorded(self) -> Finding:
        return True, "timeline.jsonl and this report"


RULES: tuple[tuple[str, Callable[[_Facts], Finding]], ...] = (
    (r"status page \(resolved\)", lambda f: f.told("status-page", status="resolved")),
    (r"status page", lambda f: f.told("status-page")),
    (r"severity assessed|severity level", lambda f: f.declared()),
    (r"on-call engineer paged", lambda f: f.mark("paged")),
    (r"acknowledge incident", lambda f: f.mark("acknowledged") if "acknowledged" in f.case.verdict.marks else PEOPLE),
    (r"notify stakeholders|stakeholders notified", lambda f: f.told("stakeholders", "leadership")),
    (r"team notified|internal team communication", lambda f: f.told("team")),
    (r"mitigation attempted", lambda f: f.attempted()),
    (r"immediate fix applied|fix deployed|resolution implemented|can we contain", lambda f: f.fixed()),
    (r"service verified healthy|system verified working|all services healthy|service health", lambda f: f.healthy()),
    (r"error rate", lambda f: f.normal("error rate")),
    (r"no new errors", lambda f: f.quiet_since()),
    (r"performance metrics", lambda f: f.normal("p95")),
    (r"shows green", lambda f: f.green()),
    (r"logs and metrics captured|error logs|query logs", lambda f: f.evidence()),
    (r"what do logs tell", lambda f: f.logs()),
    (r"how many users|number of users", lambda f: f.users()),
    (r"what is affected|impact scope|blast radius", lambda f: f.affected()),
    (r"when did", lambda f: f.started()),
    (r"what changed|what triggered", lambda f: f.changed()),
    (r"data at risk", lambda f: f.data()),
    (r"timeline created|document timeline|timeline document|incident documented", lambda f: f.recorded()),
    (r"database connectivity", lambda f: f.normal("database", "db ")),
    (r"redis connectivity", lambda f: f.normal("redis", "cache")),
    (r"queue depth", lambda f: f.normal("queue")),
    (r"disk space", lambda f: f.normal("disk")),
    (r"memory usage", lambda f: f.normal("memory")),
    (r"cpu usage", lambda f: f.normal("cpu")),
    (r"post-mortem (document|written)|write post-mortem", lambda f: (None, "a draft is in postmortem.md")),
)


def proof_of(case: Case, text: str) -> Finding:
    """Whether the run proves an item of a checklist done, in the SOP's words, and by what."""
    rule = next((find for words, find in RULES if re.search(words, text, re.IGNORECASE)), None)
    return rule(_Facts(case)) if rule is not None else PEOPLE


def ticked(case: Case) -> Iterator[Ticked]:
    """Every checklist that the SOP has for this severity."""
    for checklist in case.policy.checklists_for(case.scenario.severity):
        items = tuple(Item(text, *proof_of(case, text)) for text in checklist.items)
        within = f"within {short(checklist.within)}" if checklist.within is not None else ""
        yield Ticked(checklist.name, checklist.phase, case.policy.cited(checklist.source), within, items)
