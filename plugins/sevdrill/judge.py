"""Judges a timeline: what happened when, against which limit, and what that makes of the drill.

Pure: the same timeline, drill and policy give the same verdict, with no stack at hand. Points in time that were found
by polling are derived here, from the samples, so that there is one truth about them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from sevdrill.checks import Check, Finding, Result
from sevdrill.errors import SevdrillError
from sevdrill.plan import alert_series, checks_of, demanded, effect_series, steady_series, targets_of
from sevdrill.ports import Load, Pager
from sevdrill.scenario import Scenario
from sevdrill.severity import LIMITS, Policy, Target
from sevdrill.stretches import became_true, last_stretch
from sevdrill.timeline import (
    End,
    FaultLine,
    Interval,
    MarkLine,
    MessageLine,
    PageLine,
    PhaseLine,
    ReadLine,
    Sample,
    StepLine,
    Stopped,
    Timeline,
)

__all__ = ["CheckResult", "Outcome", "TargetResult", "Verdict", "judge"]

MONITORING_GAP = 10.0
"""Seconds between two proofs that the monitoring is alive; a longer pause leaves its silence without meaning."""
KNOWN_WITHIN = 5.0
"""Seconds for which a look at an alert or a symptom counts, when later ones failed."""


class Outcome(StrEnum):
    """What a drill came to."""

    PASSED = "passed"
    FAILED = "failed"
    INVALID = "invalid"
    """The drill says nothing about the system: baseline, fault or monitoring were not proved."""
    ABORTED = "aborted"


@dataclass(frozen=True)
class TargetResult:
    """A measured time against its limit."""

    target: Target
    mark: str
    measured: Interval | None
    """Seconds from injected, as an interval; None when it was not measured."""
    met: bool | None
    """None when it was not measured and nothing demands it."""


@dataclass(frozen=True)
class CheckResult:
    """A check and what it came to."""

    title: str
    check: str
    finding: Finding
    invariant: bool


@dataclass(frozen=True)
class Verdict:
    """The judgement of a timeline."""

    outcome: Outcome
    reasons: tuple[str, ...]
    """Why it is not passed, the weightiest first; empty when it is."""
    marks: dict[str, Interval]
    """Points in time, in seconds since the run began."""
    targets: tuple[TargetResult, ...]
    checks: tuple[CheckResult, ...]
    steps: tuple[StepLine, ...]
    """The runbook's steps as they ended."""
    waived: tuple[str, ...] = ()
    dirty: bool = False

    def since_injected(self, mark: str) -> Interval | None:
        """The time from injected to a mark, in seconds; None when one of them is absent."""
        if mark not in self.marks or "injected" not in self.marks:
            return None
        return self.marks[mark].since(self.marks["injected"])

    @property
    def times(self) -> dict[str, Interval]:
        """MTTD, MTTA, MTTM, MTTR and rollback time, as far as they were measured, in seconds."""
        found: dict[str, Interval | None] = {
            "mttd": self.since_injected("detected"),
            "mttm": self.since_injected("mitigated"),
            "mttr": self.since_injected("recovered"),
            "rollback": self.since_injected("rolled_back"),
        }
        if "acknowledged" in self.marks and "detected" in self.marks:
            found["mtta"] = self.marks["acknowledged"].since(self.marks["detected"])
        return {name: time for name, time in found.items() if time is not None}


def judge(timeline: Timeline, scenario: Scenario, policy: Policy) -> Verdict:
    """Judge what was recorded."""
    return _Judge(timeline, scenario, policy).verdict()


