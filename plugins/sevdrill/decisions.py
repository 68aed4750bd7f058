"""The SOPs' decision rules, as pure functions over the tables of a policy.

* `declare`: should this be declared an incident?
* `remedy`: roll back, hotfix, switch off by flag, or fail over?
* `severity_from_impact`: which severity does the measured impact have?

Every answer says which line of the SOP decided. A value that is not known (None) makes no condition hold; lines that
could not be judged for want of a value are named in the answer, because they might have decided otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sevdrill.conditions import DataHarm, ImpactWhen, Remedy, RemedyRule, SituationWhen, What
from sevdrill.severity import Policy
from sevdrill.sop import SEVERITIES, Severity

__all__ = [
    "Declaration",
    "Impact",
    "Line",
    "RemedyChoice",
    "SeverityChoice",
    "Situation",
    "declare",
    "remedy",
    "severity_from_impact",
]

_CORE: frozenset[What] = frozenset({"complete_outage", "core_down", "core_degraded"})
# Worse things are also the milder things: when everything is down, so is the core, and who is down is degraded.
_ALSO: dict[What, frozenset[What]] = {
    "complete_outage": frozenset({"core_down", "core_degraded"}),
    "core_down": frozenset({"core_degraded"}),
    "performance_severe": frozenset({"performance"}),
}


@dataclass(frozen=True)
class Impact:
    """Measured impact. None is "not known"; nothing is guessed for it."""

    what: frozenset[What] = frozenset()
    """What is down or worse than normal; the worst name of each thing is enough."""
    data: frozenset[DataHarm] = frozenset()
    """What happened to data; empty: nothing."""
    users: float | None = None
    """Share of users affected, 0 to 1."""
    downtime: float | None = None
    """Seconds it would last if nobody acted; infinite where it does not end by itself. Never what the runbook left."""
    money: float | None = None
    """US dollars an hour."""
    response_time: float | None = None
    """Seconds that requests take."""
    core: bool | None = None
    """Whether core functionality suffers; not known: told by `what`, as far as that says it."""
    fix_time: float | None = None
    """Seconds that a fix would take."""
    workaround: bool | None = None
    """Whether users can work around it."""

    def __post_init__(self) -> None:
        _check_share("users", self.users)

    def says(self, name: str) -> object:
        """The value that conditions called ``name`` are about, with what follows from the others."""
        if name == "what":
            return self.what.union(*(_ALSO.get(each, frozenset()) for each in self.what))
        if name == "core" and self.core is None and self.what & _CORE:
            return True
        return getattr(self, name)


@dataclass(frozen=True)
class Situation:
    """What whoever must choose a remedy knows. None is "not known"."""

    down: bool | None = None
    """Production is completely down."""
    data_corrupted: bool | None = None
    """Data corruption was detected."""
    breach: bool | None = None
    """A security breach was identified."""
    error_rate: float | None = None
    """Share of requests that fail, 0 to 1."""
    fix_time: float | None = None
    """Seconds that a fix would take."""
    rollback_safe: bool | None = None
    """Rolling back is known to be safe, or known not to be."""
    recent_deploy: bool | None = None
    """Something was deployed shortly before."""
    external: bool | None = None
    """The cause lies outside."""
    code_bug: bool | None = None
    """The cause is a bug in the code."""
    one_feature: bool | None = None
    """Only one feature or provider suffers, and it has a switch."""
    major_feature_broken: bool | None = None
    """A major feature is completely broken."""
    slowdown: float | None = None
    """How much slower than normal, as a share: 0.5 is half as slow again."""
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

    def __post_init__(self) -> None:
        _check_share("error_rate", self.error_rate)

    def says(self, name: str) -> object:
        """The value that conditions called ``name`` are about."""
        return getattr(self, name)


@dataclass(frozen=True)
class Line:
    """A line of the SOP that decided, or might have."""

    sop: str
    """The SOP's words."""
    source: str
    """Where they stand, such as `playbook, "When to Rollback"`."""
    answer: str = ""
    """What the line says to do, or the severity it gives."""
    because: str = ""
    """Why we read it like this."""


@dataclass(frozen=True)
class Declaration:
    """Whether to declare an incident."""

    declare: bool
    """The decision."""
    do: str
    """What to do, in the SOP's words."""
    severities: tuple[Severity, ...]
    """The severities that the deciding line allows."""
    line: Line | None
    """The line that decided; None where no line says anything about this impact."""
    note: str = ""
    """How it was decided when the SOP has no rules for it."""
    undecided: tuple[Line, ...] = ()
    """Lines before the deciding one that could not be judged for want of a value."""


@dataclass(frozen=True)
class RemedyChoice:
    """Which remedy the SOP's rules choose."""

    remedy: Remedy | None
    """The decision; None where no rule says anything about this situation."""
    line: Line | None
    """The line that decided."""
    for_it: tuple[Line, ...] = ()
    """What the SOP wants considered and speaks for the decision."""
    against_it: tuple[Line, ...] = ()
    """What the SOP wants considered and speaks for another remedy."""
    note: str = ""
    """How it was decided when the SOP has no rules for it."""
    undecided: tuple[Line, ...] = ()
    """Lines before the deciding one that could not be judged for want of a value."""


