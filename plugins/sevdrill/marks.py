"""Points in time of a run, read from its timeline: what happened when, and which lines say so.

Points that were found by polling are derived here, from the samples, so that there is one truth about them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, get_args

from sevdrill.detectors import alerts_of
from sevdrill.lines import Interval, Line, MarkLine, MessageLine, PageLine, PersonLine, PhaseLine, Sample, StepLine
from sevdrill.plan import detect_series, effect_series, steady_series
from sevdrill.ports import Load
from sevdrill.scenario import Scenario
from sevdrill.sop import Status
from sevdrill.stretches import Stretch, good_times, last_stretch, turned
from sevdrill.timeline import Timeline

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
        self.untrue: tuple[PersonLine, ...] = ()
        """What people called mitigated although it was not."""
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
            "detected": self._first(detect_series(self.scenario), injected.lo),
            "paged": self._paged(injected),
            "recovered": self._recovered(injected),
        }
        found |= self._said(injected)
        found |= dict(self._done())
        found |= dict(self._people(injected, found))
        self.marks |= {name: mark for name, mark in found.items() if mark is not None and name not in self.marks}

    def _first(self, series: Iterable[str], injected: float) -> Mark | None:
        changes = [change for name in series if (change := turned(self.samples.get(name, []), injected))]
        if not changes:
            return None
        before, first = min(changes, key=lambda change: change[1].end)
        lo = injected if before is None else max(before.start, injected)
        return Mark(Interval(min(lo, first.end), first.end), self.lines(before, first))

    def _paged(self, injected: Interval) -> Mark | None:
        wanted = set(alerts_of(self.scenario.detect))
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

    # -- people -----------------------------------------------------------------------------------------------------

    def _people(self, injected: Interval, found: Mapping[str, Mark | None]) -> Iterator[tuple[str, Mark | None]]:
        """What people did, and what it counts for in the mode of the run."""
        mode = self.timeline.run.mode
        over = min((at for at in map(self.phase, ("close", "verify", "restore")) if at is not None), default=math.inf)
        mine = [line for line in self.timeline.of(PersonLine) if line.typed >= injected.lo and line.t <= over]
        answers = [line for line in mine if line.does == "ack"]
        acknowledged = self._typed(answers[0], injected) if answers else None
        yield "acknowledged", acknowledged
        if mode == "observe":
            # Nobody acts: it is mitigated when the stack itself made it so.
            yield "mitigated", found["recovered"]
        if mode == "live":
            # What an SOP calls its response time runs until somebody is on it.
            yield "responded", acknowledged
            said = [line for line in mine if line.does == "mitigated"]
            held = self._held_times(injected) if said else []
            true = [line for line in said if self._was_so(line.t, held)]
            self.untrue = tuple(line for line in said if line not in true)
            yield "mitigated", self._typed(true[0], injected) if true else None
            declared = [m for m in self.timeline.of(MessageLine) if m.status == "declared" and m.t >= injected.lo]
            if declared:
                yield "declared", Mark(Interval(declared[0].t, declared[0].t), self.lines(declared[0]))

    def _typed(self, line: PersonLine, injected: Interval) -> Mark:
        return Mark(Interval(max(min(line.typed, line.t), injected.lo), line.t), self.lines(line))

    def _was_so(self, said: float, held: Sequence[Interval]) -> bool:
        """Whether the steady state held soon after somebody said that it is mitigated.

        A window of the load shows for its length what is over. And a service may still be coming up: it has the time
        for which the steady state must hold, which is the drill's own measure of a moment.
        """
        probes = steady_series(self.scenario).values()
        lag = max(probe.lag for probe in probes)
        until = said + lag + 2 * self.scenario.steady_state.hold
        # The last look before the drill ended may have been a moment before the word.
        since = said - self.scenario.steady_state.every * 2 - max(probe.timeout for probe in probes)
        return any(time.lo <= until and time.hi >= since for time in held)

    def _held_times(self, injected: Interval) -> list[Interval]:
        """When the steady state had held for `hold` again, over all its probes; not as it still held from before."""
        steady = self.scenario.steady_state
        found = [Interval(-math.inf, math.inf)]
        for series in steady_series(self.scenario):
            mine = [
                Interval(time.lo + steady.hold, time.hi)
                for time in good_times(self.samples.get(series, []), steady.every)
                if time.width >= steady.hold
            ]
            found = list(_both(found, mine))
        return [time for time in found if steady.throughout or time.lo > injected.lo]

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


def _both(ones: Sequence[Interval], others: Sequence[Interval]) -> Iterator[Interval]:
    """The times that are in both; each of the two in order."""
    left, right = 0, 0
    while left < len(ones) and right < len(others):
        one, other = ones[left], others[right]
        lo, hi = max(one.lo, other.lo), min(one.hi, other.hi)
        if lo <= hi:
            yield Interval(lo, hi)
        if one.hi < other.hi:
            left += 1
        else:
            right += 1
