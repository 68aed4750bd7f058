"""What the SOP wants done after an incident, and by when; for drills that found something."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sevdrill.judge import Outcome
from sevdrill.reports.case import Case
from sevdrill.reports.checklists import proof_of

__all__ = ["follow_ups", "owner"]


def owner(case: Case) -> str:
    """Whom the SOP names for the follow-ups: the incident commander, else who is called first, else its keeper."""
    roles = case.policy.roles.roles if case.policy.roles is not None else ()
    commander = next((role.role for role in roles if "commander" in role.role.lower()), "")
    first = next((step.to for step in case.policy.level(case.scenario.severity).escalation if step.people), "")
    return commander or first or case.policy.document.owner or "nobody is named"


def follow_ups(case: Case) -> list[dict[str, Any]]:
    """What is due after this run, each with its owner and due time; nothing after one that passed.

    What the run itself proves done (its timeline, say) is not asked of people again.
    """
    if case.verdict.outcome is not Outcome.FAILED:
        return []
    level = case.policy.level(case.scenario.severity)
    who = owner(case)
    found = []
    for up in level.follow_ups:
        if proof_of(case, up.what)[0] is not True:
            since = case.verdict.marks.get(up.since)
            at = case.wall(since.hi if since is not None else case.end) + dt.timedelta(seconds=float(up.due))
            found.append(_entry(up.what, who, at, case.policy.cited(up.source)))
    review = level.review
    reviewed = any("post-mortem" in up.what.lower() for up in level.follow_ups)
    if review is not None and review.mandatory and not reviewed:
        recovered = case.verdict.marks.get("recovered")
        begins = case.wall(recovered.hi if recovered is not None else case.end)
        due = begins + dt.timedelta(seconds=float(review.due)) if review.due is not None else None
        found.append(_entry("Post-mortem", who, due, f"{case.policy.cited(review.source)}: {review.sop}"))
    return found


def _entry(what: str, who: str, due: dt.datetime | None, source: str) -> dict[str, Any]:
    return {"what": what, "owner": who, "due": due.isoformat(timespec="seconds") if due else "", "source": source}
