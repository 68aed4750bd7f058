"""The story of a drill that did not pass, for a terminal: what was expected, what happened, what the logs say."""

from __future__ import annotations

from collections.abc import Iterator

from sevdrill.judge import Outcome
from sevdrill.reports.case import MARKS, Case, Event, short
from sevdrill.reports.logs import errors_in_logs
from sevdrill.severity import LIMITS

__all__ = ["story"]

MOST = 24
"""Lines of a story at most; the report has the rest."""
LOG_LINES = 6


def story(case: Case) -> list[str]:
    """Lines in time order, counted from the injection; none for a drill that passed."""
    if case.verdict.outcome is Outcome.PASSED:
        return []
    told = sorted([*_happened(case), *_expected(case)], key=lambda event: event.at)
    lines = [f"{event.at - case.zero:+8.1f} s  {'!! ' if event.ok is False else ''}{event.text}" for event in told]
    if len(lines) > MOST:
        lines = [*lines[: MOST - 5], f"            … {len(lines) - MOST + 1} more, in the report …", *lines[-4:]]
    logs = errors_in_logs(case, LOG_LINES)
    if logs:
        lines.append("the logs say:")
        for line in logs:
            times = f" ({line.count} times)" if line.count > 1 else ""
            lines.append(f"{line.at - case.zero:+8.1f} s  {line.source}: {line.text}{times}")
    return lines


def _happened(case: Case) -> Iterator[Event]:
    # A mark that is also an event of its own would be told twice, and so would a message and the step that said it.
    messages = {step.title for step in case.verdict.steps if step.is_message and step.ok}
    told_by_marks = {MARKS["injected"], MARKS["recovered"], MARKS["quiet"]}
    for event in case.events:
        if event.kind == "fault" and event.text.endswith((": injected", ": on")):
            continue
        if event.kind == "mark" and event.text not in told_by_marks:
            continue
        if event.kind == "check" and event.ok:
            continue
        if event.text == MARKS["injected"]:
            what = ", ".join(fault.title for fault in case.scenario.inject)
            yield Event(event.at, "mark", f"injected: {what}")
            continue
        if event.kind == "step" and event.text.partition(": ")[0] in messages:
            continue
        if event.kind == "step":
            # A step is told when it was done, not when it began.
            yield Event(event.until or event.at, "step", event.text, event.ok)
            continue
        yield event


def _expected(case: Case) -> Iterator[Event]:
    if "injected" not in case.verdict.marks:
        return
    for result in case.missed:
        mark = MARKS[LIMITS[result.target.key]].lower()
        limit = f"{result.target.key} within {short(result.target.limit)}, {result.target.source}"
        due = case.zero + result.target.limit
        if result.measured is not None:
            late = f"it came after {short(result.measured.hi)}"
            yield Event(due, "expected", f"expected by now: {mark} ({limit}); {late}", False)
        elif due <= case.end:
            yield Event(due, "expected", f"expected by now: {mark} ({limit}); it never came", False)
        elif case.verdict.outcome is Outcome.FAILED:
            yield Event(case.end, "expected", f"the end; still not: {mark} ({limit})", False)
