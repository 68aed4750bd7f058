"""What a check is: a final read of the stack, and a judgement of what was read."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from sevdrill.model import Model, Record
from sevdrill.ports import Ports
from sevdrill.severity import Policy
from sevdrill.timeline import Timeline
from sevdrill.units import Duration

__all__ = ["Check", "Finding", "Result"]


class Result(StrEnum):
    """What a check came to; only `holds` lets a drill pass."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """The result of a check, and what it rests on."""

    result: Result
    why: str


class Check(Model):
    """Something that must be true once the stack has recovered."""

    needs: ClassVar[tuple[type, ...]]
    invariant: ClassVar[bool] = False
    """Whether breaking it is worse than anything else that can go wrong: lost or doubled data."""

    of_runbook: ClassVar[bool] = False
    """Whether it asks what the runbook's own steps did. Where people act, or nobody does, it is not asked."""

    check: str
    within: Duration = Duration(0)
    """How long after recovery it may take to become true."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The check in a few words, for people."""

    @abstractmethod
    def read(self, ports: Ports) -> Record:
        """Read what the judgement needs, as JSON; an exception makes the check unknown."""

    def settled(self, data: Record) -> bool:
        """Whether waiting longer could not improve what was read."""
        return True

    @abstractmethod
    def judge(self, data: Record, timeline: Timeline) -> Finding:
        """Judge what was read: pure, so that an old run can be judged again."""

    def judge_by(self, data: Record, timeline: Timeline, policy: Policy) -> Finding:
        """As `judge`, for a check that asks what the SOP says; others need not know it."""
        return self.judge(data, timeline)
