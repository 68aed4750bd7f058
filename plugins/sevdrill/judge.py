"""Judges a timeline: what happened when, against which limit, and what that makes of the drill.

Pure: the same timeline, drill and policy give the same verdict, with no stack at hand. Every reason names the lines of
the timeline that it rests on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from sevdrill.checks import Check, Finding, Result
from sevdrill.detectors import listens, missing
from sevdrill.lines import End, FaultLine, Interval, ReadLine, StepLine, Stopped
from sevdrill.marks import Mark, Recorded
from sevdrill.plan import checks_of, demanded, detect_series, effect_series, played, steady_series, targets_of
from sevdrill.ports import Pager
from sevdrill.scenario import Scenario
from sevdrill.severity import LIMITS, Policy, Target
from sevdrill.stretches import became_true, last_stretch
from sevdrill.timeline import Timeline

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
    """None when it was not measured, and nothing demands it or the run ended too early to tell."""
    lines: tuple[int, ...] = ()
    """Numbers of the timeline's lines that the measured time rests on."""


@dataclass(frozen=True)
class CheckResult:
    """A check and what it came to."""

    title: str
    check: str
    finding: Finding
    invariant: bool
    lines: tuple[int, ...] = ()
    """Numbers of the timeline's lines that hold what was read."""


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
    rests_on: tuple[tuple[int, ...], ...] = ()
    """For each reason, the numbers of the timeline's lines that it rests on; never empty."""

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
            # Who was there before the alert has taken no time to answer it.
            mtta = self.marks["acknowledged"].since(self.marks["detected"])
            found["mtta"] = Interval(max(0.0, mtta.lo), max(0.0, mtta.hi))
        return {name: time for name, time in found.items() if time is not None}


def judge(timeline: Timeline, scenario: Scenario, policy: Policy) -> Verdict:
    """Judge what was recorded."""
    return _Judge(timeline, scenario, policy).verdict()


class _Reason(NamedTuple):
    """Why a drill is not passed, and the lines that say so."""

    text: str
    lines: tuple[int, ...]


