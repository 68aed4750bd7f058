"""What the SOP's decision rules make of the measured impact: severity, declaration, remedy, with the numbers behind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sevdrill.checks import Check, Result
from sevdrill.checks.triage import BROKEN as CORE_DOWN
from sevdrill.checks.triage import DOWN, LOOK, DecisionMatchesRules, SeverityMatchesImpact
from sevdrill.conditions import DataHarm, What
from sevdrill.decisions import Impact, Line, Situation, declare, remedy, severity_from_impact
from sevdrill.lines import ReadLine
from sevdrill.plan import checks_of, steady_series
from sevdrill.ports import Load
from sevdrill.reports.case import Case, short

__all__ = ["Decision", "decisions", "impact_of"]

ERRORS = 0.01
"""Share of failed requests from which on there are errors to speak of, where the drill's steady state says no other."""


@dataclass(frozen=True)
class Decision:
    """One decision, as the SOP's rules take it."""

    question: str
    answer: str
    rule: str
    """The line of the SOP that decided, and where it stands."""
    drill: str
    """What the drill did or said."""
    agrees: bool | None
    numbers: tuple[str, ...]


def impact_of(case: Case) -> tuple[Impact, tuple[str, ...]]:
    """The measured impact, and the numbers it rests on. What nobody measured is not guessed."""
    numbers: list[str] = []
    what: set[What] = set()
    worst = case.worst
    if worst is not None:
        numbers.append(f"at worst {worst.error_rate:.1%} of {worst.requests} requests failed, p95 {short(worst.p95)}")
        if _down(case):
            what.add("complete_outage")
            if worst.error_rate < DOWN:
                numbers.append("every probe of the steady state failed at the same time")
        elif worst.error_rate >= CORE_DOWN:
            what.add("core_down")
        elif worst.error_rate > ERRORS:
            what |= {"core_degraded", "api_failures"}
    elif "symptom" in case.verdict.marks:
        what.add("elevated_errors")
        numbers.append("users felt it; the drill has no load, so nobody counted how many")
    data: set[DataHarm] = set()
    for check in case.verdict.checks:
        if check.invariant:
            numbers.append(f"{check.title}: {check.finding.result}, {check.finding.why}")
            if check.finding.result is Result.BROKEN:
                data.add("loss" if check.check == "no_lost_writes" else "inconsistency")
    ends = [fault.for_ for fault in case.scenario.inject]
    downtime = max((float(end) for end in ends if end is not None), default=0.0)
    downtime = math.inf if not ends or None in ends else downtime
    lasts = "it does not end by itself" if math.isinf(downtime) else f"it ends by itself after {short(downtime)}"
    numbers.append(f"if nobody acted: {lasts}")
    users = worst.error_rate if worst is not None else None
    return Impact(frozenset(what), frozenset(data), users=users, downtime=downtime), tuple(numbers)


def _down(case: Case) -> bool:
    """Whether everything is down: nearly every request fails, or most do while every other probe fails as well.

    A load probe's window still holds good requests of before, and those of after a quick repair.
    """
    worst = case.worst
    if worst is None or worst.error_rate >= DOWN:
        return worst is not None
    others = [name for name, probe in steady_series(case.scenario).items() if Load not in probe.needs]
    looks = [[s for s in case.series.get(name, ()) if s.start <= worst.at <= s.end + LOOK] for name in others]
    return worst.error_rate >= CORE_DOWN and bool(looks) and all(any(s.ok is False for s in look) for look in looks)


def decisions(case: Case) -> list[Decision]:
    """Severity, declaration and remedy; nothing where nothing was injected."""
    if "injected" not in case.verdict.marks:
        return []
    impact, numbers = impact_of(case)
    # A check that counted by feature knows more than the load as a whole.
    for check, read in _reads(case):
        if isinstance(check, SeverityMatchesImpact) and (found_impact := check.measured(read.data, case.timeline)):
            impact, numbers = replace(found_impact[0], data=impact.data), (found_impact[1], *numbers)
    drilled, policy = case.scenario.severity, case.policy
    found = []
    choice = severity_from_impact(impact, policy)
    found.append(
        Decision(
            "Which severity is it?",
            choice.severity or "none that the SOP names",
            "; ".join(filter(None, (_cite(choice.line), choice.note))),
            f"drilled as {drilled}",
            None if choice.severity is None else choice.severity == drilled,
            numbers,
        )
    )
    said = declare(impact, policy)
    declared = "declared" in case.verdict.marks
    found.append(
        Decision(
            "Declare an incident?",
            said.do,
            "; ".join(filter(None, (_cite(said.line), said.note))),
            "the runbook declares it" if declared else "the runbook does not declare it",
            declared if said.declare else None,
            (),
        )
    )
    kinds = [fault.fault for fault in case.scenario.inject]
    deploy = any(kind in ("change.deploy", "change.config") for kind in kinds)
    outside = any(kind.startswith("provider") for kind in kinds)
    rate = impact.users
    situation = Situation(
        down=None if rate is None else _down(case),
        data_corrupted=bool(impact.data),
        error_rate=rate,
        recent_deploy=deploy,
        external=outside,
    )
    for check, read in _reads(case):
        if isinstance(check, DecisionMatchesRules) and (known := check.measured(read.data, case.timeline)):
            situation = replace(situation, one_feature=known[0].one_feature)
    cure = remedy(situation, policy)
    rolled_back = any(step.mark == "rolled_back" for step in case.verdict.steps)
    acts = ", ".join(s.title for s in case.verdict.steps if s.part == "respond" and not s.is_message) or "nothing"
    facts = [f"a release was deployed just before: {'yes' if deploy else 'no'}"]
    facts += [f"error rate {rate:.1%}"] if rate is not None else []
    found.append(
        Decision(
            "Roll back, hotfix, or switch off?",
            cure.remedy or "no rule says",
            "; ".join(filter(None, (_cite(cure.line), cure.note))),
            f"the runbook did: {acts}",
            # A rollback can only answer a change; for a dead process the SOPs' rule has no better word.
            rolled_back if cure.remedy == "rollback" and deploy else None,
            tuple(facts),
        )
    )
    return found


def _reads(case: Case) -> Iterator[tuple[Check, ReadLine]]:
    """The drill's checks, each with what it read."""
    checks = checks_of(case.scenario)
    for line in case.timeline.of(ReadLine):
        if line.ok and line.check < len(checks):
            yield checks[line.check], line


def _cite(line: Line | None) -> str:
    return f"“{line.sop}” ({line.source})" if line is not None else ""
