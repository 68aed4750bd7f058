"""The decision rules of an SOP as tables: conditions on what was measured, and what follows from them.

`sevdrill.decisions` applies them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from sevdrill.model import Model
from sevdrill.sop import Block, Severity, Text
from sevdrill.units import Duration, Percent

__all__ = [
    "DataHarm",
    "DeclareRule",
    "DeclareRules",
    "ImpactWhen",
    "Matrix",
    "MatrixRow",
    "Meaning",
    "Money",
    "Remedy",
    "RemedyRule",
    "RemedyRules",
    "Share",
    "SituationWhen",
    "Span",
    "What",
]

Remedy = Literal["rollback", "hotfix", "flags", "failover"]
"""What the rules of an SOP can answer to "what now?"."""

What = Literal[
    "complete_outage",
    "core_down",
    "core_degraded",
    "major_feature_broken",
    "api_failures",
    "minor_feature",
    "partial_functionality",
    "noncritical_feature",
    "performance_severe",
    "performance",
    "elevated_errors",
    "minor_bug",
    "monitoring_alert",
    "cosmetic",
    "documentation",
]
"""What is down or worse than normal."""

DataHarm = Literal["loss", "partial_loss", "corruption", "inconsistency", "breach"]
"""What happened to data, or to who can read it."""


class _Range(Model):
    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if all(bound is None for _, bound in self):
            raise PydanticCustomError("empty", "expected above, at_least, below or at_most")
        return self

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies in the range."""
        tests: dict[str, Callable[[float, float], bool]] = {
            "above": operator.gt,
            "at_least": operator.ge,
            "below": operator.lt,
            "at_most": operator.le,
        }
        bounds = {name: getattr(self, name) for name in tests}
        return all(tests[name](value, float(bound)) for name, bound in bounds.items() if bound is not None)


class Share(_Range):
    """A range of shares, such as `{above: 25%}`."""

    above: Percent | None = None
    """More than."""
    at_least: Percent | None = None
    """This or more."""
    below: Percent | None = None
    """Less than."""
    at_most: Percent | None = None
    """This or less."""


class Span(_Range):
    """A range of durations, such as `{above: 1h}`."""

    above: Duration | None = None
    """Longer than."""
    at_least: Duration | None = None
    """This or longer."""
    below: Duration | None = None
    """Shorter than."""
    at_most: Duration | None = None
    """This or shorter."""


class Money(_Range):
    """A range of US dollars an hour, such as `{above: 10000}`."""

    above: float | None = None
    """More than."""
    at_least: float | None = None
    """This or more."""
    below: float | None = None
    """Less than."""
    at_most: float | None = None
    """This or less."""


class _When(Model):
    def asks(self) -> dict[str, Any]:
        """What it states, by name."""
        return {name: wanted for name, wanted in self if wanted is not None}

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.asks():
            raise PydanticCustomError(
                "empty", "expected at least one of {keys}", {"keys": ", ".join(type(self).model_fields)}
            )
        return self


class ImpactWhen(_When):
    """A condition on measured impact; everything that it states must hold."""

    what: What | None = None
    """This is down or worse than normal."""
    data: DataHarm | None = None
    """This happened to data."""
    users: Share | None = None
    """The share of users affected."""
    downtime: Span | None = None
    """How long it would last if nobody acted."""
    money: Money | None = None
    """What it costs, in US dollars an hour."""
    response_time: Span | None = None
    """How long requests take."""
    core: bool | None = None
    """Whether core functionality suffers."""
    fix_time: Span | None = None
    """How long a fix would take."""
    workaround: bool | None = None
    """Whether users can work around it."""


class SituationWhen(_When):
    """A condition on the situation of whoever must choose a remedy; everything that it states must hold."""

    down: bool | None = None
    """Production is completely down."""
    data_corrupted: bool | None = None
    """Data corruption was detected."""
    breach: bool | None = None
    """A security breach was identified."""
    error_rate: Share | None = None
    """The share of requests that fail."""
    fix_time: Span | None = None
    """How long a fix would take."""
    rollback_safe: bool | None = None
    """Rolling back is known to be safe."""
    recent_deploy: bool | None = None
    """Something was deployed shortly before."""
    external: bool | None = None
    """The cause lies outside, at a vendor or another system."""
    code_bug: bool | None = None
    """The cause is a bug in the code."""
    one_feature: bool | None = None
    """Only one feature or one provider suffers, and it has a switch."""
    major_feature_broken: bool | None = None
    """A major feature is completely broken."""
    slowdown: Share | None = None
    """How much slower than normal."""
    unrelated_issues: bool | None = None
    """Several issues that have nothing to do with each other."""
    well_understood: bool | None = None
    """The issue is well understood."""
    simple_fix: bool | None = None
    """The fix is simple and quick."""
    side_effects: bool | None = None
    """Rolling back would have side effects."""
    partly_mitigated: bool | None = None
    """It is already partially mitigated."""


class Meaning(Model):
    """One line of a severity's definition."""

    sop: Text
    """The SOP's words."""
    when: ImpactWhen | None = None
    """The same as a condition; absent where nothing that is measured can tell."""
    because: str = ""
    """Why we read the words as that condition, where they leave room."""


class MatrixRow(Model):
    """One row of the severity matrix."""

    impact: Text
    """The SOP's first column."""
    users: Text
    """Users affected, in the SOP's words."""
    downtime: Text
    """Downtime, in the SOP's words."""
    severity: Severity
    """The severity that the row gives."""
    when: ImpactWhen
    """The row as a condition."""


class Matrix(Block):
    """The severity matrix: every row that holds counts, the worst wins."""

    rows: tuple[MatrixRow, ...]
    """The rows, in the SOP's order."""


class RemedyRule(Block):
    """One rule for choosing a remedy."""

    sop: Text
    """The SOP's words."""
    when: SituationWhen | None = None
    """When it holds; absent: always."""
    then: Remedy
    """The remedy."""
    because: str = ""
    """Why we read the SOP like this, where it leaves room."""


class RemedyRules(Model):
    """Rollback, hotfix or flags? The first rule that holds decides."""

    rules: tuple[RemedyRule, ...]
    """The rules, first to last."""
    consider: tuple[RemedyRule, ...] = ()
    """What the SOP only wants considered; it is shown beside the decision and never decides."""
    watch: Duration | None = None
    """How long to watch the metrics after a rollback."""
    watch_source: str = ""
    """The section that says how long to watch."""


class DeclareRule(Block):
    """One rule for declaring an incident."""

    ask: Text
    """The SOP's question, or its words."""
    when: ImpactWhen | None = None
    """When it holds; absent: always."""
    declare: bool
    """Whether to declare an incident."""
    do: Text
    """What to do, in the SOP's words."""
    severities: tuple[Severity, ...] = ()
    """The severities that the SOP names for this answer."""


class DeclareRules(Model):
    """Declare an incident? The first rule that holds decides."""

    rules: tuple[DeclareRule, ...]
    """The rules, first to last."""
