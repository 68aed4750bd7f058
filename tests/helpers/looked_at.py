"""Made-up runs as reports look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from made_up import DATABASE_DOWN, scenario

from sevdrill.judge import judge
from sevdrill.reports.case import Case
from sevdrill.severity import load_policy
from sevdrill.timeline import Line, Sample, Timeline, Users

DRILL = scenario(DATABASE_DOWN)
LOG = """\
2026-01-01T00:00:05.123456789Z error: before the fault, so it says nothing
2026-01-01T00:00:11.000000001Z connection to db:5432 refused, attempt 1
2026-01-01T00:00:12.000000001Z connection to db:5432 refused, attempt 2
2026-01-01T00:00:13.000000001Z all is <b>well</b>
not a line of an engine
"""


def with_load(lines: list[Line], failing: float) -> list[Line]:
    """The same run, with the load's samples as the load probe writes them."""

    def said(line: Line) -> Line:
        if not (isinstance(line, Sample) and line.series.startswith("steady:1")):
            return line
        rate = 0.0 if line.ok else failing
        users = Users(requests=40, failures=round(40 * rate), p95=(30 + 100 * rate) / 1000)
        why = f"{rate:.1%} of 40 requests failed, p95 {30 + 100 * rate:.0f} ms"
        return line.model_copy(update={"value": rate, "why": why, "users": users})

    return [said(line) for line in lines]


def case(lines: list[Line], folder: Path = Path("/nowhere"), policy: str = "sop-001", drill: Any = DRILL) -> Case:
    timeline, chosen = Timeline(lines), load_policy(policy)
    return Case(timeline, drill, chosen, judge(timeline, drill, chosen), folder)
