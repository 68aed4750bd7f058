"""What the terminal shows: a table of the run, and a page on each drill that did not pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sevdrill.escaping import line as one_line

__all__ = ["COLUMNS", "page", "painted", "table", "waited", "where"]

COLUMNS = ("detect", "respond", "rollback", "mitigate", "recover")


def table(drills: Sequence[dict[str, Any]]) -> list[str]:
    """A row a drill: its outcome, and each time against its limit. ``drills`` are summaries."""
    header = ["drill", "outcome", "severity", *COLUMNS]
    rows = [header]
    for drill in drills:
        targets = {target["target"]: target for target in drill["targets"]} if drill["injected"] else {}
        cells = [_cell(targets.get(key)) for key in COLUMNS]
        rows.append([drill["drill"], drill["outcome"].upper(), drill["severity"], *cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    rows = [[one_line(cell) for cell in row] for row in rows]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    derived = [t for drill in drills for t in drill["targets"] if t["derived"] and t["met"] is not None]
    if derived:
        lines.append("* this limit is derived from the SOP's response time; the SOP gives none of its own")
    return lines


def painted(drills: Sequence[dict[str, Any]]) -> Iterator[tuple[str, dict[str, bool]]]:
    """The table's lines, each with pytest's names for its colours; pytest leaves them out where none are wanted."""
    colours = {"failed": "red", "invalid": "yellow", "aborted": "yellow"}
    lines = table(drills)
    yield lines[0], {"bold": True}
    for line, drill in zip(lines[1:], drills, strict=False):
        yield line, ({colours[drill["outcome"]]: True} if drill["outcome"] in colours else {})
    yield from ((line, {}) for line in lines[1 + len(drills) :])


def waited(spent: Sequence[tuple[float, float]]) -> str:
    """How long drills took together, and which share of it was waiting for the stack.

    ``spent`` has, of each drill in seconds, how long it took and how much processor time its process used meanwhile.
    """
    took, worked = (sum(each[part] for each in spent) for part in (0, 1))
    share = max(0.0, 1 - worked / took) if took else 0.0
    length = f"{took:.0f} s" if took < 120 else f"{took / 60:.0f} min"
    return f"{len(spent)} drills took {length}; {share:.0%} of it was waiting for the stack"


def _cell(target: dict[str, Any] | None) -> str:
    if target is None or target["met"] is None:
        return "-"
    limit = f"{_short(target['limit'])}{'*' if target['derived'] else ''}"
    if target["measured"] is None:
        return f"never/{limit} MISS"
    return f"{_short(target['measured']['hi'])}/{limit}{'' if target['met'] else ' MISS'}"


def _short(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 120:
        return f"{seconds:.1f}s".replace(".0s", "s")
    return f"{seconds / 60:g}m" if seconds < 7200 else f"{seconds / 3600:g}h"


def where(lines: Sequence[int]) -> str:
    """Lines of the timeline, as a person looks them up."""
    return f"timeline.jsonl:{','.join(map(str, lines))}"


def page(drill: dict[str, Any], verbosity: int = 1) -> Iterator[str]:
    """What was expected of one drill and what happened, for people; text from services brings no terminal escapes.

    Below 0 (`-q`) it is why it is not passed; 0 adds the story; from 1 (`-v`) on, every time, step and check.
    """
    for line in _page(drill, verbosity):
        yield one_line(line)


def _page(drill: dict[str, Any], verbosity: int) -> Iterator[str]:
    stack = f"{drill['severity']}, policy {drill['policy']}, {drill['stack']}"
    yield f"{drill['outcome'].upper()}: {drill['drill']} ({stack})"
    for reason, lines in zip(drill["reasons"], drill["reasons_rest_on"], strict=True):
        first, *rest = reason.splitlines() or [""]
        yield f"  - {first} ({where(lines)})"
        yield from (f"    {line}" for line in rest)
    if verbosity < 0:
        return
    if drill.get("story"):
        yield f"  what happened ({'from injected' if drill['injected'] else 'from the start'}):"
        yield from (f"    {line}" for line in drill["story"])
    if drill.get("folder") and drill["outcome"] != "passed":
        yield f"  more: {drill['folder']}/report.html"
    if verbosity < 1 or (drill["outcome"] in ("invalid", "aborted") and not drill["injected"]):
        return
    measured = [t for t in drill["targets"] if t["measured"] is not None or t["met"] is False]
    if measured:
        yield "  times from injected:"
    for target in measured:
        time = target["measured"]
        seen = f"{time['hi']:.2f} s (±{(time['hi'] - time['lo']) / 2:.2f} s)" if time else "never"
        verdict = {True: "met", False: "MISSED", None: ""}[target["met"]]
        origin = f"{target['source']}{', derived from the response time' if target['derived'] else ''}"
        yield f"    {target['target']:<9} {seen:<20} limit {_short(target['limit']):<6} {verdict:<7} ({origin})"
    if drill["steps"]:
        yield "  steps:"
    for step in drill["steps"]:
        yield f"    {'ok  ' if step['ok'] else 'FAIL'} {step['step']}: {step['proof']}"
    if drill["checks"]:
        yield "  checks:"
    for check in drill["checks"]:
        yield f"    {check['result']:<7} {check['check']}: {check['why']}"
