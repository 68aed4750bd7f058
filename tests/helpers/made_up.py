"""Made-up drills and timelines: what the judge is tested with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sevdrill.detectors import alerts_of
from sevdrill.lines import (
    End,
    FaultLine,
    Line,
    MarkLine,
    MessageLine,
    Note,
    PageLine,
    PhaseLine,
    ReadLine,
    RunLine,
    Sample,
    StepLine,
)
from sevdrill.plan import checks_of, detect_series, effect_series, steady_series
from sevdrill.scenario import Kinds, Scenario, scenario_model
from sevdrill.timeline import Timeline

EVERY = 0.2

DATABASE_DOWN: dict[str, Any] = {
    "drill": "Database down",
    "severity": "SEV-1",
    "targets": {"detect": "30s", "mitigate": "60s", "recover": "90s"},
    "load": {"locustfile": "orders.py", "ledger": "orders"},
    "steady_state": {
        "hold": "2s",
        "every": "200ms",
        "probes": [
            {"probe": "http", "name": "health", "url": "http://app:3000/health"},
            {"probe": "load", "error_rate": {"below": "1%"}},
        ],
    },
    "inject": [{"fault": "container.kill", "service": "db"}],
    "effect": [{"probe": "http", "name": "orders fail", "url": "http://app:3000/orders", "status": "5xx"}],
    "detect": [{"alert": "DatabaseDown"}],
    "respond": [
        {"action": "announce", "status": "investigating"},
        {"action": "restart", "service": "db"},
    ],
    "verify": [{"check": "no_lost_writes", "ledger": "orders"}, {"check": "paged_once"}],
}

ROLLBACK: dict[str, Any] = {
    "drill": "Bad release",
    "severity": "SEV-2",
    "load": {"locustfile": "orders.py", "ledger": "orders"},
    "steady_state": DATABASE_DOWN["steady_state"],
    "inject": [{"fault": "change.deploy", "service": "app", "release": "1.1.0"}],
    "detect": [{"alert": "HighErrorRate"}],
    "respond": [{"action": "rollback", "service": "app", "answers": "http://app:3000/version"}],
    "verify": [{"check": "no_lost_writes", "ledger": "orders"}],
}

QUIET: dict[str, Any] = {
    "drill": "Quiet day",
    "severity": "SEV-4",
    "load": {"locustfile": "orders.py"},
    "steady_state": DATABASE_DOWN["steady_state"],
    "quiet": {"for": "20s"},
}

GOOD_READS: dict[str, dict[str, Any]] = {
    "no_lost_writes": {"attempted": 90, "acknowledged": 80, "found": 85, "lost": [], "duplicated": []},
    "no_duplicate_writes": {"attempted": 90, "acknowledged": 80, "found": 85, "lost": [], "duplicated": []},
    "alert_resolved": {"firing": 0, "alive": True, "why": "heartbeat"},
    "paged_once": {"alive": True, "why": "heartbeat"},
    "not_paged": {"alive": True, "why": "heartbeat"},
    "announced": {},
    "update_cadence": {},
}


def scenario(data: dict[str, Any], **changes: Any) -> Scenario:
    """A typed drill from plain data."""
    return scenario_model(Kinds.default()).model_validate({**data, **changes})


def series(
    name: str, until: float, good: Callable[[float], bool | None], *, since: float = 0.0, every: float = EVERY
) -> list[Sample]:
    """Samples of one series, each as long as a tenth of the time between two."""
    found = []
    count = int((until - since) / every)
    for number in range(count + 1):
        start = round(since + number * every, 4)
        end = round(start + every / 10, 4)
        if end <= until:
            ok = good(start)
            found.append(Sample(t=end, series=name, start=start, end=end, ok=ok, why="" if ok else "bad"))
    return found


def incident(
    drill: Scenario,
    *,
    injected: float = 10.0,
    detected: float | None = 12.0,
    mitigated: float | None = 16.0,
    recovered: float | None = 18.0,
    reads: dict[str, dict[str, Any]] | None = None,
    fault_on: bool = True,
    healthy_before: bool = True,
    monitoring_dies: float | None = None,
    pages: int = 1,
    ended: bool = True,
    dirty: bool = False,
    every: float = EVERY,
) -> list[Line]:
    """The lines of a run in which everything happened when the arguments say so; None: it never did."""
    respond = max(v for v in (detected, injected) if v is not None) + 0.1
    verify = (recovered or injected + 60) + drill.steady_state.hold + 1
    restore, end = verify + 2, verify + 4
    alive = series("monitoring", end, lambda t: monitoring_dies is None or t < monitoring_dies, every=0.5)
    pager = series("pager", end, lambda t: True, every=every)
    lines: list[Line] = [*alive, *pager]
    loaded = {name for name, probe in steady_series(drill).items() if probe.probe == "load"}
    for name in steady_series(drill):
        lines += series(
            name,
            verify if name in loaded else end,
            lambda t: (healthy_before and t < injected + 0.1) or (recovered is not None and t >= recovered),
            every=every,
        )
    for name in effect_series(drill):
        lines += series(name, end, lambda t: injected + 0.5 <= t < (recovered or end), every=every)
    for name in detect_series(drill):
        lines += series(name, end, lambda t: detected is not None and detected <= t < (recovered or end), every=every)
    lines += [
        PhaseLine(t=0.1, name="prepare"),
        PhaseLine(t=1.0, name="steady"),
        PhaseLine(t=injected - 0.02, name="inject"),
        MarkLine(t=injected, name="injected", lo=injected, hi=injected),
        FaultLine(t=injected + 0.2, index=0, fault="x", title="x", event="injected"),
        FaultLine(t=injected + 0.4, index=0, fault="x", title="x", event="on" if fault_on else "without-effect"),
        PhaseLine(t=injected + 0.5, name="detect"),
        PhaseLine(t=respond, name="respond"),
        PhaseLine(t=(mitigated or respond) + 0.2, name="recover"),
        PhaseLine(t=verify - 0.01, name="close"),
        PhaseLine(t=verify, name="verify"),
        PhaseLine(t=restore, name="restore"),
    ]
    for number in range(pages):
        when = (detected or injected) + 0.2 + number
        alerts = [{"name": alert, "labels": {}} for alert in alerts_of(drill.detect)]
        lines.append(PageLine(t=when, id=number, kind="page", status="firing", lo=when - 0.2, hi=when, alerts=alerts))
    for index, step in enumerate(drill.respond):
        common = {"part": "respond", "index": index, "action": step.action, "title": step.title, "mark": step.marks}
        common["is_message"] = step.is_message
        if step.is_message:
            lines.append(MessageLine(t=respond, to="status-page", status="investigating", text="[DRILL] x"))
            lines.append(StepLine(t=respond, event="ended", ok=True, lo=respond, hi=respond, why="said", **common))
        elif mitigated is not None:
            lines.append(
                StepLine(t=mitigated, event="ended", ok=True, lo=mitigated - 0.2, hi=mitigated, why="proved", **common)
            )
        else:
            lines.append(StepLine(t=respond + 60, event="ended", ok=False, why="not proved within 60s", **common))
    lines += read_lines(drill, restore - 0.5, reads or {})
    if ended:
        lines.append(End(t=end, dirty=dirty))
    return ordered(drill, lines)


def quiet(drill: Scenario, *, pages: int = 0, healthy: bool = True, monitoring_dies: float | None = None) -> list[Line]:
    """The lines of a quiet drill."""
    start, verify, end = 10.0, 30.0, 34.0
    lines: list[Line] = [
        *series("monitoring", end, lambda t: monitoring_dies is None or t < monitoring_dies, every=0.5),
        *series("pager", end, lambda t: True),
    ]
    for name, probe in steady_series(drill).items():
        lines += series(name, verify if probe.probe == "load" else end, lambda t: healthy or t < start + 5)
    for number in range(pages):
        when = start + 2 + number
        alerts = [{"name": "NoisyAlert", "labels": {}}]
        lines.append(PageLine(t=when, id=number, kind="page", status="firing", lo=when - 0.2, hi=when, alerts=alerts))
    lines += [
        PhaseLine(t=0.1, name="prepare"),
        PhaseLine(t=1, name="steady"),
        PhaseLine(t=start, name="quiet"),
        MarkLine(t=start, name="quiet", lo=start, hi=start),
        PhaseLine(t=verify, name="verify"),
        PhaseLine(t=verify + 2, name="restore"),
        *read_lines(drill, verify + 1, {}),
        End(t=end),
    ]
    return ordered(drill, lines)


def read_lines(drill: Scenario, when: float, reads: dict[str, dict[str, Any]]) -> list[Line]:
    return [
        ReadLine(t=when, check=index, when="verify", data=reads.get(check.check, GOOD_READS.get(check.check, {})))
        for index, check in enumerate(checks_of(drill))
    ]


def ordered(drill: Scenario, lines: Iterable[Line]) -> list[Line]:
    first = RunLine(
        drill=drill.drill,
        severity=drill.severity,
        policy="sop-001",
        stack="made up",
        wall=dt.datetime(2026, 1, 1, tzinfo=dt.UTC).isoformat(),
        scenario=drill.dump(),
    )
    return [first, *sorted(lines, key=lambda line: line.t)]


def numbered(lines: Iterable[Line], run: str = "0a1b2c3d") -> list[Line]:
    """The lines as a run writes them to its file: each with its number and the run's id."""
    return [line.model_copy(update={"n": n, "run": run}) for n, line in enumerate(lines, start=1)]


def recorded(folder: Path, lines: Iterable[Line]) -> Path:
    """A folder of a run, with these lines as its timeline."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(line.model_dump_json() + "\n" for line in numbered(lines))
    (folder / "timeline.jsonl").write_text(text, encoding="utf-8")
    return folder


def timeline(lines: Iterable[Line]) -> Timeline:
    return Timeline(lines)


__all__ = [
    "DATABASE_DOWN",
    "QUIET",
    "ROLLBACK",
    "Note",
    "incident",
    "numbered",
    "quiet",
    "recorded",
    "scenario",
    "series",
    "timeline",
]
