"""Policies: an SOP as data, and the targets that it binds a drill to.

`load_policy` reads one of the shipped files in ``policies/`` or a team's own. `Policy.targets` is the contract with
the judge: an SOP's own target binds; where it gives none, its response time, counted from `injected`, binds detect,
respond, rollback, mitigate and recover. Every target says which section of the SOP it comes from.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self, get_args

from pydantic import Field, model_validator

from sevdrill import conditions, sop
from sevdrill.errors import PolicyError
from sevdrill.level import Common, Escalation, FollowUp, Level, Limit, Review, Said, TargetKey, Tell, Update
from sevdrill.model import Model
from sevdrill.modelfile import read_model
from sevdrill.sop import SEVERITIES, Severity, Status, Text
from sevdrill.units import Duration
from sevdrill.wording import report

__all__ = [
    "LIMITS",
    "SEVERITIES",
    "TARGET_KEYS",
    "Escalation",
    "FollowUp",
    "Level",
    "Limit",
    "Policy",
    "Review",
    "Said",
    "Target",
    "TargetKey",
    "Tell",
    "Update",
    "load_policy",
    "shipped_policies",
]

TARGET_KEYS: tuple[TargetKey, ...] = get_args(TargetKey)

LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "detect": "detected",
        "respond": "responded",
        "assess": "declared",
        "announce": "announced",
        "rollback": "rolled_back",
        "mitigate": "mitigated",
        "recover": "recovered",
    }
)
"""Which mark each key limits, counted from `injected`.

Two keys limit no mark: `update` is the longest time between two messages (the `update_cadence` check judges it), and
when a root cause is known (`root_cause`) is nothing that a tool can measure; it is shown to people as due.
"""

# What the response time binds where the SOP gives no target, in the only order in which it can happen: a derived limit
# never contradicts an own one before or after it. `respond` is not among them: the response time is its own target.
_DERIVED: tuple[TargetKey, ...] = ("detect", "rollback", "mitigate", "recover")

_SHIPPED = Path(__file__).parent / "policies"
_DEFAULT_FIRST = ("sop-001", "playbook", "emergency-procedures", "sv-sdk", "gpt-platform")


@dataclass(frozen=True)
class Target:
    """One time limit that a drill is judged by."""

    key: str
    """What it limits, such as `detect`; `LIMITS` has the mark."""
    limit: Duration
    """The limit, in seconds."""
    source: str
    """Where it comes from, such as `SOP-001, "Severity Levels"`."""
    derived: bool
    """True: derived from the response time, because the SOP gives no target of its own."""
    note: str = ""
    """What the reader must know, such as our reading of "immediate"."""


class Policy(Model):
    """An SOP as data."""

    policy: Text
    """The policy's name."""
    document: sop.Document
    """The document it was made of."""
    every_severity: Common = Common()
    """What the SOP says of all severities alike; a severity's own words go before it."""
    severities: dict[Severity, Level] = Field(min_length=1)
    """The severities, each complete: what `every_severity` says is filled in."""
    flow: sop.Flow | None = None
    """The incident flow."""
    checklists: tuple[sop.Checklist, ...] = ()
    """The checklists."""
    statuses: sop.StatusWords | None = None
    """The status words."""
    messages: dict[str, sop.Template] = Field(default_factory=dict)
    """The message templates, by name."""
    channel: sop.Channel | None = None
    """How incident channels are named."""
    roles: sop.Roles | None = None
    """The roles in an incident."""
    contacts: tuple[sop.Contacts, ...] = ()
    """The tables of contacts."""
    matrix: conditions.Matrix | None = None
    """The severity matrix."""
    declare: conditions.DeclareRules | None = None
    """The rules for declaring an incident."""
    remedy: conditions.RemedyRules | None = None
    """The rules for choosing rollback, hotfix or flags."""
    meeting: sop.Meeting | None = None
    """The review meeting."""
    postmortem: sop.PostMortem | None = None
    """The post-mortem template."""
    schedule: sop.Schedule | None = None
    """The drill schedule."""
    onboarding: sop.Onboarding | None = None
    """The onboarding track."""
    quick_fixes: sop.QuickFixes | None = None
    """Symptoms and their quick fixes."""
    alerts: sop.Alerts | None = None
    """The common alerts."""
    scenarios: tuple[sop.Scenario, ...] = ()
    """The SOP's own scenarios."""
    procedures: tuple[sop.Procedure, ...] = ()
    """Procedures and sets of commands."""
    guidance: tuple[sop.Guidance, ...] = ()
    """Every other list and rule of the SOP."""

    @model_validator(mode="after")
    def _complete_severities(self) -> Self:
        common = {name: getattr(self.every_severity, name) for name in self.every_severity.model_fields_set}
        whole = {
            severity: level.model_copy(update={k: v for k, v in common.items() if k not in level.model_fields_set})
            for severity, level in self.severities.items()
        }
        # Frozen for everyone else; filled in once, here, so that nobody reads a severity that is only half of one.
        object.__setattr__(self, "severities", {name: whole[name] for name in SEVERITIES if name in whole})
        return self

    @property
    def cite(self) -> str:
        """How reports cite the SOP, such as `SOP-001`."""
        return self.document.cite

    def cited(self, section: str) -> str:
        """A citation of ``section``, such as `SOP-001, "Severity Levels"`."""
        return f'{self.document.cite}, "{section}"'

    def level(self, severity: str) -> Level:
        """What the policy says of ``severity``.

        Raises:
            PolicyError: the policy has no such severity.
        """
        for name, level in self.severities.items():
            if name == severity:
                return level
        raise PolicyError(
            f'policy "{self.policy}" has no severity "{severity}"; it has {", ".join(self.severities)}'
            + _did_you_mean(severity, self.severities)
        )

    def targets(self, severity: str) -> dict[str, Target]:
        """The targets that bind a drill of ``severity``, by key; what binds nothing is not in it.

        Raises:
            PolicyError: the policy has no such severity.
        """
        level = self.level(severity)
        found: dict[str, Target] = {}
        for key in TARGET_KEYS:
            own = level.own(key)
            if own is not None:
                if own.time is not None:
                    found[key] = Target(key, own.time, self.cited(own.source), derived=False, note=own.note)
            elif key == "update" and level.update_every is not None:
                every = level.update_every
                note = f"the messages promise every {every.promise}" if every.promise != every.limit else ""
                found[key] = Target(key, every.limit, self.cited(every.source), derived=False, note=note)
            elif key in _DERIVED and level.response.time is not None:
                found[key] = self._derived(level, key, level.response.time)
        return found

    def _derived(self, level: Level, key: TargetKey, response: Duration) -> Target:
        note, limit, place = level.response.note, response, _DERIVED.index(key)
        for other in reversed(_DERIVED):
            own, before = level.own(other), _DERIVED.index(other) < place
            if own is None or own.time is None:
                continue
            if (before and own.time > limit) or (not before and own.time < limit):
                word = "shorter" if before else "longer"
                note = (
                    f"the response time, {response}, is {word} than the SOP's own target for {other} "
                    f'("{own.source}"), which cannot come {"after" if before else "before"} {key} and so binds'
                )
                limit = own.time
        return Target(key, limit, self.cited(level.response.source), derived=True, note=note)

    def status_word(self, status: Status) -> str:
        """The SOP's word for ``status``; where it has no status words, the plain word, capitalised."""
        words = self.statuses.words if self.statuses else ()
        return next((word.word for word in words if status in word.says), status.capitalize())

    def message(self, status: Status, to: str | None = None, severity: str | None = None) -> sop.Template | None:
        """The SOP's template for announcing ``status``; None where it has no template that fits.

        One written for the audience ``to`` goes before the others, then the file's order decides.
        """
        fits = [
            template
            for template in self.messages.values()
            if status in template.statuses and (severity is None or severity in template.severities)
        ]
        return next((template for template in fits if to in template.to), fits[0] if fits else None)

    def checklists_for(self, severity: str, phase: str | None = None) -> tuple[sop.Checklist, ...]:
        """The checklists for ``severity``, of one ``phase`` or of all."""
        return tuple(
            checklist
            for checklist in self.checklists
            if severity in checklist.severities and phase in (None, checklist.phase)
        )


