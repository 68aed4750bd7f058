"""`report.html`: one drill on one page that opens offline, is readable on a phone, and prints."""

from __future__ import annotations

import base64
import gzip
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sevdrill.escaping import clean, line
from sevdrill.judge import Outcome
from sevdrill.lines import StepLine
from sevdrill.reports.case import Case, short, span
from sevdrill.reports.checklists import ticked
from sevdrill.reports.deciding import decisions
from sevdrill.reports.logs import errors_in_logs
from sevdrill.reports.plotting import POINTS, figure
from sevdrill.reports.proposals import known_of_prometheus
from sevdrill.reports.resources import resources
from sevdrill.reports.terminal import where

__all__ = ["environment", "report_page"]

EVENTS = 400
"""Events that are listed at most; a drill has a few dozen."""


def _shown(value: Any) -> Any:
    """What stands in a page holds no secret and no control character; finished markup stays as it is."""
    return line(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


@cache
def environment() -> Environment:
    """The templates; everything that is put into them is escaped."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _plotly() -> str:
    """plotly.js, packed: plain it is as big as a report may be. Empty where plotly is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        return ""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 6, mtime=0)).decode("ascii")


def report_page(case: Case) -> str:
    """The page of one drill."""
    return environment().get_template("report.html").render(_view(case))


def _view(case: Case) -> dict[str, Any]:
    run, verdict = case.timeline.run, case.verdict
    plotly = _plotly()
    injected = "injected" in verdict.marks
    return {
        "run": run,
        "policy": case.policy,
        "scenario": case.scenario,
        "began": f"{case.began:%Y-%m-%d %H:%M:%S} UTC",
        "index": (case.folder.parent / "summary.json").exists() or (case.folder.parent / "index.html").exists(),
        "outcome_word": str(verdict.outcome),
        "sentence": case.sentence,
        "reasons": list(zip(verdict.reasons, map(where, verdict.rests_on), strict=True)),
        "dirty": verdict.dirty,
        "waived": verdict.waived,
        "injected": injected,
        "clock": _clock(case) if injected else [],
        "times": [(name.upper() if name != "rollback" else name, span(time)) for name, time in verdict.times.items()],
        "felt": case.felt,
        "notes": scrape_notes(case),
        "thinned": _thinned(case),
        "steps": [
            {"title": s.title, "part": s.part, "ok": bool(s.ok), "why": s.why, "took": _took(case, s.part, s.index)}
            for s in verdict.steps
        ],
        "checks": [{"title": c.title, "result": str(c.finding.result), "why": c.finding.why} for c in verdict.checks],
        "decisions": decisions(case),
        "checklists": [
            {"name": c.name, "within": c.within, "items": c.items} for c in (ticked(case) if injected else ())
        ],
        "events": _events(case),
        "logs": [
            f"{line.at - case.zero:+7.1f} s  {line.source}: {line.text}{f'  ({line.count} times)' * (line.count > 1)}"
            for line in errors_in_logs(case, most=20)
        ],
        "resources": resources(case),
        "evidence": _evidence(case.folder / "evidence"),
        "figure": clean(figure(case)) if plotly else None,
        "plotly": plotly,
    }


def _clock(case: Case) -> list[dict[str, Any]]:
    ended = case.verdict.outcome in (Outcome.ABORTED, Outcome.INVALID)
    return [
        {
            "key": result.target.key,
            "measured": span(result.measured)
            if result.measured is not None
            else ("never" if result.met is False else "not reached" if ended else "not measured"),
            "limit": short(result.target.limit),
            "met": result.met,
            "ended": ended,
            "derived": result.target.derived,
            "own": "the drill's own"
            if result.target.source == "the drill"
            else f"{result.target.source}: the SOP's own",
            "source": result.target.source,
            "note": result.target.note,
        }
        for result in case.verdict.targets
    ]


def _took(case: Case, part: str, index: int) -> str:
    lines = [s for s in case.timeline.of(StepLine) if (s.part, s.index) == (part, index)]
    began = next((s.t for s in lines if s.event == "began"), None)
    ended = next((s.t for s in lines if s.event == "ended"), None)
    return "–" if began is None or ended is None else short(ended - began)


def _thinned(case: Case) -> str:
    most = max((len(samples) for samples in case.series.values()), default=0)
    if most <= POINTS:
        return ""
    return f"Of up to {most} samples a line, each stretch's first, lowest, highest and last are drawn: no peak is lost."


def _events(case: Case) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "after": f"{event.at - case.zero:+.1f} s",
            "wall": f"{case.wall(event.at):%H:%M:%S}",
            "kind": event.kind,
            "text": event.text,
            "ok": event.ok,
        }
        for event in case.events
    ]
    if len(found) > EVENTS:
        more = {
            "after": "",
            "wall": "",
            "kind": "",
            "ok": None,
            "text": f"… and {len(found) - EVENTS} more in timeline.jsonl",
        }
        found = [*found[:EVENTS], more]
    return found


def _evidence(folder: Path) -> list[dict[str, str]]:
    if not folder.is_dir():
        return []
    return [
        {"name": path.name, "size": f"{max(1, path.stat().st_size // 1024)} KiB"}
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != "MANIFEST.sha256"
    ]


COMMON = 15.0
"""Seconds between two scrapes in many a production; Prometheus' own default is a minute."""


def scrape_notes(case: Case) -> list[str]:
    """What makes detection on this stack faster than production's would be."""
    known = known_of_prometheus(case)
    try:
        scrape, evaluation = float(known["scrape_interval"]), float(known["evaluation_interval"])
    except (ValueError, KeyError, TypeError):
        return []
    if "detected" not in case.verdict.marks or scrape >= COMMON:
        return []
    later = (COMMON - scrape) + max(0.0, COMMON - evaluation)
    text = (
        f"This stack's Prometheus scrapes every {short(scrape)} and evaluates its rules every {short(evaluation)}. "
        f"With {short(COMMON)} for both, as in many a production, the same alert could fire up to {short(later)} later."
    )
    return [text]
