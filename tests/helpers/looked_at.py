"""Made-up runs as reports look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from made_up import DATABASE_DOWN, scenario

from sevdrill.judge import judge
from sevdrill.lines import Line, Sample, Users
from sevdrill.reports.case import Case
from sevdrill.severity import load_policy
from sevdrill.timeline import Timeline

DRILL = scenario(DATABASE_DOWN)
LOG = """\
2026-01-01T00:00:05.123456789Z error: before the fault, so it says nothing
2026-01-01T00:00:11.000000001Z connection to db:5432 refused, attempt 1
2026-01-01T00:00:12.000000001Z connection to db:5432 refused, attempt 2
2026-01-01T00:00:13.000000001Z all is <b>well</b>
not a line of an engine
"""

MIB = 1 << 20
USED = {
    "at": [float(n) for n in range(2, 24, 2)],
    "replicas": {
        "app-1": {
            "memory": [100 * MIB] * 4 + [300 * MIB] + [120 * MIB] * 6,
            "processor_seconds": [n * 0.5 for n in range(4)] + [n * 2.0 for n in range(4, 11)],
            "processes": [1] * 11,
        },
        "db-1": {
            "memory": [50 * MIB] * 5 + [None] * 3 + [40 * MIB] * 2 + [None],
            "processor_seconds": [1.0] * 5 + [None] * 3 + [0.1, 0.3] + [None],
            "processes": [5] * 11,
        },
    },
    "missed": 2,
    "why_missed": "StackError: <b>",
}
"""What two replicas used: the database is away between 12 and 18 s, and at the end."""


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
