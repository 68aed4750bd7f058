"""Checks of how the answer went: what the SOP asks for was done, and in time to spare users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from sevdrill.checks.base import Check, Finding, Result
from sevdrill.lines import FaultLine, MessageLine, Sample, StepLine
from sevdrill.model import Record
from sevdrill.ports import Ports
from sevdrill.timeline import Timeline
from sevdrill.units import Duration

__all__ = ["Checklist", "NoFailuresAfter", "StayedGood"]


class Checklist(Check):
    """Every step that the SOP asks for was done and proved, in the SOP's order."""

    needs: ClassVar[tuple[type, ...]] = ()
    of_runbook: ClassVar[bool] = True

    check: Literal["checklist"]
    done: tuple[str, ...] = Field(min_length=1)
    """Steps in their order, each by its kind, such as `rollback`, or by its title, as some have it in `why`; for a
    message also who was told, such as `announce vendor`."""

    @property
    def title(self) -> str:
        return f"done, in this order: {', '.join(self.done)}"

    def read(self, ports: Ports) -> Record:
        return {}

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        did: list[tuple[str, str]] = []
        told = ""
        for line in timeline.lines:
            if isinstance(line, MessageLine):
                told = line.to
            elif isinstance(line, StepLine) and line.event == "ended" and line.ok and line.part != "investigate":
                did.append((f"{line.action} {told}" if line.is_message else line.action, line.title))
        left = list(self.done)
        for step, title in did:
            if left and left[0] in (step, step.partition(" ")[0], title):
                left.pop(0)
        done = ", ".join(title if title in self.done else step for step, title in did) or "nothing"
        if left:
            return Finding(Result.BROKEN, f"not done, or not in its place: {left[0]}; done: {done}")
        return Finding(Result.HOLDS, f"done: {done}")


class StayedGood(Check):
    """A probe of the steady state stayed good under the fault until a step began: the harm was prevented.

    Looked at from the first time on that it is good while the fault is on, since a deployment itself may interrupt it.
    """

    needs: ClassVar[tuple[type, ...]] = ()
    of_runbook: ClassVar[bool] = True

    check: Literal["stayed_good"]
    probe: str = Field(min_length=1)
    """Name of the probe, as the steady state gives it."""
    until: str = Field(min_length=1)
    """Kind of the step, such as `rollback`."""

    @property
    def title(self) -> str:
        return f"{self.probe} until the {self.until}"

    def read(self, ports: Ports) -> Record:
        return {}

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        since = next((line.t for line in timeline.of(FaultLine) if line.event == "on"), None)
        steps = [s for s in timeline.of(StepLine) if s.part == "respond" and s.action == self.until]
        until = next((s.t for s in steps if s.event == "began"), None)
        if since is None or until is None:
            return Finding(Result.UNKNOWN, f"no fault was on, or no step {self.until} began")
        series = [s for s in timeline.of(Sample) if s.series.split(":", 2)[::2] == ["steady", self.probe]]
        looks = sorted((s for s in series if s.start >= since and s.end <= until), key=lambda s: s.start)
        while looks and not looks[0].ok:
            looks.pop(0)
        if not looks:
            return Finding(Result.UNKNOWN, f"it was never seen good between the fault and the {self.until}")
        bad = next((s for s in looks if not s.ok), None)
        if bad is not None:
            return Finding(Result.BROKEN, f"{until - bad.start:.1f} s before the {self.until}: {bad.why or 'unknown'}")
        return Finding(Result.HOLDS, f"good for {until - looks[0].start:.1f} s under the fault, and when it began")


class NoFailuresAfter(Check):
    """From a step until the end, no request of any user failed."""

    needs: ClassVar[tuple[type, ...]] = ()
    of_runbook: ClassVar[bool] = True

    check: Literal["no_failures_after"]
    step: str = Field(min_length=1)
    """Kind of the step, such as `route-away`."""
    grace: Duration = Duration(1)
    """A request that is answered this soon after the step may have begun before it."""

    @property
    def title(self) -> str:
        return f"no failed request after the {self.step}"

    def read(self, ports: Ports) -> Record:
        return {}

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        steps = [s for s in timeline.of(StepLine) if s.part == "respond" and s.action == self.step]
        done = next((s.t for s in steps if s.event == "ended" and s.ok), None)
        over = max((_window(probe) for probe in timeline.run.scenario["steady_state"]["probes"]), default=0.0)
        if done is None or not over:
            return Finding(Result.UNKNOWN, f"no step {self.step} was done, or nobody asked the users")
        looks = [s for s in timeline.of(Sample) if s.users is not None and s.series.startswith("steady:")]
        # A window reaches back; only one that begins after the step says what came of it.
        after = [s for s in looks if s.start >= done + self.grace + over]
        bad = next((s for s in after if s.users is not None and s.users.failures), None)
        if bad is not None:
            return Finding(Result.BROKEN, f"{bad.start - done:.1f} s after it: {bad.why}")
        served = max((s.users.requests for s in after if s.users is not None), default=0)
        if not served:
            more = f"steady_state.hold has to be longer than its grace of {self.grace}"
            return Finding(Result.UNKNOWN, f"no request was looked at after it; {more}")
        return Finding(Result.HOLDS, f"for {after[-1].end - done:.1f} s, with up to {served} requests in {over:g} s")


def _window(probe: Mapping[str, Any]) -> float:
    """Over how many seconds a probe looks at what users saw; 0 where it does not ask them."""
    return float(Duration.parse(probe.get("over") or "5s")) if probe.get("probe") == "load" else 0.0
