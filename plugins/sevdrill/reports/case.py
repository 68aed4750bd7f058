"""One judged run, as every report looks at it: what happened, when, and what users saw."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from sevdrill.checks import Result
from sevdrill.judge import Outcome, TargetResult, Verdict
from sevdrill.lines import (
    FaultLine,
    Interval,
    MessageLine,
    Note,
    PageLine,
    PersonLine,
    PhaseLine,
    ReadLine,
    Sample,
    StepLine,
    Stopped,
    Users,
)
from sevdrill.plan import detect_series, effect_series, steady_series, stop_series
from sevdrill.ports import Load
from sevdrill.probes import Probe
from sevdrill.scenario import Scenario
from sevdrill.severity import Policy
from sevdrill.timeline import Timeline

__all__ = ["MARKS", "Case", "Event", "Seen", "about", "short", "span"]

MARKS = {
    "injected": "Fault injected",
    "quiet": "Quiet time begins",
    "symptom": "Users feel it",
    "detected": "Alert fires",
    "paged": "Page delivered",
    "acknowledged": "Acknowledged",
    "declared": "Incident declared",
    "announced": "First message",
    "responded": "First response done",
    "rolled_back": "Rolled back",
    "mitigated": "Mitigated",
    "recovered": "Recovered",
    "closed": "Closed",
    "restored": "Stack restored",
}
"""The marks, in the order of an incident, as people say them."""

# How the load probe said what it saw in timelines of version 1, which have no numbers of it.
_LOAD = re.compile(r"([\d.]+)% of (\d+) requests failed, p95 ([\d.]+) ms")


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    at: float
    """Seconds since the run began."""
    kind: str
    """fault, alert, page, message, step, probe, check, mark or note."""
    text: str
    ok: bool | None = None
    """Whether it is as it should be; None where that is no question."""
    until: float | None = None
    """Its end, where it took a time."""


@dataclass(frozen=True)
class Seen:
    """What users saw in one window of the load."""

    at: float
    error_rate: float
    requests: int
    p95: float
    """In seconds."""


def short(seconds: float) -> str:
    """A time for people, in two or three digits: ``850 ms``, ``12.3 s``, ``4.5 min``, ``2 h``."""
    if abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms"
    if abs(seconds) < 120:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    if abs(seconds) < 7200:
        return f"{seconds / 60:.1f} min".replace(".0 min", " min")
    return f"{seconds / 3600:.1f} h".replace(".0 h", " h")


def span(interval: Interval) -> str:
    """A measured time: its upper end, and how far off it may be."""
    return f"{short(interval.hi)} (±{short(interval.width / 2)})"


def _between(lo: float, hi: float) -> str:
    return short(hi) if short(lo) == short(hi) else f"{short(lo)} to {short(hi)}"


def about(reason: str) -> str:
    """The first line of a reason, as the end of a sentence."""
    return reason.partition("\n")[0].rstrip(".")


def told(line: PersonLine) -> str:
    """What a person said or did, in a few words."""
    does = {
        "ack": "acknowledged",
        "mitigated": "said that it is mitigated",
        "note": "noted",
        "hint": "asked for a hint",
    }
    if line.does == "role":
        return f"{line.by} is {line.what}"
    said = ": ".join(filter(None, (does.get(line.does, line.does), line.text)))
    return f"{line.by} {said}"


@dataclass(frozen=True)
class Case:
    """One judged run; ``folder`` holds its evidence."""

    timeline: Timeline
    scenario: Scenario
    policy: Policy
    verdict: Verdict
    folder: Path

    # -- times --------------------------------------------------------------------------------------------------------

    @cached_property
    def began(self) -> dt.datetime:
        """Time of day of the run's beginning."""
        return dt.datetime.fromisoformat(self.timeline.run.wall)

    def wall(self, at: float) -> dt.datetime:
        """Time of day of a moment of the run."""
        try:
            return self.began + dt.timedelta(seconds=at)
        except OverflowError:  # a timeline that was changed by hand
            return self.began

    @cached_property
    def zero(self) -> float:
        """The moment that reports count from: the injection, or else the beginning of the quiet time or of the run."""
        mark = self.verdict.marks.get("injected") or self.verdict.marks.get("quiet")
        return mark.lo if mark is not None else 0.0

    @cached_property
    def end(self) -> float:
        """When the last line was written."""
        return max((line.t for line in self.timeline.lines), default=0.0)

    @cached_property
    def phases(self) -> dict[str, float]:
        """When each phase began."""
        found: dict[str, float] = {}
        for line in self.timeline.of(PhaseLine):
            found.setdefault(line.name, line.t)
        return found

    # -- samples ------------------------------------------------------------------------------------------------------

    @cached_property
    def series(self) -> dict[str, list[Sample]]:
        """Every series of samples, by time."""
        found: dict[str, list[Sample]] = {}
        for sample in sorted(self.timeline.of(Sample), key=lambda s: (s.start, s.end)):
            found.setdefault(sample.series, []).append(sample)
        return found

    @cached_property
    def probes(self) -> dict[str, Probe]:
        """The probes of the steady state, of what users feel, and of what ends the drill, by series."""
        return {**steady_series(self.scenario), **effect_series(self.scenario), **stop_series(self.scenario)}

    def title(self, series: str) -> str:
        """A series in a few words."""
        kind, _, rest = series.partition(":")
        name = rest.partition(":")[2] or rest
        words = {"steady": "steady", "effect": "users feel", "stop": "stop if", "alert": "alert", "fault": "fault"}
        return f"{words.get(kind, kind)}: {name}" if rest else kind

    @cached_property
    def _load(self) -> list[Sample]:
        name = next((n for n, probe in steady_series(self.scenario).items() if Load in probe.needs), "")
        return self.series.get(name, [])

    @cached_property
    def hung(self) -> list[float]:
        """When no request ended in a window, so that nothing can be said but that users wait."""
        return [sample.end for sample in self._load if sample.users is not None and not sample.users.requests]

    @cached_property
    def seen(self) -> list[Seen]:
        """What users saw, window by window: error rate and response time of the load."""
        found = []
        for sample in self._load:
            seen = sample.users
            if seen is None and self.timeline.run.version == 1 and (match := _LOAD.match(sample.why)) is not None:
                share, requests, p95 = float(match[1]) / 100, int(match[2]), float(match[3]) / 1000
                seen = Users(requests=requests, failures=round(share * requests), p95=p95)
            if seen is not None and seen.requests and seen.p95 is not None:
                found.append(Seen(sample.end, seen.failures / seen.requests, seen.requests, seen.p95))
        return found

    @cached_property
    def worst(self) -> Seen | None:
        """The window, after the injection, in which most requests failed."""
        after = [s for s in self.seen if s.at >= self.zero]
        return max(after, key=lambda s: (s.error_rate, s.p95), default=None)

    def changes(self, series: str) -> Iterator[tuple[float, bool | None, str]]:
        """When a series changed, to what, and what was seen; its first sample is a change."""
        last: tuple[bool | None] | None = None
        for sample in self.series.get(series, ()):
            if last is None or sample.ok != last[0]:
                yield sample.end, sample.ok, sample.why
            last = (sample.ok,)

    # -- the story ----------------------------------------------------------------------------------------------------

    @cached_property
    def events(self) -> list[Event]:
        """What happened, in time order: faults, alerts, pages, messages, steps, changes of probes, marks."""
        found = [*self._lines(), *self._alerts(), *self._changes(), *self._checked()]
        if not self.timeline.ended:
            found.append(Event(self.end, "note", "the timeline ends here: the run was killed", False))
        for name, when in self.verdict.marks.items():
            found.append(Event(when.hi, "mark", MARKS.get(name, name)))
        return sorted(found, key=lambda event: event.at)

    def _lines(self) -> Iterator[Event]:
        begun: dict[tuple[str, int], float] = {}
        for line in self.timeline.lines:
            match line:
                case FaultLine(event="prepared"):
                    pass
                case FaultLine():
                    bad = line.event in ("failed", "without-effect", "dirty")
                    text = f"{line.title}: {line.event.replace('-', ' ')}{f' ({line.why})' if line.why else ''}"
                    yield Event(line.t, "fault", text, False if bad else None)
                case StepLine(event="began"):
                    begun[line.part, line.index] = line.t
                case StepLine(event="ended"):
                    what = "done" if line.ok else "FAILED"
                    start = begun.get((line.part, line.index), line.lo or line.t)
                    yield Event(start, "step", f"{line.title}: {what}: {line.why}", line.ok, line.hi or line.t)
                case MessageLine():
                    yield Event(line.t, "message", f"told {line.to}: {line.status}")
                case PersonLine() if line.does != "announce":
                    yield Event(line.t, "note", told(line))
                case PageLine():
                    named = ", ".join(str(alert.get("name")) for alert in line.alerts)
                    yield Event(line.hi, "page", f"{line.kind} delivered, {line.status}: {named}")
                case Stopped():
                    yield Event(line.t, "note", f"the run was stopped: {line.reason}", False)
                case Note():
                    yield Event(line.t, "note", line.text)
                case _:
                    pass

    def _checked(self) -> Iterator[Event]:
        reads = {line.check: line.t for line in self.timeline.of(ReadLine)}
        for index, check in enumerate(self.verdict.checks):
            if index in reads:
                text = f"checked: {check.title}: {check.finding.result}: {check.finding.why}"
                yield Event(reads[index], "check", text, check.finding.result is Result.HOLDS)

    def _alerts(self) -> Iterator[Event]:
        for series, detector in detect_series(self.scenario).items():
            fired = False
            for at, ok, _why in self.changes(series):
                if ok is not None and ok != fired:
                    fired = ok
                    words = ("is seen", "is seen no more") if isinstance(detector, Probe) else ("fires", "stops firing")
                    yield Event(at, "alert", f"{detector.title} {words[0] if ok else words[1]}")

    def _changes(self) -> Iterator[Event]:
        # A probe that flaps a thousand times is no story: its first turns and its last one tell enough.
        for series, probe in self.probes.items():
            words = {"steady": ("is good", "is not good"), "effect": ("is felt", "is not felt")}
            good, what = words.get(series.partition(":")[0], ("is so", "is not so"))
            turns = list(self.changes(series))
            if turns and turns[0][1] is series.startswith("steady:"):
                # It begins as it should be, which is nothing to tell.
                turns = turns[1:]
            shown = turns if len(turns) <= 6 else [*turns[:4], turns[-1]]
            for at, ok, why in shown:
                word = {True: good, False: what, None: "is unknown"}[ok]
                yield Event(at, "probe", f"{probe.title} {word}{f': {why}' if why and ok is not True else ''}")
            if len(turns) > len(shown):
                yield Event(turns[4][0], "probe", f"{probe.title} changes {len(turns) - len(shown)} times more")

    # -- in a sentence ------------------------------------------------------------------------------------------------

    @property
    def sentence(self) -> str:
        """Why the outcome is what it is."""
        verdict = self.verdict
        first = about(verdict.reasons[0]) if verdict.reasons else ""
        more = f" (and {len(verdict.reasons) - 1} more)" if len(verdict.reasons) > 1 else ""
        match verdict.outcome:
            case Outcome.PASSED if self.scenario.quiet is not None:
                return f"Nobody was paged and users felt nothing for {self.scenario.quiet.for_}."
            case Outcome.PASSED:
                time = verdict.since_injected("recovered")
                within = f" in {short(time.hi)}" if time is not None else ""
                return f"Everything that had to be proved was proved, in time: the stack recovered{within}."
            case Outcome.FAILED:
                return f"It failed because of this: {first}{more}."
            case Outcome.INVALID:
                return f"It says nothing about the system: {first}{more}."
        return f"It was ended before it could be judged: {first}{more}."

    @property
    def felt(self) -> str:
        """Whether users felt it before the monitoring saw it, and by how long; empty where nothing was injected."""
        marks = self.verdict.marks
        if "injected" not in marks:
            return ""
        injected = marks["injected"].lo
        felt = marks.get("symptom") or self._first_bad(injected)
        seen = marks.get("detected")
        if felt is None and seen is None:
            return "Neither users nor the monitoring noticed it, as far as the drill looked."
        if felt is None:
            return "The monitoring saw it; users felt nothing, as far as the drill looked."
        if seen is None:
            return f"Users felt it {short(felt.hi - injected)} after the injection; the monitoring never saw it."
        gap = seen.since(felt)
        if gap.lo > 0:
            return f"Users felt it before the monitoring saw it, by {_between(gap.lo, gap.hi)}."
        if gap.hi < 0:
            return f"The monitoring saw it before users felt it, by {_between(-gap.hi, -gap.lo)}."
        return f"Users and the monitoring noticed it at the same time (within {short(max(-gap.lo, gap.hi))})."

    def _first_bad(self, since: float) -> Interval | None:
        found = []
        for name in steady_series(self.scenario):
            for before, sample in pairwise(self.series.get(name, ())):
                if sample.end >= since and sample.ok is False:
                    found.append(Interval(max(since, before.start), sample.end))
                    break
        return min(found, key=lambda when: when.hi, default=None)

    @property
    def missed(self) -> list[TargetResult]:
        """The targets that were missed."""
        return [result for result in self.verdict.targets if result.met is False]
