"""Writes the reports of one drill into its folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from sevdrill.masking import masked
from sevdrill.reports.case import Case
from sevdrill.reports.followups import follow_ups
from sevdrill.reports.retrospective import retrospective
from sevdrill.reports.story import story

__all__ = ["write_reports"]

T = TypeVar("T")


def write_reports(case: Case) -> dict[str, Any]:
    """Write `postmortem.md` and `report.html`; returns what a summary says besides the verdict.

    That is: ``folder``, ``sentence``, ``story``, ``follow_ups``, and ``trouble``, the reasons for what could not be
    made. A verdict must not be lost because a page of it cannot be drawn.
    """
    trouble: list[str] = []
    nothing: list[Any] = []

    def made(name: str, work: Callable[[], T], otherwise: T) -> T:
        try:
            return work()
        except Exception as error:  # whatever the reason, the verdict stands
            trouble.append(f"{name} of {case.folder} could not be made: {type(error).__name__}: {error}")
            return otherwise

    def page() -> str:
        from sevdrill.reports.html import report_page

        return report_page(case)

    def write(name: str, work: Callable[[], str]) -> None:
        # Half of a character, as a broken log has it, is no reason to have no report.
        (case.folder / name).write_text(work(), encoding="utf-8", errors="replace")

    for name, work in (("postmortem.md", lambda: masked(retrospective(case))), ("report.html", page)):
        made(name, partial(write, name, work), None)
    return {
        "folder": case.folder.name,
        "sentence": case.sentence,
        "story": made("the story", lambda: story(case), nothing),
        "follow_ups": made("the list of follow-ups", lambda: follow_ups(case), nothing),
        "trouble": trouble,
    }
