"""Checks of whether people were told: whom the SOP names, in time, and as often as it promises."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal, get_args

from pydantic import Field

from sevdrill.checks.base import Check, Finding, Result
from sevdrill.lines import MarkLine, MessageLine, PhaseLine
from sevdrill.model import Record
from sevdrill.ports import Ports
from sevdrill.severity import Policy
from sevdrill.sop import Status
from sevdrill.timeline import Timeline
from sevdrill.units import Duration

__all__ = ["Announced", "UpdateCadence"]


def _injected(timeline: Timeline) -> float:
    return next((mark.lo for mark in timeline.of(MarkLine) if mark.name == "injected"), 0.0)


def _messages(timeline: Timeline) -> list[MessageLine]:
    """What was said of the incident since the injection; what only brings somebody in is no news of it."""
    since = _injected(timeline)
    return [m for m in timeline.of(MessageLine) if m.t >= since and m.status in (*get_args(Status), "declared")]


def _limit(timeline: Timeline, policy: Policy, key: str) -> Duration | None:
    """The drill's own limit, or else the policy's; None where nothing binds."""
    own = (timeline.run.scenario.get("targets") or {}).get(key)
    if own is not None:
        return Duration.parse(own)
    target = policy.targets(timeline.run.severity).get(key)
    return target.limit if target is not None else None


class _Communication(Check):
    needs: ClassVar[tuple[type, ...]] = ()

    def read(self, ports: Ports) -> Record:
        return {}

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        return Finding(Result.UNKNOWN, "without a policy nobody knows who must be told")


class Announced(_Communication):
    """Everybody was told whom the SOP names for this severity, and in its time."""

    check: Literal["announced"]
    to: tuple[str, ...] = Field(default=())
    """Who must be told; left out: everybody whom the policy names under `tell`."""
    status: Status | None = None
    """What they must be told; left out: anything."""
    said: tuple[Status | Literal["declared"], ...] = ()
    """All that the runbook tells each of them, in this order; `declared` is said to the `team`. In mode `live` people
    choose their own words, and in `observe` nobody says any: then nothing is asked."""
    by: Duration | None = None
    """How soon after the injection; left out: the policy's `announce`, where it has one."""

    @property
    def title(self) -> str:
        what = f" ({self.status or ', '.join(self.said)})" if self.status or self.said else ""
        return f"told{what}: {', '.join(self.to) or 'everybody whom the SOP names'}"

    def judge_by(self, data: Record, timeline: Timeline, policy: Policy) -> Finding:
        severity, mode = timeline.run.severity, timeline.run.mode
        if self.said and mode != "auto":
            return Finding(Result.HOLDS, f"what is said in mode {mode} is up to people, and not to the runbook")
        wanted = self.to or tuple(tell.who for tell in policy.level(severity).tell)
        limit = self.by if self.by is not None else _limit(timeline, policy, "announce")
        since, first = _injected(timeline), dict[str, float]()
        for message in _messages(timeline):
            if self.status in (None, message.status):
                first.setdefault(message.to, message.t - since)
        missing = [who for who in wanted if who not in first]
        if missing:
            return Finding(Result.BROKEN, f"nobody told {', '.join(missing)}")
        late = [f"{who} after {first[who]:.1f} s" for who in wanted if limit is not None and first[who] > limit]
        if late:
            return Finding(Result.BROKEN, f"told too late (limit {limit}): {'; '.join(late)}")
        unsaid = [f"{who} was not told {status}" for who in wanted for status in self._unsaid(timeline, who)]
        if unsaid:
            return Finding(Result.BROKEN, f"left out, or not in its place: {'; '.join(unsaid)}")
        if not wanted:
            return Finding(Result.HOLDS, f"{policy.cite} names nobody for {severity}")
        return Finding(Result.HOLDS, "; ".join(f"{who} after {first[who]:.1f} s" for who in wanted))

    def _unsaid(self, timeline: Timeline, who: str) -> tuple[str, ...]:
        """What is left of ``said`` once all that somebody was told is taken off, in its order."""
        left = list(self.said)
        for message in _messages(timeline):
            if left and message.to == who and message.status == left[0]:
                left.pop(0)
        return tuple(left[:1])


class UpdateCadence(_Communication):
    """From the first message until it was over, no longer passed between two than the SOP allows."""

    check: Literal["update_cadence"]
    to: str = ""
    """Whose messages count; left out: everybody's."""
    every: Duration | None = None
    """The longest time between two; left out: the policy's `update_every`, where it has one."""

    @property
    def title(self) -> str:
        return f"updates{f' to {self.to}' if self.to else ''} in time"

    def judge_by(self, data: Record, timeline: Timeline, policy: Policy) -> Finding:
        limit = self.every if self.every is not None else _limit(timeline, policy, "update")
        if limit is None:
            return Finding(Result.HOLDS, f"{policy.cite} promises no updates for {timeline.run.severity}")
        told = [m for m in _messages(timeline) if m.status != "declared" and self.to in ("", m.to)]
        if not told:
            return Finding(Result.BROKEN, "nobody was told anything")
        resolved = next((m.t for m in told if m.status == "resolved"), None)
        verify = next((p.t for p in timeline.of(PhaseLine) if p.name == "verify"), timeline.lines[-1].t)
        # Once it is said to be resolved, nobody waits for news; until then the last gap counts as well.
        until = resolved if resolved is not None else max(verify, told[-1].t)
        moments = [m.t for m in told if m.t < until] + [until]
        longest = max((after - before for before, after in pairwise(moments)), default=0.0)
        found = f"at most {longest:.1f} s between two messages (limit {limit})"
        return Finding(Result.HOLDS if longest <= limit else Result.BROKEN, found)
