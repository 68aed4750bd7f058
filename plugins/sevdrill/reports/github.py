"""The summary that GitHub Actions shows on a workflow run's page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sevdrill.escaping import markdown
from sevdrill.reports.case import short
from sevdrill.reports.terminal import COLUMNS

__all__ = ["step_summary"]

ICONS = {"passed": "✅", "failed": "❌", "invalid": "❔", "aborted": "⏹"}


def step_summary(drills: Sequence[Mapping[str, Any]], said: Sequence[str]) -> str:
    """Markdown: a row a drill, and why each that did not pass did not."""
    return "\n".join(_lines(drills, said)) + "\n"


def _lines(drills: Sequence[Mapping[str, Any]], said: Sequence[str]) -> Iterator[str]:
    yield "## Incident drills"
    yield ""
    yield f"| drill | outcome | severity | {' | '.join(COLUMNS)} |"
    yield f"| --- | --- | --- |{' ---: |' * len(COLUMNS)}"
    for drill in drills:
        targets = {t["target"]: t for t in drill["targets"]} if drill["injected"] else {}
        cells = " | ".join(_cell(targets.get(key)) for key in COLUMNS)
        outcome = f"{ICONS[drill['outcome']]} {drill['outcome'].upper()}"
        yield f"| {markdown(drill['drill'])} | {outcome} | {drill['severity']} | {cells} |"
    for drill in drills:
        if drill["outcome"] != "passed":
            yield ""
            yield f"**{markdown(drill['drill'])}**"
            yield ""
            yield from (f"* {markdown(reason)}" for reason in drill["reasons"])
    if said:
        yield ""
        yield from (f"* {markdown(line)}" for line in said)
    yield ""


def _cell(target: Mapping[str, Any] | None) -> str:
    if target is None or target["met"] is None:
        return "–"
    measured = short(target["measured"]["hi"]) if target["measured"] else "never"
    text = f"{measured} / {short(target['limit'])}{'&#42;' if target['derived'] else ''}"
    return text if target["met"] else f"**{text} missed**"