@dataclass(frozen=True)
class SeverityChoice:
    """Which severity a measured impact has."""

    severity: Severity | None
    """The severity; None where no row describes the impact."""
    line: Line | None
    """The first row that gives this severity."""
    rows: tuple[Line, ...] = ()
    """Every row that holds, worst first."""
    note: str = ""
    """Says so where the SOP has no matrix, or no row for this impact."""
    undecided: tuple[Line, ...] = field(default=())
    """Rows that would make it worse and could not be judged for want of a value."""


def severity_from_impact(impact: Impact, policy: Policy) -> SeverityChoice:
    """The severity of ``impact``: of all rows that hold, the worst wins.

    The rows are those of the severity matrix and the lines of the severities' definitions: a matrix has no row for a
    breach, the definitions have. Without a matrix the definitions decide alone, and the note says so.
    """
    held: list[tuple[Severity, Line]] = []
    unknown: list[tuple[Severity, Line]] = []
    for severity, when, line in _severity_rows(policy):
        verdict = _holds(when, impact)
        if verdict is not False:
            (held if verdict else unknown).append((severity, line))
    held.sort(key=lambda row: SEVERITIES.index(row[0]))
    worst = held[0][0] if held else None
    notes = []
    if policy.matrix is None:
        notes.append(f"{policy.cite} has no severity matrix: its severity definitions decide")
    if worst is None:
        notes.append(f"no row of {policy.cite} describes this impact")
    below = len(SEVERITIES) if worst is None else SEVERITIES.index(worst)
    return SeverityChoice(
        severity=worst,
        line=held[0][1] if held else None,
        rows=tuple(line for _, line in held),
        note="; ".join(notes),
        undecided=tuple(line for severity, line in unknown if SEVERITIES.index(severity) < below),
    )


def declare(impact: Impact, policy: Policy) -> Declaration:
    """Whether ``impact`` must be declared an incident: the first rule of the SOP that holds decides.

    Where the SOP has no rule, or none that holds, its severity rows decide: an impact that one of them names is an
    incident of that severity, because the SOP gives it a response time; the note says so.
    """
    undecided: list[Line] = []
    for rule in policy.declare.rules if policy.declare else ():
        line = Line(rule.ask, policy.cited(rule.source), rule.do)
        verdict = _holds(rule.when, impact)
        if verdict:
            return Declaration(rule.declare, rule.do, rule.severities, line, undecided=tuple(undecided))
        if verdict is None:
            undecided.append(line)
    choice = severity_from_impact(impact, policy)
    why = "no rule that says when to declare" if policy.declare is None else "no rule to declare that fits this impact"
    note = f"{policy.cite} has {why}: its severity rows decide"
    if choice.severity is None:
        return Declaration(False, "Nothing the SOP names", (), None, f"{note}; {choice.note}", tuple(undecided))
    do = f"Declare {choice.severity}"
    return Declaration(True, do, (choice.severity,), choice.line, note, (*undecided, *choice.undecided))


def remedy(situation: Situation, policy: Policy) -> RemedyChoice:
    """Which remedy the SOP's rules choose in ``situation``: the first rule that holds decides."""
    if policy.remedy is None:
        return RemedyChoice(None, None, note=f"{policy.cite} has no rules for choosing a remedy")
    undecided: list[Line] = []
    for rule in policy.remedy.rules:
        verdict = _holds(rule.when, situation)
        if verdict:
            held = [each for each in policy.remedy.consider if _holds(each.when, situation)]
            return RemedyChoice(
                remedy=rule.then,
                line=_line(rule, policy),
                for_it=tuple(_line(each, policy) for each in held if each.then == rule.then),
                against_it=tuple(_line(each, policy) for each in held if each.then != rule.then),
                undecided=tuple(undecided),
            )
        if verdict is None:
            undecided.append(_line(rule, policy))
    note = f"no rule of {policy.cite} chooses a remedy for this situation"
    return RemedyChoice(None, None, note=note, undecided=tuple(undecided))


def _line(rule: RemedyRule, policy: Policy) -> Line:
    return Line(rule.sop, policy.cited(rule.source), rule.then, rule.because)


def _severity_rows(policy: Policy) -> Iterator[tuple[Severity, ImpactWhen, Line]]:
    """The matrix's rows, then the lines of the definitions, each as a condition."""
    if policy.matrix is not None:
        for row in policy.matrix.rows:
            words = f"{row.impact} | {row.users} | {row.downtime}"
            yield row.severity, row.when, Line(words, policy.cited(policy.matrix.source), row.severity)
    for severity, level in policy.severities.items():
        for meaning in level.means:
            if meaning.when is not None:
                yield severity, meaning.when, Line(meaning.sop, policy.cited(level.source), severity, meaning.because)


def _holds(when: ImpactWhen | SituationWhen | None, facts: Impact | Situation) -> bool | None:
    """Whether everything that ``when`` states holds; None when that depends on a value that is not known."""
    if when is None:
        return True
    unknown = False
    for name, wanted in when.asks().items():
        value = facts.says(name)
        if value is None:
            unknown = True
            continue
        if isinstance(value, frozenset):
            holds = wanted in value
        elif isinstance(value, bool):
            holds = value is wanted
        else:
            holds = wanted.holds(value)
        if not holds:
            return False
    return None if unknown else True


def _check_share(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"{name} is a share between 0 and 1, found {value}")
