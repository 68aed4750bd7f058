"""Every kind of check. A new one is a small class in one file of this folder and one line in the list."""

from __future__ import annotations

from sevdrill.checks.access import Refused, SecretsRotated
from sevdrill.checks.alerts import AlertResolved, NotPaged, PagedOnce
from sevdrill.checks.base import Check, Finding, Result
from sevdrill.checks.books import RowsMatch
from sevdrill.checks.communication import Announced, UpdateCadence
from sevdrill.checks.course import Checklist, NoFailuresAfter, StayedGood
from sevdrill.checks.delivery import AlertedBeforeEffect, Delivered
from sevdrill.checks.evidence import LogsPreserved
from sevdrill.checks.release import VersionIs
from sevdrill.checks.setting import SettingIs
from sevdrill.checks.triage import DecisionMatchesRules, SeverityMatchesImpact
from sevdrill.checks.writes import NoDuplicateWrites, NoLostWrites

__all__ = ["CHECKS", "Check", "Finding", "Result"]

CHECKS: tuple[type[Check], ...] = (
    NoLostWrites,
    NoDuplicateWrites,
    AlertResolved,
    PagedOnce,
    NotPaged,
    Delivered,
    AlertedBeforeEffect,
    Announced,
    UpdateCadence,
    Refused,
    SecretsRotated,
    LogsPreserved,
    SeverityMatchesImpact,
    DecisionMatchesRules,
    RowsMatch,
    Checklist,
    StayedGood,
    NoFailuresAfter,
    SettingIs,
    VersionIs,
)
