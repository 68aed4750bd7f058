"""What a drill proposes to change: action items from what was missed, gaps of the runbook from what was not done."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from sevdrill.checks import Result
from sevdrill.detectors import alerts_of, missing
from sevdrill.probes import Probe
from sevdrill.reports.case import Case, short
from sevdrill.reports.checklists import ticked
from sevdrill.severity import LIMITS

__all__ = ["action_items", "known_of_prometheus", "runbook_gaps"]


def known_of_prometheus(case: Case) -> dict[str, Any]:
    """What the evidence knows of the stack's Prometheus: intervals and rules; empty where it knows nothing."""
    try:
        found = json.loads((case.folder / "evidence" / "prometheus.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def action_items(case: Case) -> list[str]:
    """One sentence for each thing that was missed, with the numbers, and what stands in the way where that is known."""
    return list(dict.fromkeys([*_targets(case), *_alerts(case), *_steps(case), *_checks(case), *_others(case)]))


def _targets(case: Case) -> Iterator[str]:
    for result in case.missed:
        key, limit = result.target.key, short(result.target.limit)
        if result.measured is None:
            yield f"{key}: never {LIMITS[key].replace('_', ' ')}, against {limit} ({result.target.source})"
            continue
        nouns = {
            "detect": "detection",
            "respond": "the first response",
            "mitigate": "mitigation",
            "recover": "recovery",
        }
        why = (
            _detection(case)
            if key == "detect"
            else _slowest(case)
            if key in ("mitigate", "respond", "rollback")
            else ""
        )
        took = f"{nouns.get(key, key)} took {short(result.measured.hi)} against {limit}"
        yield f"{took}{f': {why}' if why else ''} ({result.target.source})"


def _detection(case: Case) -> str:
    """What the alert waits for."""
    known = known_of_prometheus(case)
    names = set(alerts_of(case.scenario.detect))
    waits = [
        f"“{rule['name']}” waits “for: {short(float(rule['for']))}”"
        for rule in known.get("rules", ())
        if rule.get("name") in names and float(rule.get("for") or 0) > 0
    ]
    every = known.get("evaluation_interval")
    if every:
        waits.append(f"rules are evaluated every {short(float(every))}")
    return ", ".join(waits)


def _slowest(case: Case) -> str:
    acts = [e for e in case.events if e.kind == "step" and e.until is not None and e.at >= case.zero]
    slowest = max(acts, key=lambda e: (e.until or e.at) - e.at, default=None)
    if slowest is None or slowest.until is None:
        return ""
    return f"“{slowest.text.partition(': ')[0]}” alone took {short(slowest.until - slowest.at)}"


def _alerts(case: Case) -> Iterator[str]:
    for detector in case.scenario.detect:
        fired = any(e.kind == "alert" and e.text.startswith(detector.title) for e in case.events if e.at >= case.zero)
        if "injected" in case.verdict.marks and not fired:
            rule = "its probe" if isinstance(detector, Probe) else "its rule"
            yield f"{missing(detector)}: make {rule} see this fault"


def _steps(case: Case) -> Iterator[str]:
    for step in case.verdict.steps:
        if not step.ok:
            yield f"“{step.title}” had no effect that could be proved: {step.why}"


def _checks(case: Case) -> Iterator[str]:
    for check in case.verdict.checks:
        if check.finding.result is not Result.HOLDS:
            yield f"{check.title}: {check.finding.result}: {check.finding.why}"


def _others(case: Case) -> Iterator[str]:
    """Reasons that none of the above tells."""
    told = tuple(f"{key}:" for key in (*LIMITS, "investigate", "close", *(c.title for c in case.verdict.checks)))
    yield from (reason for reason in case.verdict.reasons if not reason.startswith(told))


def runbook_gaps(case: Case) -> list[str]:
    """What the SOP's checklists ask for and the runbook did not do, each as a change of the runbook to talk about."""
    if "injected" not in case.verdict.marks:
        return []
    found = [
        f"{change} ({each.name}: “{item.text}”; {item.proof})"
        for each in ticked(case)
        for item in each.items
        if item.done is False and (change := _change(item.proof))
    ]
    found += [
        f"rewrite the step “{step.title}”, which did not work as written: {step.why}"
        for step in case.verdict.steps
        if not step.ok
    ]
    return list(dict.fromkeys(found))


def _change(proof: str) -> str:
    """The change that an item which was not done asks for; none where no runbook can do it, as for a recovery."""
    message = re.match(r"no message(?: (\w+))? to ([\w-]+)", proof)
    if message is not None:
        status = message[1] or "investigating"
        where = "close" if status == "resolved" else "respond"
        return f"add to {where}: {{action: announce, to: {message[2]}, status: {status}}}"
    changes = {
        "no step": "add to respond: a step that mitigates it",
        "never paged": "route the alert to somebody's pager",
        "evidence/": "have the stack's logs collected",
    }
    return next((change for words, change in changes.items() if proof.startswith(words)), "")
