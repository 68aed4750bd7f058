"""What each replica used during the run, from the evidence: numbers and small curves for the report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from sevdrill.metering import USAGE
from sevdrill.reports.case import Case
from sevdrill.units import Bytes

__all__ = ["curve", "resources"]

WIDTH, HEIGHT = 160, 36
MOST = 60
"""Replicas that are shown at most."""

Points = list[tuple[float, float | None]]


def resources(case: Case) -> dict[str, Any]:
    """The rows of the table of resources, and how to read it; no rows where nobody measured."""
    found = _read(case.folder / "evidence" / USAGE)
    at: list[float] = found.get("at", [])
    rows = [_row(case, name, at, used) for name, used in list(found.get("replicas", {}).items())[:MOST]]
    marks = [case.verdict.marks[name] for name in ("injected", "recovered") if name in case.verdict.marks]
    return {
        "rows": rows,
        "looks": len(at),
        "missed": found.get("missed", 0),
        "why": found.get("why_missed", ""),
        "lines": [_x(mark.hi, case.end) for mark in marks],
        "width": WIDTH,
        "height": HEIGHT,
    }


def _read(path: Path) -> dict[str, Any]:
    """The file, if it is one of ours: evidence may have been changed."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        at = [float(each) for each in found["at"]]
        replicas = {
            str(name): {key: _numbers(used[key], len(at)) for key in ("memory", "processor_seconds")}
            for name, used in found["replicas"].items()
        }
        return {**found, "at": at, "replicas": replicas, "missed": int(found.get("missed", 0))}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _numbers(values: Sequence[Any], count: int) -> list[float | None]:
    if len(values) != count:
        raise ValueError("a value is missing")
    return [None if value is None else float(value) for value in values]


def _row(case: Case, name: str, at: Sequence[float], used: dict[str, list[float | None]]) -> dict[str, Any]:
    memory: Points = list(zip(at, used["memory"], strict=True))
    share = _shares(list(zip(at, used["processor_seconds"], strict=True)))
    row: dict[str, Any] = {"name": name}
    for key, points, words in (("memory", memory, _memory), ("processor", share, _share)):
        known = [value for _, value in points if value is not None]
        before = [value for when, value in points if value is not None and when <= case.zero]
        row[key] = {
            "before": words(median(before)) if before else "–",
            "most": words(max(known)) if known else "–",
            "last": words(points[-1][1]) if points and points[-1][1] is not None else "does not run",
            "curves": curve(points, case.end),
        }
    return row


def _shares(points: Points) -> Points:
    """Processors in use between two looks, 1.0 is one of them; none where a replica was started anew in between."""
    found: Points = []
    for (was, before), (at, after) in pairwise(points):
        value = None if before is None or after is None or after < before else (after - before) / max(at - was, 1e-3)
        found.append((at, value))
    return found


def _memory(value: float) -> str:
    return f"{value / Bytes.parse('1MiB'):.0f} MiB" if value >= Bytes.parse("1MiB") else f"{value / 1024:.0f} KiB"


def _share(value: float) -> str:
    return f"{value:.0%}"


def _x(at: float, end: float) -> str:
    return f"{2 + (WIDTH - 4) * min(1.0, max(0.0, at / end)) if end else 2:.1f}"


def curve(points: Points, end: float) -> list[str]:
    """Points of SVG polylines from the run's begin to its end, one for each time that the replica ran."""
    high = max((value for _, value in points if value is not None), default=0.0) or 1.0
    return [" ".join(part) for part in _parts(points, end, high)]


def _parts(points: Points, end: float, high: float) -> Iterator[list[str]]:
    part: list[str] = []
    for at, value in [*points, (end, None)]:
        if value is not None:
            part.append(f"{_x(at, end)},{HEIGHT - 3 - value / high * (HEIGHT - 6):.1f}")
        elif part:
            # A single look is a short line, so that it is seen.
            x, y = part[-1].split(",")
            yield part if len(part) > 1 else [*part, f"{float(x) + 1.5:.1f},{y}"]
            part = []