class _Judge:
    def __init__(self, timeline: Timeline, scenario: Scenario, policy: Policy) -> None:
        self.timeline, self.scenario, self.policy = timeline, scenario, policy
        self.seen = Recorded(timeline, scenario)
        self.marks = self.seen.marks
        self.mode = timeline.run.mode

    def verdict(self) -> Verdict:
        aborted, invalid = list(self._aborted()), list(self._invalid())
        targets = tuple(self._targets())
        checks = tuple(self._checks())
        broken = [
            _Reason(f"{c.title}: {c.finding.why}", c.lines)
            for c in checks
            if c.invariant and c.finding.result is Result.BROKEN
        ]
        failed = [*broken, *self._failed(targets, checks)]
        dirty = [line for line in self.timeline.of(End) if line.dirty]
        if dirty:
            failed.append(_Reason("the stack could not be brought back to its steady state", self.seen.lines(*dirty)))
        if aborted:
            outcome, reasons = Outcome.ABORTED, [*aborted, *invalid]
        elif broken:
            outcome, reasons = Outcome.FAILED, [*failed, *invalid]
        elif invalid:
            outcome, reasons = Outcome.INVALID, invalid
        else:
            outcome, reasons = (Outcome.FAILED, failed) if failed else (Outcome.PASSED, [])
        if outcome in (Outcome.ABORTED, Outcome.INVALID):
            targets = tuple(self._unfinished(target, outcome) for target in targets)
        # What is missing in the timeline is missed at its last line.
        unique = {r.text: r.lines or self.seen.lines(self.timeline.lines[-1]) for r in reversed(reasons)}
        ordered = tuple(dict.fromkeys(r.text for r in reasons))
        return Verdict(
            outcome,
            ordered,
            {name: mark.when for name, mark in self.marks.items()},
            targets,
            checks,
            self.seen.steps,
            tuple(f"{w.target}: {w.because}" for w in self.scenario.waive),
            bool(dirty),
            tuple(unique[text] for text in ordered),
        )

    # -- what makes a drill aborted or invalid ------------------------------------------------------------------------

    def _aborted(self) -> Iterator[_Reason]:
        for line in self.timeline.of(Stopped):
            if line.kind == "aborted":
                yield _Reason(line.reason, self.seen.lines(line))
        if not self.timeline.ended:
            last = list(self.seen.phases)[-1] if self.seen.phases else "prepare"
            yield _Reason(f"the run was killed in its phase {last}: its timeline has no end", ())

    def _invalid(self) -> Iterator[_Reason]:
        for number in self.timeline.missing:
            yield _Reason(
                f"lines are missing after line {number} of the timeline: the disk was full, or somebody took them out",
                (number,),
            )
        for line in self.timeline.of(Stopped):
            if line.kind == "invalid":
                yield _Reason(line.reason, self.seen.lines(line))
                # What never came after that needs no telling.
                return
        if any(line.kind == "aborted" for line in self.timeline.of(Stopped)):
            return
        yield from self._baseline()
        yield from self._faults()
        yield from self._monitoring()
        yield from self._unmeasured()
        if "verify" not in self.seen.phases:
            yield _Reason("the run never reached its phase verify", ())

    def _baseline(self) -> Iterator[_Reason]:
        if self.seen.start is None:
            yield _Reason("nothing was injected" if self.scenario.quiet is None else "the quiet time never began", ())
            return
        start, lines = self.seen.start.when.lo, self.seen.start.lines
        steady = self.scenario.steady_state
        for series, probe in steady_series(self.scenario).items():
            before = self.seen.of(series, until=start)
            stretch = last_stretch(before, steady.every)
            fresh = stretch is not None and start - stretch.last.end <= 2 * steady.every + probe.timeout
            if stretch is None or not fresh or stretch.length < steady.hold:
                why = before[-1].why if before and not before[-1].ok else f"it did not hold for {steady.hold}"
                text = f"the stack was not healthy before the fault: {probe.title}: {why}"
                yield _Reason(text, (*self.seen.around(before[-1:]), *lines))
        for series in (*effect_series(self.scenario), *detect_series(self.scenario)):
            # A single look that failed says nothing; the last one that did say something counts, if it is fresh.
            before = [s for s in self.seen.of(series, until=start) if s.ok is not None]
            if not before or before[-1].ok is not False or start - before[-1].end > KNOWN_WITHIN:
                text = f"{series.split(':', 2)[-1]} was not known to be false before the fault"
                yield _Reason(text, (*self.seen.around(before[-1:]), *lines))

    def _faults(self) -> Iterator[_Reason]:
        looked = list(self.timeline.of(FaultLine))
        for index, fault in enumerate(self.scenario.inject):
            mine = [line for line in looked if line.index == index]
            if not any(line.event == "on" for line in mine):
                text = f"the fault had no effect: {fault.title} was never seen on the stack"
                yield _Reason(text, self.seen.lines(*mine[-1:]))
        until = self.seen.phase("verify")
        if "injected" not in self.marks or until is None:
            return
        injected = self.marks["injected"].when.lo
        for series, probe in effect_series(self.scenario).items():
            if became_true(self.seen.samples.get(series, []), injected) is None:
                text = f"the fault had not the effect that the drill states: {probe.title} never became true"
                yield _Reason(text, self.seen.around(self.seen.of(series, since=injected)))
        inside = [s for name in steady_series(self.scenario) for s in self.seen.of(name, since=injected, until=until)]
        left = any(s.ok is False for s in inside)
        if self.scenario.inject and not self.scenario.steady_state.throughout and not left:
            text = (
                "the steady state was never left, so recovery proves nothing: give a probe that sees the fault, "
                "or `steady_state: {throughout: true}` if users must feel nothing"
            )
            yield _Reason(text, self.seen.around(sorted(inside, key=lambda s: s.end)))

    def _unmeasured(self) -> Iterator[_Reason]:
        """A probe that could not look to the end says nothing about recovery."""
        until = self.seen.phase("verify")
        if "recovered" in self.marks or "injected" not in self.marks or until is None:
            return
        for series, probe in steady_series(self.scenario).items():
            last = self.seen.of(series, until=until)[-1:]
            if last and last[0].ok is None:
                text = f"recovery could not be measured: {probe.title}: {last[0].why or 'unknown'}"
                yield _Reason(text, self.seen.lines(*last))

    def _monitoring(self) -> Iterator[_Reason]:
        if not (listens(self.scenario.detect) or self.scenario.quiet):
            return
        until = self.seen.phase("restore")
        if self.seen.start is None or until is None:
            return
        start = self.seen.start.when.lo
        wanted = [("monitoring", "the monitoring was not alive")]
        # A stack may have no pager that can be read; a drill that asks for pages is not planned there.
        if self.seen.samples.get("pager") or any(Pager in check.needs for check in checks_of(self.scenario)):
            wanted.append(("pager", "the pager did not answer"))
        for series, what in wanted:
            alive = [s for s in self.seen.samples.get(series, []) if s.ok]
            known = [start, *(s.end for s in alive if start < s.end < until), until]
            had = any(s.end <= start for s in alive)
            gap, since = max((later - earlier, earlier) for earlier, later in pairwise(known))
            if not had or gap > MONITORING_GAP:
                bad = next((s for s in self.seen.of(series, since=start) if not s.ok), None)
                last = [s for s in alive if s.end <= since][-1:]
                text = f"{what} for {gap:.0f} s, so its silence means nothing"
                why = f": {bad.why}" if bad is not None and bad.why else ""
                yield _Reason(text + why, self.seen.lines(*last, bad))

    # -- what makes a drill fail --------------------------------------------------------------------------------------

    def _targets(self) -> Iterator[TargetResult]:
        wanted = demanded(self.scenario, self.mode)
        injected = self.marks.get("injected")
        for key, target in targets_of(self.scenario, self.policy, self.mode).items():
            name = LIMITS.get(key)
            if name is None or self.scenario.quiet is not None:
                continue
            mark = self.marks.get(name)
            measured = mark.when.since(injected.when) if injected and mark else None
            met = measured.hi <= target.limit if measured else (False if key in wanted else None)
            lines = tuple(sorted({*_lines(injected), *_lines(mark)}))
            yield TargetResult(target, name, measured, met, lines)

    def _unfinished(self, result: TargetResult, outcome: Outcome) -> TargetResult:
        """What never came is no miss where nothing is said of the system, or where the run ended before it was due."""
        injected = self.marks.get("injected")
        if result.measured is not None or injected is None:
            return result
        stopped = next(self.timeline.of(Stopped), self.timeline.lines[-1])
        due = injected.when.lo + result.target.limit <= stopped.t
        return result if due and outcome is Outcome.ABORTED else replace(result, met=None)

    def _checks(self) -> Iterator[CheckResult]:
        reads: dict[int, ReadLine] = {}
        for line in self.timeline.of(ReadLine):
            if line.check not in reads or not reads[line.check].ok:
                reads[line.check] = line
        for index, check in enumerate(checks_of(self.scenario)):
            read = reads.get(index)
            finding = self._finding(check, read)
            yield CheckResult(check.title, check.check, finding, check.invariant, self.seen.lines(read))

    def _finding(self, check: Check, read: ReadLine | None) -> Finding:
        if read is None:
            return Finding(Result.UNKNOWN, "it was never read")
        if check.of_runbook and self.mode != "auto":
            return Finding(Result.HOLDS, f"what is done in mode {self.mode} is up to people, and not to the runbook")
        if not read.ok:
            return Finding(Result.UNKNOWN, read.why)
        try:
            return check.judge_by(read.data, self.timeline, self.policy)
        except Exception as error:  # whatever was read, and whoever wrote the check: then nothing is known
            return Finding(Result.UNKNOWN, f"what was read cannot be judged: {type(error).__name__}: {error}")

    def _failed(self, targets: tuple[TargetResult, ...], checks: tuple[CheckResult, ...]) -> Iterator[_Reason]:
        if self.scenario.quiet is None and "recovered" not in self.marks:
            yield _Reason("recover: the steady state never came back and held", self._last_bad())
        if "injected" in self.marks:
            injected = self.marks["injected"].when.lo
            for series, detector in detect_series(self.scenario).items():
                if became_true(self.seen.samples.get(series, []), injected) is None:
                    lines = self.seen.around(self.seen.of(series, since=injected))
                    yield _Reason(f"detect: {missing(detector)}", lines)
        for result in targets:
            if result.met is False:
                limit = f"{result.target.key}: the limit is {result.target.limit} ({result.target.source})"
                seen = f"measured {_range(result.measured)}" if result.measured else f"never {result.mark}"
                yield _Reason(f"{limit}, {seen}", result.lines)
        yield from self._said_wrongly()
        yield from self._steps_failed()
        if self.scenario.steady_state.throughout or self.scenario.quiet is not None:
            yield from self._felt()
        for check in checks:
            if check.finding.result is not Result.HOLDS:
                yield _Reason(f"{check.title}: {check.finding.result}: {check.finding.why}", check.lines)

    def _last_bad(self) -> tuple[int, ...]:
        bad = [s for name in steady_series(self.scenario) for s in self.seen.samples.get(name, []) if not s.ok]
        return self.seen.lines(*sorted(bad, key=lambda s: s.end)[-1:])

    def _said_wrongly(self) -> Iterator[_Reason]:
        for line in self.seen.untrue:
            after = line.t - self.marks["injected"].when.lo
            bad = [
                (probe.title, next((s for s in self.seen.of(name, since=line.t) if s.ok is not True), None))
                for name, probe in steady_series(self.scenario).items()
            ]
            seen = [(title, sample) for title, sample in bad if sample is not None]
            why = "; ".join(f"{title}: {sample.why or 'not good'}" for title, sample in seen) or "it did not hold"
            lines = self.seen.lines(line, *(sample for _, sample in seen))
            yield _Reason(f"mitigated: {line.by} said so after {after:.2f} s, and it was not so: {why}", lines)

    def _steps_failed(self) -> Iterator[_Reason]:
        for part in ("investigate", "respond", "close"):
            ended = {step.index: step for step in self.seen.steps if step.part == part}
            for index, action in played(self.scenario, part, self.mode).items():
                step = ended.get(index)
                if step is None:
                    yield _Reason(f"{part}: {action.title} was never done", ())
                elif not step.ok:
                    yield _Reason(f"{part}: {action.title}: {step.why}", self.seen.lines(step))

    def _felt(self) -> Iterator[_Reason]:
        until = self.seen.phase("verify")
        if self.seen.start is None or until is None:
            return
        start = self.seen.start.when.lo
        for series, probe in steady_series(self.scenario).items():
            inside = self.seen.of(series, since=start, until=until)
            bad = next((s for s in inside if s.ok is not True), None)
            if bad is not None:
                yield _Reason(f"users felt it: {probe.title}: {bad.why or 'unknown'}", self.seen.lines(bad))
                continue
            every = self.scenario.steady_state.every
            watched = [start, *(s.end for s in inside), until]
            gap, since = max((later - earlier, earlier) for earlier, later in pairwise(watched))
            if gap > 2 * every + probe.timeout:
                text = f"users may have felt it: nobody looked at {probe.title} for {gap:.1f} s"
                yield _Reason(text, self.seen.around([s for s in inside if s.end <= since][-1:]))


def _lines(mark: Mark | None) -> tuple[int, ...]:
    return mark.lines if mark is not None else ()


def _range(interval: Interval) -> str:
    return f"{interval.hi:.2f} s (±{interval.width / 2:.2f} s)"