def shipped_policies() -> list[str]:
    """Names of the policies that come with sevdrill, the default first."""
    found = {path.stem for path in _SHIPPED.glob("*.yml")}
    return [name for name in _DEFAULT_FIRST if name in found] + sorted(found - set(_DEFAULT_FIRST))


def load_policy(name_or_file: str) -> Policy:
    """The policy of that name, or the one in that ``.yml`` file.

    Raises:
        PolicyError: there is none, or its file has mistakes; the message has every one, with its place.
    """
    if name_or_file in shipped_policies():
        return _load_shipped(name_or_file)
    path = Path(name_or_file).expanduser()
    if path.suffix in (".yml", ".yaml"):
        return _load_file(path, name_or_file)
    raise PolicyError(
        f'there is no policy "{name_or_file}"{_did_you_mean(name_or_file, shipped_policies())}\n'
        f"shipped: {', '.join(shipped_policies())}; or give the path of a .yml file"
    )


@functools.cache
def _load_shipped(name: str) -> Policy:
    return _load_file(_SHIPPED / f"{name}.yml", f"policies/{name}.yml")


def _load_file(path: Path, shown: str) -> Policy:
    try:
        source, problems, policy = read_model(path, Policy, "policy")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PolicyError(f"{shown}: the policy file cannot be read: {reason}; check the path") from None
    if policy is None:
        raise PolicyError(report(shown, source, problems))
    return policy


def _did_you_mean(wrong: str, known: Collection[str]) -> str:
    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(wrong.casefold(), list(folded), n=1, cutoff=0.5)
    return f', did you mean "{folded[near[0]]}"?' if near else ""
