"""A verdict as JSON and as JUnit properties."""

from __future__ import annotations

from typing import Any

from sevdrill.escaping import clean
from sevdrill.judge import Verdict
from sevdrill.lines import Interval, PersonLine
from sevdrill.timeline import Timeline

__all__ = ["properties", "summary"]


def _interval(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else {"lo": round(interval.lo, 4), "hi": round(interval.hi, 4)}


def _leader(timeline: Timeline) -> str:
    """Who was commander last; empty when nobody was."""
    roles = [line for line in timeline.of(PersonLine) if line.does == "role" and "commander" in line.what.casefold()]
    return roles[-1].by if roles else ""


def summary(verdict: Verdict, timeline: Timeline) -> dict[str, Any]:
    """The verdict of one drill as JSON; times are in seconds, each as the interval that polling allows."""
    run = timeline.run
    found = {
        "drill": run.drill,
        "file": run.file,
        "severity": run.severity,
        "policy": run.policy,
        "stack": run.stack,
        "mode": run.mode,
        "led_by": _leader(timeline),
        "began": run.wall,
        "outcome": str(verdict.outcome),
        "reasons": list(verdict.reasons),
        # For each reason, the numbers of the lines of timeline.jsonl that it rests on.
        "reasons_rest_on": [list(lines) for lines in verdict.rests_on],
        "injected": "injected" in verdict.marks,
        "dirty": verdict.dirty,
        "times": {name: _interval(time) for name, time in verdict.times.items()},
        "targets": [
            {
                "target": result.target.key,
                "limit": float(result.target.limit),
                "source": result.target.source,
                "derived": result.target.derived,
                "note": result.target.note,
                "measured": _interval(result.measured),
                "met": result.met,
                "lines": list(result.lines),
            }
            for result in verdict.targets
        ],
        "waived": list(verdict.waived),
        "steps": [
            {
                "part": step.part,
                "step": step.title,
                "ok": step.ok,
                "ended": step.hi or step.t,
                "proof": step.why,
                "lines": [timeline.number(step)],
            }
            for step in verdict.steps
        ],
        "checks": [
            {
                "check": check.title,
                "result": str(check.finding.result),
                "why": check.finding.why,
                "lines": list(check.lines),
            }
            for check in verdict.checks
        ],
    }
    cleaned: dict[str, Any] = clean(found)
    return cleaned


def properties(verdict: Verdict) -> list[tuple[str, object]]:
    """JUnit properties: the outcome, and each measured time in seconds (its upper end, as the verdict uses it)."""
    found: list[tuple[str, object]] = [("drill_outcome", str(verdict.outcome))]
    found += [(f"{name}_seconds", round(time.hi, 3)) for name, time in sorted(verdict.times.items())]
    found += [
        (f"target_{result.target.key}_seconds", float(result.target.limit))
        for result in verdict.targets
        if result.met is not None
    ]
    return found
