"""Checks of data integrity: what users were told is kept, once."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from typing import ClassVar, Literal

from sevdrill.checks.base import Check, Finding, Result
from sevdrill.model import Record
from sevdrill.ports import Ledgers, Load, Ports
from sevdrill.timeline import Timeline
from sevdrill.units import Duration

__all__ = ["NoDuplicateWrites", "NoLostWrites"]

SHOWN = 10


class _LedgerCheck(Check):
    needs: ClassVar[tuple[type, ...]] = (Load, Ledgers)
    invariant: ClassVar[bool] = True

    ledger: str
    """Name under which the locustfile notes its writes ; `x-sevdrill: {ledgers: ...}` reads them back."""
    rows: str = ""
    """Name under which `x-sevdrill: {ledgers: ...}` reads them back; left out: the same."""
    within: Duration = Duration(10)
    """How long the system may take until every acknowledged write can be read."""

    def read(self, ports: Ports) -> Record:
        noted = ports[Load].ledger(self.ledger)
        rows = Counter(row for row in ports[Ledgers].rows(self.rows or self.ledger) if row in noted.attempted)
        return {
            "attempted": len(noted.attempted),
            "acknowledged": len(noted.acknowledged),
            "found": len(rows),
            "lost": sorted(noted.acknowledged - set(rows)),
            "duplicated": sorted(key for key, count in rows.items() if count > 1),
        }

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        if not data["acknowledged"]:
            return Finding(
                Result.UNKNOWN, f"no write of ledger {self.ledger} was ever acknowledged, so nothing is proved"
            )
        return self._judge(data)

    @abstractmethod
    def _judge(self, data: Record) -> Finding: ...


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more


class NoLostWrites(_LedgerCheck):
    """Every write that was acknowledged to a user is in the system."""

    check: Literal["no_lost_writes"]
    named: str = ""
    """A ledger of writes that are known to be lost, as after a restore: each of them is named, and none besides."""

    @property
    def title(self) -> str:
        besides = f", but for those of {self.named}" if self.named else ""
        return f"no acknowledged write of {self.ledger} is lost{besides}"

    def read(self, ports: Ports) -> Record:
        data = super().read(ports)
        if self.named:
            named = set(ports[Ledgers].rows(self.named))
            rows = set(ports[Ledgers].rows(self.rows or self.ledger))
            data |= {"named": len(named), "named_and_there": sorted(named & rows)}
            data["lost"] = sorted(set(data["lost"]) - named)
        return data

    def settled(self, data: Record) -> bool:
        return not data["lost"]

    def _judge(self, data: Record) -> Finding:
        if data["lost"]:
            return Finding(
                Result.BROKEN,
                f"{len(data['lost'])} of {data['acknowledged']} acknowledged writes are lost: {_some(data['lost'])}",
            )
        if data.get("named_and_there"):
            said = f"{len(data['named_and_there'])} writes are named as lost and are there"
            return Finding(Result.BROKEN, f"{said}: {_some(data['named_and_there'])}")
        besides = f", or among the {data['named']} of {self.named}" if self.named else ""
        return Finding(Result.HOLDS, f"{data['acknowledged']} acknowledged, all found{besides}")


class NoDuplicateWrites(_LedgerCheck):
    """No write is in the system twice, however often a client had to try."""

    check: Literal["no_duplicate_writes"]
    within: Duration = Duration(0)
    """How long to keep looking: what is written late may be there twice late."""

    @property
    def title(self) -> str:
        return f"no write of {self.ledger} is there twice"

    def settled(self, data: Record) -> bool:
        return bool(data["duplicated"])

    def _judge(self, data: Record) -> Finding:
        if not data["found"]:
            return Finding(Result.UNKNOWN, f"no write of ledger {self.ledger} was found at all, so nothing is proved")
        if data["duplicated"]:
            return Finding(
                Result.BROKEN, f"{len(data['duplicated'])} writes are there twice: {_some(data['duplicated'])}"
            )
        return Finding(Result.HOLDS, f"{data['found']} found, each once")
