"""Points in time of a run, read from its timeline: what happened when, and which lines say so.

Points that were found by polling are derived here, from the samples, so that there is one truth about them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, get_args

from sevdrill.plan import alert_series, effect_series, steady_series
from sevdrill.ports import Load
from sevdrill.scenario import Scenario
from sevdrill.sop import Status
from sevdrill.stretches import Stretch, last_stretch, turned
from sevdrill.timeline import Interval, Line, MarkLine, MessageLine, PageLine, PhaseLine, Sample, StepLine, Timeline

__all__ = ["Mark", "Recorded"]

POLLED = frozenset({"symptom", "detected", "paged", "recovered"})
"""Marks that nobody can say: they are in the samples, or nowhere."""


TELLING = frozenset(get_args(Status))
"""The statuses of messages that tell how things stand; an escalation, say, tells nobody outside."""


class Mark(NamedTuple):
    """A point in time, in seconds since the run began, and the numbers of the lines that it rests on."""

    when: Interval
    lines: tuple[int, ...]


class Recorded:
    """What a timeline holds, ordered for judging."""

    def __init__(self, timeline: Timeline, scenario: Scenario) -> None:
        self.timeline, self.scenario = timeline, scenario
        self.phases: dict[str, PhaseLine] = {}
        for line in timeline.of(PhaseLine):
            self.phases.setdefault(line.name, line)
        self.samples: dict[str, list[Sample]] = {}
        for sample in sorted(timeline.of(Sample), key=lambda s: (s.start, s.end)):
            self.samples.setdefault(sample.series, []).append(sample)
        self.steps = tuple(line for line in timeline.of(StepLine) if line.event == "ended")
        self.marks: dict[str, Mark] = {}
        self._find()

    def lines(self, *found: Line | None) -> tuple[int, ...]:
        """The numbers of these lines, each once, in their order."""
        return tuple(sorted({self.timeline.number(line) for line in found if line is not None}))

    def around(self, samples: list[Sample]) -> tuple[int, ...]:
        """The numbers of the first and the last of these samples."""
        return self.lines(samples[0], samples[-1]) if samples else ()

    def phase(self, name: str) -> float | None:
        """When a phase began, in seconds since the run began."""
        return self.phases[name].t if name in self.phases else None

    def of(self, series: str, *, since: float = float("-inf"), until: float = float("inf")) -> list[Sample]:
        """The samples of a series that ended in a time, in their order."""
        return [s for s in self.samples.get(series, []) if since <= s.end <= until]

    @property
    def start(self) -> Mark | None:
        """When the fault was injected, or the quiet time began."""
        return self.marks.get("injected") or self.marks.get("quiet")

    def _find(self) -> None:
        for line in self.timeline.of(MarkLine):
            if line.name not in POLLED:
                self.marks.setdefault(line.name, Mark(Interval(line.lo, line.hi), self.lines(line)))
        if "injected" not in self.marks:
            return
        injected = self.marks["injected"].when
        found: dict[str, Mark | None] = {
            "symptom": self._first(effect_series(self.scenario), injected.lo),
            "detected": self._first(alert_series(self.scenario), injected.lo),
            "paged": self._paged(injected),
            "recovered": self._recovered(injected),
        }
        found |= self._said(injected)
        found |= dict(self._done())
        self.marks |= {name: mark for name, mark in found.items() if mark is not None and name not in self.marks}

    def _first(self, series: Iterable[str], injected: float) -> Mark | None:
        changes = [change for name in series if (change := turned(self.samples.get(name, []), injected))]
        if not changes:
            return None
        before, first = min(changes, key=lambda change: change[1].end)
        lo = injected if before is None else max(before.start, injected)
        return Mark(Interval(min(lo, first.end), first.end), self.lines(before, first))

    def _paged(self, injected: Interval) -> Mark | None:
        wanted = {detector.alert for detector in self.scenario.detect}
        for page in self.timeline.of(PageLine):
            named = {str(alert.get("name")) for alert in page.alerts}
            if page.kind == "page" and page.status == "firing" and page.hi >= injected.lo and named & wanted:
                return Mark(Interval(max(page.lo, injected.lo), page.hi), self.lines(page))
        return None

    def _said(self, injected: Interval) -> dict[str, Mark]:
        messages = [m for m in self.timeline.of(MessageLine) if m.t >= injected.lo and m.status in TELLING]
        return {"announced": Mark(Interval(messages[0].t, messages[0].t), self.lines(messages[0]))} if messages else {}

    def _done(self) -> Iterator[tuple[str, Mark | None]]:
        """What the runbook's steps mark."""
        acts = [s for s in self.steps if s.part == "respond" and not s.is_message]
        done = [s for s in acts if s.ok]
        if done:
            yield "responded", self._ended(min(done, key=lambda s: s.hi))
        if acts and len(done) == len(acts) == sum(not s.is_message for s in self.scenario.respond):
            yield "mitigated", self._ended(max(done, key=lambda s: s.hi))
        for mark in {step.mark for step in self.steps if step.mark}:
            # Done when the last of them is, and only if all are.
            setting = [step for step in self.steps if step.mark == mark]
            yield mark, self._ended(max(setting, key=lambda s: s.hi)) if all(step.ok for step in setting) else None

    def _ended(self, step: StepLine) -> Mark:
        return Mark(Interval(step.lo, step.hi), self.lines(step))

    # -- recovery ---------------------------------------------------------------------------------------------------

    def _recovered(self, injected: Interval) -> Mark | None:
        """The start of the last good stretch that reaches the end of verify, over all steady-state probes.

        The steady state must have held before the closing steps: what only they brought about (the outside world
        healed, say) is no recovery by the runbook.
        """
        verify, restore = self.phase("verify"), self.phase("restore")
        if verify is None or restore is None:
            return None
        close = self.phase("close")
        # At one moment of the last second: between the engine's look and its next phase the machine may have stalled.
        if not any(self._held_at((verify if close is None else close) - tenth / 10) for tenth in range(11)):
            return None
        steady, every = self.scenario.steady_state, self.scenario.steady_state.every
        began: list[Stretch] = []
        for series, probe in steady_series(self.scenario).items():
            # Users leave when verify begins; every other probe goes on until the restore.
            until = verify if Load in probe.needs else restore
            stretch = last_stretch(self.of(series, until=until), every)
            reaches = stretch is not None and until - stretch.last.end <= 2 * every + probe.timeout
            if stretch is None or not reaches or stretch.last.start - max(stretch.began.hi, injected.hi) < steady.hold:
                return None
            began.append(stretch)
        lo, hi = max(b.began.lo for b in began), max(b.began.hi for b in began)
        samples = [sample for stretch in began for sample in (stretch.first, stretch.last)]
        return Mark(Interval(max(lo, injected.lo), max(hi, injected.hi)), self.lines(*samples))

    def _held_at(self, moment: float) -> bool:
        steady = self.scenario.steady_state
        for series, probe in steady_series(self.scenario).items():
            stretch = last_stretch(self.of(series, until=moment), steady.every)
            if stretch is None or stretch.length < steady.hold:
                return False
            if moment - stretch.last.end > 2 * steady.every + probe.timeout:
                return False
        return True
