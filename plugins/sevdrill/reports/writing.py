"""Writes the reports of one drill into its folder."""

from __future__ import annotations

from typing import Any

from sevdrill.reports.case import Case
from sevdrill.reports.followups import follow_ups
from sevdrill.reports.postmortem import postmortem
from sevdrill.reports.story import story

__all__ = ["write_reports"]


def write_reports(case: Case) -> dict[str, Any]:
    """Write `postmortem.md` and `report.html`; returns what a summary says besides the verdict.

    That is: ``folder``, ``sentence``, ``story``, ``follow_ups``, and ``trouble``, the reasons for what could not be
    made. A verdict must not be lost because a page of it cannot be drawn.
    """
    trouble: list[str] = []
    text = postmortem(case.timeline, case.scenario, case.policy, case.verdict)
    (case.folder / "postmortem.md").write_text(text, encoding="utf-8")
    try:
        from sevdrill.reports.html import report_page

        (case.folder / "report.html").write_text(report_page(case), encoding="utf-8")
    except Exception as error:  # whatever the reason, the verdict stands
        trouble.append(f"{case.folder / 'report.html'} could not be made: {type(error).__name__}: {error}")
    return {
        "folder": case.folder.name,
        "sentence": case.sentence,
        "story": story(case),
        "follow_ups": follow_ups(case),
        "trouble": trouble,
    }
