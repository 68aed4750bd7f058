"""What could have gone otherwise in a run that passed: its timeline, with one thing changed. None of these may pass.

Everything here is made from drill and timeline alone, so it holds for every drill that there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from made_up import numbered

from sevdrill.checks import Check, Result
from sevdrill.detectors import alerts_of
from sevdrill.judge import MONITORING_GAP, judge
from sevdrill.lines import End, FaultLine, Line, MarkLine, MessageLine, PageLine, PhaseLine, ReadLine, Sample, StepLine
from sevdrill.plan import checks_of, detect_series, effect_series, steady_series
from sevdrill.scenario import Scenario
from sevdrill.severity import LIMITS, Policy
from sevdrill.timeline import Timeline

Lines = list[Line]
Change = Callable[[Line], "Line | None"]
LATE = 1.0
"""Seconds beyond its limit that a late mark comes."""


class Recorded:
    """A timeline that passed, and what its drill makes of it."""

    def __init__(self, lines: Lines, scenario: Scenario, policy: Policy) -> None:
        self.lines, self.scenario, self.policy = lines, scenario, policy
        marks = {line.name: line for line in lines if isinstance(line, MarkLine)}
        self.start = (marks.get("injected") or marks["quiet"]).lo
        self.phases = {line.name: line.t for line in lines if isinstance(line, PhaseLine)}
        self.checks = checks_of(scenario)

    def changed(self, change: Change) -> Lines:
        """The lines after a change of each; one that it makes None of is gone. Numbered as a run would."""
        return numbered(new for line in self.lines if (new := change(line)) is not None)

    def since(self, series: set[str], ok: bool, after: float | None = None) -> Change:
        """Every look at these series says ``ok`` from a time on (from the injection when left out)."""
        begin = self.start if after is None else after

        def change(line: Line) -> Line | None:
            if isinstance(line, Sample) and line.series in series and line.end >= begin:
                return line.model_copy(update={"ok": ok, "why": "" if ok else "made otherwise"})
            return line

        return change

    # -- the mutants --------------------------------------------------------------------------------------------------

    def mutants(self) -> Iterator[tuple[str, Lines]]:
        """Each mutant with what was done to it."""
        yield from self._alerts()
        yield from self._steps()
        yield from self._faults()
        yield from self._recovery()
        yield from self._late()
        yield from self._record()

    def _alerts(self) -> Iterator[tuple[str, Lines]]:
        for series, detector in detect_series(self.scenario).items():
            silent = self.since({series}, ok=False)
            alert = next(iter(alerts_of((detector,))), "")

            def never(line: Line, silent: Change = silent, alert: str = alert) -> Line | None:
                named = isinstance(line, PageLine) and any(a.get("name") == alert for a in line.alerts)
                return None if named else silent(line)

            yield f"{detector.title} never fires", self.changed(never)
            yield f"{detector.title} fired before the fault", self.changed(self.since({series}, True, 0.0))

    def _steps(self) -> Iterator[tuple[str, Lines]]:
        for part in ("investigate", "respond", "close"):
            for index, step in enumerate(getattr(self.scenario, part)):

                def mine(line: Line, part: str = part, index: int = index) -> bool:
                    return isinstance(line, StepLine) and (line.part, line.index) == (part, index)

                def without(line: Line, mine: Callable[[Line], bool] = mine) -> Line | None:
                    return None if mine(line) else line

                def in_vain(line: Line, mine: Callable[[Line], bool] = mine) -> Line | None:
                    ended = mine(line) and isinstance(line, StepLine) and line.event == "ended"
                    return line.model_copy(update={"ok": False, "why": "not proved"}) if ended else line

                yield f"{part} {index} ({step.title}) is never done", self.changed(without)
                yield f"{part} {index} ({step.title}) has no effect", self.changed(in_vain)

    def _faults(self) -> Iterator[tuple[str, Lines]]:
        for index, fault in enumerate(self.scenario.inject):

            def unseen(line: Line, index: int = index) -> Line | None:
                on = isinstance(line, FaultLine) and line.index == index and line.event == "on"
                return line.model_copy(update={"event": "without-effect"}) if on else line

            yield f"fault {index} ({fault.title}) is never seen on the stack", self.changed(unseen)
        if not self.scenario.inject or self.scenario.quiet is not None:
            return
        if not self.scenario.steady_state.throughout:
            steady = self.since(set(steady_series(self.scenario)), ok=True)
            yield "nobody feels the fault: the steady state is never left", self.changed(steady)
        for series, probe in effect_series(self.scenario).items():
            yield f"the effect is never there: {probe.title}", self.changed(self.since({series}, ok=False))

    def _recovery(self) -> Iterator[tuple[str, Lines]]:
        steady = steady_series(self.scenario)
        for series, probe in steady.items():
            name = f"never good again: {probe.title}"
            yield name, self.changed(self.since({series}, ok=False))
            # The users are gone by then, so a load probe ends with the closing steps.
            late = self.phases.get("close", self.phases["verify"]) - self.scenario.steady_state.hold / 2
            yield (
                f"not good when it was called recovered: {probe.title}",
                self.changed(self.since({series}, False, late)),
            )
            before = self.start - self.scenario.steady_state.hold / 2

            def ill(line: Line, series: str = series, before: float = before) -> Line | None:
                is_it = isinstance(line, Sample) and line.series == series and before <= line.end <= self.start
                return line.model_copy(update={"ok": False, "why": "made otherwise"}) if is_it else line

            yield f"not good before the fault: {probe.title}", self.changed(ill)
        yield "never good again at all", self.changed(self.since(set(steady), ok=False))

    def _late(self) -> Iterator[tuple[str, Lines]]:
        """All that came after a mark came later, by as much as the mark's limit: the mark is late."""
        verdict = judge(Timeline(self.lines), self.scenario, self.policy)
        for result in verdict.targets:
            if result.measured is None or result.mark not in LIMITS.values():
                continue
            when = verdict.marks[result.mark].lo
            by = float(result.target.limit) + LATE

            def later(line: Line, when: float = when, by: float = by) -> Line | None:
                moved = {
                    key: getattr(line, key) + by
                    for key in ("t", "start", "end", "lo", "hi")
                    if getattr(line, key, 0.0) >= when
                }
                return line.model_copy(update=moved)

            yield f"{result.mark} comes after its limit of {result.target.limit}", self.changed(later)

    def _record(self) -> Iterator[tuple[str, Lines]]:
        if self.scenario.detect or self.scenario.quiet:
            silent = self.since({"monitoring"}, ok=False)

            def dead(line: Line) -> Line | None:
                if isinstance(line, ReadLine) and "alive" in line.data:
                    return line.model_copy(update={"data": {**line.data, "alive": False}})
                return silent(line)

            yield "the monitoring dies with the fault", self.changed(dead)
            # A pager that is silent for less than this is no reason to doubt it.
            long_enough = self.phases["restore"] - self.start > MONITORING_GAP
            if long_enough and any(isinstance(line, Sample) and line.series == "pager" for line in self.lines):
                yield "the pager does not answer", self.changed(self.since({"pager"}, ok=False))
        yield "the run is killed before its end", self.changed(lambda line: None if isinstance(line, End) else line)

        def dirty(line: Line) -> Line | None:
            return line.model_copy(update={"dirty": True}) if isinstance(line, End) else line

        yield "the stack stays dirty", self.changed(dirty)
        lost = [line for line in self.lines if line.n != len(self.lines) // 2]
        yield "a line is missing", lost
        for index, check in enumerate(self.checks):

            def unread(line: Line, index: int = index) -> Line | None:
                return None if isinstance(line, ReadLine) and line.check == index else line

            def in_vain(line: Line, index: int = index) -> Line | None:
                mine = isinstance(line, ReadLine) and line.check == index
                return line.model_copy(update={"ok": False, "data": {}, "why": "no answer"}) if mine else line

            yield f"{check.title}: it is never read", self.changed(unread)
            yield f"{check.title}: it cannot be read", self.changed(in_vain)

    def unsaid(self) -> Iterator[tuple[str, Scenario, Lines]]:
        """The run as it would have been had a message never been in the runbook: nothing else depends on one."""
        for part in ("investigate", "respond", "close"):
            steps = list(getattr(self.scenario, part))
            for index, step in enumerate(steps):
                if not step.is_message:
                    continue
                mine = [x for x in self.lines if isinstance(x, StepLine) and (x.part, x.index) == (part, index)]
                begins, ends = min(x.t for x in mine), max(x.t for x in mine)

                def gone(
                    line: Line, part: str = part, index: int = index, begins: float = begins, ends: float = ends
                ) -> Line | None:
                    if isinstance(line, MessageLine) and begins <= line.t <= ends:
                        return None
                    if isinstance(line, StepLine) and line.part == part and line.index >= index:
                        return None if line.index == index else line.model_copy(update={"index": line.index - 1})
                    return line

                kept = tuple(steps[:index] + steps[index + 1 :])
                yield (
                    f"{part} {index}: {step.title}",
                    self.scenario.model_copy(update={part: kept}),
                    self.changed(gone),
                )

    # -- invariants ---------------------------------------------------------------------------------------------------

    def broken(self, index: int) -> tuple[str, Lines] | None:
        """A change of what was read, delivered or said that breaks this check; None if nothing that is tried does."""
        check = self.checks[index]
        for name, change in self._worlds(index):
            lines = self.changed(change)
            read = next((line for line in lines if isinstance(line, ReadLine) and line.check == index), None)
            if read is not None and _judged(check, read, lines, self.policy) is Result.BROKEN:
                return f"{check.title}: broken, as {name}", lines
        return None

    def _worlds(self, index: int) -> Iterator[tuple[str, Change]]:
        read = next(line for line in self.lines if isinstance(line, ReadLine) and line.check == index)
        for name, data in _otherwise(read.data):

            def other(line: Line, data: dict[str, Any] = data) -> Line | None:
                mine = isinstance(line, ReadLine) and line.check == index
                return line.model_copy(update={"data": data}) if mine else line

            yield name, other

        def no_pages(line: Line) -> Line | None:
            return None if isinstance(line, PageLine) else line

        yield "nothing is delivered", no_pages
        for kind in ("page", "ticket"):

            def delivered(line: Line, kind: str = kind) -> Line | None:
                return line.model_copy(update={"kind": kind}) if isinstance(line, PageLine) else line

            yield f"all is delivered as a {kind}", delivered
            yield f"a {kind} more is delivered", self._one_more(kind)
        yield "nothing is said", lambda line: None if isinstance(line, MessageLine) else line
        alerts, effects = set(detect_series(self.scenario)), set(effect_series(self.scenario))
        yield "no alert fires", self.since(alerts, ok=False)
        yield "users feel it at once", self.since(effects, ok=True)

        def in_vain(line: Line) -> Line | None:
            ended = isinstance(line, StepLine) and line.event == "ended"
            return line.model_copy(update={"ok": False, "why": "not proved"}) if ended else line

        yield "no step has an effect", in_vain
        for rate in (1.0, 0.0):
            yield f"{rate:.0%} of all that users ask fails", self._failing(rate)
        yield "users suffer before each step", self._last_before_steps()

    def _failing(self, rate: float) -> Change:
        """From the injection on, so much of what users ask fails."""

        def change(line: Line) -> Line | None:
            if not isinstance(line, Sample) or not line.series.startswith("steady:") or line.end < self.start:
                return line
            update: dict[str, Any] = {"ok": line.ok and rate == 0}
            if line.value is not None:
                update["value"] = rate
            if line.users is not None:
                update["users"] = line.users.model_copy(update={"failures": round(rate * line.users.requests)})
            return line.model_copy(update=update)

        return change

    def _last_before_steps(self) -> Change:
        """The last look at the steady state before a step of the runbook begins is not good."""
        steps = [x.t for x in self.lines if isinstance(x, StepLine) and x.event == "began" and x.part == "respond"]
        steady = [x for x in self.lines if isinstance(x, Sample) and x.series in steady_series(self.scenario)]
        last = {
            max((x.n for x in steady if x.series == series and x.end <= step), default=-1)
            for series in steady_series(self.scenario)
            for step in steps
        }
        return lambda line: line.model_copy(update={"ok": False}) if line.n in last else line

    def _one_more(self, kind: str) -> Change:
        """The first line after the injection is also a delivery that was none."""
        done = []
        names = list(alerts_of(self.scenario.detect)) or ["MadeUp"]

        def change(line: Line) -> Line | None:
            if not done and isinstance(line, Sample) and line.series == "monitoring" and line.start > self.start:
                done.append(line)
                alerts = [{"name": name, "labels": {}} for name in names]
                lo, hi = line.start, line.end
                return PageLine(t=line.t, id=10**6, kind=kind, status="firing", lo=lo, hi=hi, alerts=alerts)
            return line

        return change


def _judged(check: Check, read: ReadLine, lines: Lines, policy: Policy) -> Result:
    try:
        return check.judge_by(read.data, Timeline(lines), policy).result
    except Exception:  # data that no read gives
        return Result.UNKNOWN


def _otherwise(data: Any) -> Iterator[tuple[str, Any]]:
    """The data with one leaf changed, wherever there is one."""
    if isinstance(data, dict):
        for key, value in data.items():
            for name, other in _otherwise(value):
                yield f"{key} {name}".replace("  ", " "), {**data, key: other}
    elif isinstance(data, list):
        yield "holds one more", [*data, "made-up"]
        if data:
            yield "is empty", []
            for place, value in enumerate(data[:3]):
                for name, other in _otherwise(value):
                    yield name, [*data[:place], other, *data[place + 1 :]]
    elif isinstance(data, bool):
        yield f"is {not data}", not data
    elif isinstance(data, int | float):
        for other in (data + 1, data - 1, 0, 200, data * 1000 + 1000):
            yield f"is {other}", other
    elif isinstance(data, str):
        yield "is made up", f"{data}made-up"
        yield "is empty", ""
    elif data is None:
        yield "is there", "made-up"
