"""Times over runs: sparklines for the terminal and for a page, text for Prometheus, and two runs side by side."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from sevdrill.history import TIMES, Entry
from sevdrill.reports.case import short

__all__ = ["compared", "polyline", "prometheus", "sparkline", "trend_lines", "trend_rows"]

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-~=+*#"
SIGNS = {"passed": "P", "failed": "F", "invalid": "I", "aborted": "A"}


def sparkline(values: Sequence[float | None], blocks: str = BLOCKS) -> str:
    """One sign a run, as high as its value among the others; a dot where nothing was measured."""
    known = [value for value in values if value is not None]
    if not known:
        return "·" * len(values) if blocks is BLOCKS else " " * len(values)
    low, high = min(known), max(known)

    def sign(value: float | None) -> str:
        if value is None:
            return "·" if blocks is BLOCKS else " "
        # Equal values are a flat line in the middle, not a row of lows.
        place = 0.5 if high == low else (value - low) / (high - low)
        return blocks[min(len(blocks) - 1, int(place * len(blocks)))]

    return "".join(map(sign, values))


def trend_rows(entries: Mapping[str, Sequence[Entry]]) -> Iterator[dict[str, Any]]:
    """For each drill and time: every value, the last, the median, the target."""
    for drill, runs in entries.items():
        for time in TIMES:
            values = [run.times.get(time) for run in runs]
            known = [value for value in values if value is not None]
            if known:
                target = next((run.targets[time] for run in reversed(runs) if time in run.targets), None)
                yield {
                    "drill": drill,
                    "time": "rollback" if time == "rollback" else time.upper(),
                    "values": values,
                    "last": values[-1],
                    "median": median(known),
                    "target": target,
                    "outcomes": [run.outcome for run in runs],
                }


def trend_lines(entries: Mapping[str, Sequence[Entry]], blocks: str = BLOCKS) -> Iterator[str]:
    """The trend for a terminal."""
    rows = list(trend_rows(entries))
    for drill, runs in entries.items():
        outcomes = "".join(SIGNS.get(run.outcome, "?") for run in runs)
        count = f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
        yield f"{''.join(c if c.isprintable() else ' ' for c in drill)}  ({count}: {outcomes})"
        for row in (row for row in rows if row["drill"] == drill):
            last = short(row["last"]) if row["last"] is not None else "-"
            target = f"target {short(row['target'])}" if row["target"] is not None else ""
            line = f"  {row['time']:<8} {sparkline(row['values'], blocks)}  last {last}, median {short(row['median'])}"
            yield f"{line}{', ' if target else ''}{target}"


def polyline(values: Sequence[float | None], width: int = 160, height: int = 28) -> str:
    """The points of an SVG polyline; values that were not measured are left out."""
    known = [(n, value) for n, value in enumerate(values) if value is not None]
    high = 1.2 * max((value for _, value in known), default=0.0) or 1.0
    step = (width - 6) / max(1, len(values) - 1)
    points = [(3 + n * step, height - 3 - value / high * (height - 6)) for n, value in known]
    if len(points) == 1:
        # One run alone is a short line, so that it is seen.
        points.append((points[0][0] + 3, points[0][1]))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def prometheus(entries: Mapping[str, Sequence[Entry]]) -> Iterator[str]:
    """The last run of every drill in Prometheus' text format, for node_exporter's textfile collector or a gateway."""
    yield "# HELP sevdrill_time_seconds What the last run of a drill measured, the upper end."
    yield "# TYPE sevdrill_time_seconds gauge"
    lasts = [runs[-1] for runs in entries.values()]
    for run in lasts:
        for time, value in sorted(run.times.items()):
            yield f"sevdrill_time_seconds{_labels(run, time=time)} {value:g}"
    yield "# HELP sevdrill_target_seconds The limit that the last run of a drill was judged by."
    yield "# TYPE sevdrill_target_seconds gauge"
    for run in lasts:
        for time, value in sorted(run.targets.items()):
            yield f"sevdrill_target_seconds{_labels(run, time=time)} {value:g}"
    yield "# HELP sevdrill_outcome Whether the last run of a drill came to this outcome."
    yield "# TYPE sevdrill_outcome gauge"
    for run in lasts:
        for outcome in SIGNS:
            yield f"sevdrill_outcome{_labels(run, outcome=outcome)} {int(run.outcome == outcome)}"
    yield "# HELP sevdrill_last_run_timestamp_seconds When the last run of a drill began."
    yield "# TYPE sevdrill_last_run_timestamp_seconds gauge"
    for run in lasts:
        began = dt.datetime.fromisoformat(run.began).timestamp()
        yield f"sevdrill_last_run_timestamp_seconds{_labels(run)} {began:.3f}"


def _labels(run: Entry, **more: str) -> str:
    labels = {"drill": run.drill, "severity": run.severity, **more}
    escaped = {
        name: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name, value in labels.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"


def compared(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Two runs, drill by drill; both are lists of summaries."""
    first = {drill["drill"]: drill for drill in before}
    second = {drill["drill"]: drill for drill in after}
    for name in dict.fromkeys([*first, *second]):
        shown = "".join(c if c.isprintable() else " " for c in name)
        if name not in first or name not in second:
            yield f"{shown}: only in the {'first' if name in first else 'second'} run"
            continue
        one, two = first[name], second[name]
        changed = "" if one["outcome"] == two["outcome"] else "  <- changed"
        yield f"{shown}: {one['outcome'].upper()} -> {two['outcome'].upper()}{changed}"
        for time in TIMES:
            a, b = one["times"].get(time), two["times"].get(time)
            if a is None and b is None:
                continue
            label = "rollback" if time == "rollback" else time.upper()
            if a is None or b is None:
                was, now = (short(each["hi"]) if each else "never" for each in (a, b))
                yield f"  {label:<8} {was} -> {now}"
                continue
            # Two intervals that overlap may be the same time.
            same = a["lo"] <= b["hi"] and b["lo"] <= a["hi"]
            change = "no difference that polling could see" if same else f"{b['hi'] - a['hi']:+.1f} s"
            yield f"  {label:<8} {short(a['hi'])} -> {short(b['hi'])}  ({change})"
