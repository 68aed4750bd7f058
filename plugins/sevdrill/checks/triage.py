"""Checks of the triage: what was declared and done is what the SOP's rules make of the measured figures.

Nothing is taken from what the drill says that it breaks: error rates are those of the load, and a deployment counts
when it was seen on the stack.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.checks.base import Check, Finding, Result
from sevdrill.conditions import Remedy, What
from sevdrill.databases import Migrations
from sevdrill.decisions import Impact, Line, Situation, remedy, severity_from_impact
from sevdrill.lines import FaultLine, MarkLine, Sample, StepLine
from sevdrill.model import Record
from sevdrill.ports import Admin, Load, Ports
from sevdrill.severity import Policy
from sevdrill.timeline import Timeline

__all__ = ["DecisionMatchesRules", "SeverityMatchesImpact"]

DOWN = 0.95
"""Share of failed requests from which on everything is down; the SOPs give no number."""
BROKEN = 0.5
"""Share of failed requests from which on what was asked for is broken, not only degraded; the SOPs give no number."""
LOOK = 1.0
"""Seconds for which the last look of a probe counts."""
ONE = 0.95
"""Share of all failures that one feature must have, for the others to be called well."""

DEPLOYS = ("change.deploy", "change.config")
"""Faults that are rolled out, and can be rolled back."""

MIGRATES = "change.migration"
"""The fault by which a schema changes."""

DID: Mapping[str, Remedy] = MappingProxyType(
    {"rollback": "rollback", "config-rollback": "rollback", "flag": "flags", "deploy": "hotfix", "failover": "failover"}
)
"""Which remedy a step is."""


class _TriageCheck(Check):
    def judge(self, data: Record, timeline: Timeline) -> Finding:
        return Finding(Result.UNKNOWN, "only an SOP can say")

    @abstractmethod
    def judge_by(self, data: Record, timeline: Timeline, policy: Policy) -> Finding: ...


def _injected(timeline: Timeline) -> float:
    return next((mark.lo for mark in timeline.of(MarkLine) if mark.name == "injected"), math.inf)


def _rate(sample: Sample) -> float:
    """The share of the users' requests that failed; below 0 where no user was asked, or nothing ended."""
    return sample.users.failures / sample.users.requests if sample.users and sample.users.requests else -1.0


def _worst(timeline: Timeline) -> tuple[float, bool] | None:
    """The worst error rate that users saw after the injection, and whether it means that everything is down.

    It does where nearly every request fails, or most do while every other probe of the steady state fails as well.
    """
    injected = _injected(timeline)
    steady = [s for s in timeline.of(Sample) if s.series.startswith("steady:") and s.end >= injected]
    seen = [s for s in steady if _rate(s) >= 0]
    if not seen:
        return None
    worst = max(seen, key=_rate)
    rate, loads = _rate(worst), {s.series for s in steady if s.users is not None}
    looks = [s for s in steady if s.series not in loads and s.start <= worst.end <= s.end + LOOK]
    others = {s.series for s in looks}
    failed = {s.series for s in looks if s.ok is False}
    return rate, rate >= DOWN or (rate >= BROKEN and bool(others) and failed == others)


def _cited(line: Line | None) -> str:
    return f"“{line.sop}” ({line.source})" if line is not None else "no line"