@dataclass
class _Judge:
    timeline: Timeline
    scenario: Scenario
    policy: Policy
    marks: dict[str, Interval] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.phases: dict[str, float] = {}
        for line in self.timeline.of(PhaseLine):
            self.phases.setdefault(line.name, line.t)
        self.samples: dict[str, list[Sample]] = {}
        for sample in sorted(self.timeline.of(Sample), key=lambda s: (s.start, s.end)):
            self.samples.setdefault(sample.series, []).append(sample)
        self.steps = tuple(line for line in self.timeline.of(StepLine) if line.event == "ended")

    def verdict(self) -> Verdict:
        self._find_marks()
        aborted, invalid = list(self._aborted()), list(self._invalid())
        targets = tuple(self._targets())
        checks = tuple(self._checks())
        broken = [f"{c.title}: {c.finding.why}" for c in checks if c.invariant and c.finding.result is Result.BROKEN]
        failed = [*broken, *self._failed(targets, checks)]
        dirty = any(line.dirty for line in self.timeline.of(End))
        if dirty:
            failed.append("the stack could not be brought back to its steady state")
        if aborted:
            outcome, reasons = Outcome.ABORTED, [*aborted, *invalid]
        elif broken:
            outcome, reasons = Outcome.FAILED, [*failed, *invalid]
        elif invalid:
            outcome, reasons = Outcome.INVALID, invalid
        else:
            outcome, reasons = (Outcome.FAILED, failed) if failed else (Outcome.PASSED, [])
        waived = tuple(f"{w.target}: {w.because}" for w in self.scenario.waive)
        unique = tuple(dict.fromkeys(reasons))
        return Verdict(outcome, unique, dict(self.marks), targets, checks, self.steps, waived, dirty)

    # -- points in time -----------------------------------------------------------------------------------------------

    def _find_marks(self) -> None:
        for line in self.timeline.of(MarkLine):
            self.marks.setdefault(line.name, Interval(line.lo, line.hi))
        if "injected" not in self.marks:
            return
        injected = self.marks["injected"]
        found: dict[str, Interval | None] = {
            "symptom": self._first(effect_series(self.scenario)),
            "detected": self._first(alert_series(self.scenario)),
            "paged": self._paged(injected),
            "recovered": self._recovered(injected),
        }
        messages = [m for m in self.timeline.of(MessageLine) if m.t >= injected.lo and m.status != "declared"]
        if messages:
            found["announced"] = Interval(messages[0].t, messages[0].t)
        acts = [s for s in self.steps if s.part == "respond" and not s.is_message]
        done = [s for s in acts if s.ok]
        if done:
            first = min(done, key=lambda s: s.hi)
            found["responded"] = Interval(first.lo, first.hi)
        if acts and len(done) == len(acts) == sum(not s.is_message for s in self.scenario.respond):
            last = max(done, key=lambda s: s.hi)
            found["mitigated"] = Interval(last.lo, last.hi)
        for mark in {step.mark for step in self.steps if step.mark}:
            # Done when the last of them is, and only if all are.
            setting = [step for step in self.steps if step.mark == mark]
            last = max(setting, key=lambda step: step.hi)
            found[mark] = Interval(last.lo, last.hi) if all(step.ok for step in setting) else None
        self.marks |= {name: when for name, when in found.items() if when is not None and name not in self.marks}

    def _first(self, series: Iterable[str]) -> Interval | None:
        turned = [became_true(self.samples.get(s, []), self.marks["injected"].lo) for s in series]
        return min((t for t in turned if t is not None), default=None, key=lambda t: t.hi)

    def _paged(self, injected: Interval) -> Interval | None:
        wanted = {detector.alert for detector in self.scenario.detect}
        for page in self.timeline.of(PageLine):
            named = {str(alert.get("name")) for alert in page.alerts}
            if page.kind == "page" and page.status == "firing" and page.hi >= injected.lo and named & wanted:
                return Interval(max(page.lo, injected.lo), page.hi)
        return None

    def _recovered(self, injected: Interval) -> Interval | None:
        """The start of the last good stretch that reaches the end of verify, over all steady-state probes.

        The steady state must have held before the closing steps: what only they brought about (the outside world
        healed, say) is no recovery by the runbook.
        """
        if "verify" not in self.phases:
            return None
        close = self.phases.get("close", self.phases["verify"])
        # At one moment of the last second: between the engine's look and its next phase the machine may have stalled.
        if not any(self._held_at(close - tenth / 10) for tenth in range(11)):
            return None
        steady, every = self.scenario.steady_state, self.scenario.steady_state.every
        began: list[Interval] = []
        for series, probe in steady_series(self.scenario).items():
            # Users leave when verify begins; every other probe goes on until the restore.
            until = self.phases["verify" if Load in probe.needs else "restore"] if "restore" in self.phases else None
            if until is None:
                return None
            samples = [s for s in self.samples.get(series, []) if s.end <= until]
            stretch = last_stretch(samples, every)
            reaches = stretch is not None and until - stretch.last.end <= 2 * every + probe.timeout
            if stretch is None or not reaches or stretch.last.start - max(stretch.began.hi, injected.hi) < steady.hold:
                return None
            began.append(stretch.began)
        lo, hi = max(b.lo for b in began), max(b.hi for b in began)
        return Interval(max(lo, injected.lo), max(hi, injected.hi))

    def _held_at(self, moment: float) -> bool:
        steady = self.scenario.steady_state
        for series, probe in steady_series(self.scenario).items():
            stretch = last_stretch([s for s in self.samples.get(series, []) if s.end <= moment], steady.every)
            if stretch is None or stretch.length < steady.hold:
                return False
            if moment - stretch.last.end > 2 * steady.every + probe.timeout:
                return False
        return True

    # -- what makes a drill aborted or invalid ------------------------------------------------------------------------

    def _aborted(self) -> Iterator[str]:
        for line in self.timeline.of(Stopped):
            if line.kind == "aborted":
                yield line.reason
        if not self.timeline.ended:
            last = list(self.phases)[-1] if self.phases else "prepare"
            yield f"the run was killed in its phase {last}: its timeline has no end"

    def _invalid(self) -> Iterator[str]:
        for line in self.timeline.of(Stopped):
            if line.kind == "invalid":
                yield line.reason
                # What never came after that needs no telling.
                return
        if any(line.kind == "aborted" for line in self.timeline.of(Stopped)):
            return
        yield from self._baseline()
        yield from self._faults()
        yield from self._monitoring()
        yield from self._unmeasured()
        if "verify" not in self.phases:
            yield "the run never reached its phase verify"

    def _start(self) -> float | None:
        mark = self.marks.get("injected") or self.marks.get("quiet")
        return mark.lo if mark else None

    def _baseline(self) -> Iterator[str]:
        start = self._start()
        if start is None:
            yield "nothing was injected" if self.scenario.quiet is None else "the quiet time never began"
            return
        steady = self.scenario.steady_state
        for series, probe in steady_series(self.scenario).items():
            before = [s for s in self.samples.get(series, []) if s.end <= start]
            stretch = last_stretch(before, steady.every)
            fresh = stretch is not None and start - stretch.last.end <= 2 * steady.every + probe.timeout
            if stretch is None or not fresh or stretch.length < steady.hold:
                why = before[-1].why if before and not before[-1].ok else f"it did not hold for {steady.hold}"
                yield f"the stack was not healthy before the fault: {probe.title}: {why}"
        for series in (*effect_series(self.scenario), *alert_series(self.scenario)):
            # A single look that failed says nothing; the last one that did say something counts, if it is fresh.
            before = [s for s in self.samples.get(series, []) if s.end <= start and s.ok is not None]
            if not before or before[-1].ok is not False or start - before[-1].end > KNOWN_WITHIN:
                yield f"{series.split(':', 2)[-1]} was not known to be false before the fault"

    def _faults(self) -> Iterator[str]:
        lines = list(self.timeline.of(FaultLine))
        for index, fault in enumerate(self.scenario.inject):
            if not any(line.index == index and line.event == "on" for line in lines):
                yield f"the fault had no effect: {fault.title} was never seen on the stack"
        if "injected" not in self.marks or "verify" not in self.phases:
            return
        injected = self.marks["injected"].lo
        for series, probe in effect_series(self.scenario).items():
            if became_true(self.samples.get(series, []), injected) is None:
                yield f"the fault had not the effect that the drill states: {probe.title} never became true"
        if self.scenario.inject and not self.scenario.steady_state.throughout and not self._disturbed(injected):
            yield (
                "the steady state was never left, so recovery proves nothing: give a probe that sees the fault, "
                "or `steady_state: {throughout: true}` if users must feel nothing"
            )

    def _disturbed(self, since: float) -> bool:
        until = self.phases["verify"]
        watched = steady_series(self.scenario)
        return any(s.ok is False for name in watched for s in self.samples.get(name, []) if since <= s.end <= until)

    def _unmeasured(self) -> Iterator[str]:
        """A probe that could not look to the end says nothing about recovery."""
        if "recovered" in self.marks or "injected" not in self.marks or "verify" not in self.phases:
            return
        for series, probe in steady_series(self.scenario).items():
            seen = [s for s in self.samples.get(series, []) if s.end <= self.phases["verify"]]
            if seen and seen[-1].ok is None:
                yield f"recovery could not be measured: {probe.title}: {seen[-1].why or 'unknown'}"

    def _monitoring(self) -> Iterator[str]:
        if not (self.scenario.detect or self.scenario.quiet):
            return
        start, until = self._start(), self.phases.get("restore")
        if start is None or until is None:
            return
        wanted = [("monitoring", "the monitoring was not alive")]
        # A stack may have no pager that can be read; a drill that asks for pages is not planned there.
        if self.samples.get("pager") or any(Pager in check.needs for check in checks_of(self.scenario)):
            wanted.append(("pager", "the pager did not answer"))
        for series, what in wanted:
            alive = [s.end for s in self.samples.get(series, []) if s.ok]
            known = [start, *(t for t in alive if start < t < until), until]
            had = any(t <= start for t in alive)
            gap = max(later - earlier for earlier, later in pairwise(known))
            if not had or gap > MONITORING_GAP:
                bad = next((s.why for s in self.samples.get(series, []) if not s.ok and s.end >= start), "")
                yield f"{what} for {gap:.0f} s, so its silence means nothing{': ' + bad if bad else ''}"

    # -- what makes a drill fail --------------------------------------------------------------------------------------

    def _targets(self) -> Iterator[TargetResult]:
        wanted = demanded(self.scenario)
        injected = self.marks.get("injected")
        for key, target in targets_of(self.scenario, self.policy).items():
            mark = LIMITS.get(key)
            if mark is None or self.scenario.quiet is not None:
                continue
            measured = self.marks[mark].since(injected) if injected and mark in self.marks else None
            met = measured.hi <= target.limit if measured else (False if key in wanted else None)
            yield TargetResult(target, mark, measured, met)

    def _checks(self) -> Iterator[CheckResult]:
        reads: dict[int, ReadLine] = {}
        for line in self.timeline.of(ReadLine):
            if line.check not in reads or not reads[line.check].ok:
                reads[line.check] = line
        for index, check in enumerate(checks_of(self.scenario)):
            yield CheckResult(check.title, check.check, self._finding(check, reads.get(index)), check.invariant)

    def _finding(self, check: Check, read: ReadLine | None) -> Finding:
        if read is None:
            return Finding(Result.UNKNOWN, "it was never read")
        if not read.ok:
            return Finding(Result.UNKNOWN, read.why)
        try:
            return check.judge(read.data, self.timeline)
        except (SevdrillError, KeyError, TypeError, ValueError) as error:
            return Finding(Result.UNKNOWN, f"what was read cannot be judged: {type(error).__name__}: {error}")

    def _failed(self, targets: tuple[TargetResult, ...], checks: tuple[CheckResult, ...]) -> Iterator[str]:
        alerts = alert_series(self.scenario)
        if self.scenario.quiet is None and "recovered" not in self.marks:
            yield "recover: the steady state never came back and held"
        if "injected" in self.marks:
            for series, detector in alerts.items():
                if became_true(self.samples.get(series, []), self.marks["injected"].lo) is None:
                    yield f"detect: {detector.title} never fired"
        for result in targets:
            if result.met is False:
                limit = f"{result.target.key}: the limit is {result.target.limit} ({result.target.source})"
                yield (
                    f"{limit}, measured {_range(result.measured)}"
                    if result.measured
                    else f"{limit}, never {result.mark}"
                )
        yield from self._steps_failed()
        if self.scenario.steady_state.throughout or self.scenario.quiet is not None:
            yield from self._felt()
        for check in checks:
            if check.finding.result is not Result.HOLDS:
                yield f"{check.title}: {check.finding.result}: {check.finding.why}"

    def _steps_failed(self) -> Iterator[str]:
        for part in ("investigate", "respond", "close"):
            ended = {step.index: step for step in self.steps if step.part == part}
            for index, action in enumerate(getattr(self.scenario, part)):
                step = ended.get(index)
                if step is None:
                    yield f"{part}: {action.title} was never done"
                elif not step.ok:
                    yield f"{part}: {action.title}: {step.why}"

    def _felt(self) -> Iterator[str]:
        start, until = self._start(), self.phases.get("verify")
        if start is None or until is None:
            return
        for series, probe in steady_series(self.scenario).items():
            inside = [s for s in self.samples.get(series, []) if start <= s.end <= until]
            bad = next((s for s in inside if s.ok is not True), None)
            if bad is not None:
                yield f"users felt it: {probe.title}: {bad.why or 'unknown'}"
                continue
            every = self.scenario.steady_state.every
            watched = [start, *(s.end for s in inside), until]
            gap = max(later - earlier for earlier, later in pairwise(watched))
            if gap > 2 * every + probe.timeout:
                yield f"users may have felt it: nobody looked at {probe.title} for {gap:.1f} s"


def _range(interval: Interval) -> str:
    return f"{interval.hi:.2f} s (±{interval.width / 2:.2f} s)"