class DecisionMatchesRules(_TriageCheck):
    """Rolled back, switched off by flag, or fixed forward: what was done is what the SOP's rules choose.

    They are given what was measured: the worst error rate, whether all failures are those of one feature with a switch,
    whether anything was deployed, and whether a migration that came with it has a way back.
    """

    needs: ClassVar[tuple[type, ...]] = (Load, Admin)
    of_runbook: ClassVar[bool] = True

    check: Literal["decision_matches_rules"]
    service: str
    """The service that has the switches."""
    switches: dict[str, str] = Field(default={})
    """Features that can be switched off: the requests, as the load names them, and the flag."""
    database: str = ""
    """The database whose migrations say whether a rollback is safe; left out: nothing is known of that."""

    @property
    def title(self) -> str:
        return "the remedy is the one that the SOP's rules choose"

    def read(self, ports: Ports) -> Record:
        settings = [set(replica) for replica in ports[Admin].settings(self.service).values()]
        flags = [flag for flag in self.switches.values() if settings and all(f"flag.{flag}" in s for s in settings)]
        failures = {name: list(counts) for name, counts in ports[Load].failures().items()}
        return {"failures": failures, "flags": sorted(flags), **self._way_back(ports)}

    def _way_back(self, ports: Ports) -> Record:
        """The newest migration that is in force, and whether it has a way back."""
        if not self.database:
            return {}
        newest = ports[Migrations].applied(self.database)[-1]
        return {"newest": newest, "way_back": bool(ports[Migrations].known(self.database, newest).down.strip())}

    def _safe(self, data: Record, timeline: Timeline) -> bool | None:
        """Whether rolling back is known to be safe: the release from before was made for the schema from before."""
        came = any(f.fault == MIGRATES and f.event == "on" for f in timeline.of(FaultLine))
        return bool(data["way_back"]) if came and "way_back" in data else None

    def measured(self, data: Record, timeline: Timeline) -> tuple[Situation, str] | None:
        """The situation as it was measured, and the figures in words; None where no failure was counted."""
        worst = _worst(timeline)
        failed = {name: counts[1] for name, counts in data["failures"].items() if counts[1]}
        total = sum(failed.values())
        if worst is None or not total:
            return None
        rate, down = worst
        name, most = max(failed.items(), key=lambda each: each[1])
        one = most / total >= ONE and self.switches.get(name, "") in data["flags"]
        changes = [f.title for f in timeline.of(FaultLine) if f.event == "on" and f.fault in DEPLOYS]
        facts = f"{rate:.1%} failed at worst, {most / total:.0%} of the failures are of {name}; "
        facts += ", ".join(changes) or "nothing was deployed"
        safe = self._safe(data, timeline)
        if safe is not None:
            facts += f", with {data['newest']}, which has {'a' if safe else 'no'} way back"
        situation = Situation(
            down=down, error_rate=rate, one_feature=one, recent_deploy=bool(changes), rollback_safe=safe
        )
        return situation, facts

    def judge_by(self, data: Record, timeline: Timeline, policy: Policy) -> Finding:
        found = self.measured(data, timeline)
        if found is None:
            return Finding(Result.UNKNOWN, "no failed request was counted, so no rule can be applied")
        situation, facts = found
        choice = remedy(situation, policy)
        if choice.remedy is None:
            return Finding(Result.UNKNOWN, f"{facts}: {choice.note}")
        steps = [s for s in timeline.of(StepLine) if s.part == "respond" and s.event == "ended" and s.ok]
        did = list(dict.fromkeys(DID[s.action] for s in steps if s.action in DID))
        done = ", ".join(did) or "none of these"
        said = f"{facts}: {choice.remedy}, by {_cited(choice.line)}; the runbook did: {done}"
        return Finding(Result.HOLDS if did == [choice.remedy] else Result.BROKEN, said)


class SeverityMatchesImpact(_TriageCheck):
    """The declared severity is the one that the SOP's matrix and definitions give the measured impact."""

    needs: ClassVar[tuple[type, ...]] = (Load,)

    check: Literal["severity_matches_impact"]
    features: dict[str, Literal["core", "major", "minor", "cosmetic"]] = Field(min_length=1)
    """What users ask for, as the load names it, and how much it matters; what is not named is core."""

    @property
    def title(self) -> str:
        return "the severity is the one that the SOP gives this impact"

    def read(self, ports: Ports) -> Record:
        return {"failures": {name: list(counts) for name, counts in ports[Load].failures().items()}}

    def measured(self, data: Record, timeline: Timeline) -> tuple[Impact, str] | None:
        """The impact as it was measured, and the figures in words; None where nobody counted what users saw."""
        worst = _worst(timeline)
        if worst is None:
            return None
        rate, down = worst
        failed = {name: counts[1] for name, counts in data["failures"].items() if counts[1]}
        what: set[What] = {"complete_outage"} if down else self._what(rate, failed)
        facts = f"{rate:.1%} failed at worst ({', '.join(sorted(failed)) or 'nothing'}): {', '.join(sorted(what))}"
        return Impact(what=frozenset(what), users=rate, downtime=_downtime(timeline)), facts

    def judge_by(self, data: Record, timeline: Timeline, policy: Policy) -> Finding:
        found = self.measured(data, timeline)
        if found is None:
            return Finding(Result.UNKNOWN, "nobody counted what users saw")
        impact, facts = found
        choice = severity_from_impact(impact, policy)
        if choice.severity is None:
            return Finding(Result.UNKNOWN, f"{facts}: {choice.note}")
        declared = timeline.run.severity
        said = f"{facts} is {choice.severity}, by {_cited(choice.line)}; drilled as {declared}"
        return Finding(Result.HOLDS if choice.severity == declared else Result.BROKEN, said)

    def _what(self, rate: float, failed: Mapping[str, int]) -> set[What]:
        total = sum(failed.values())
        matters = {self.features.get(name, "core") for name, count in failed.items() if count >= (1 - ONE) * total}
        if "core" in matters:
            return {"core_down"} if rate >= BROKEN else {"core_degraded", "api_failures"}
        found: dict[str, What] = {"major": "major_feature_broken", "minor": "minor_feature", "cosmetic": "cosmetic"}
        return {found[each] for each in matters}


def _downtime(timeline: Timeline) -> float:
    """How long it would last if nobody acted, in seconds: a fault that ends by itself says when."""
    ends = [fault.get("for") for fault in timeline.run.scenario.get("inject", ())]
    return math.inf if not ends or None in ends else max(float(end) for end in ends)
