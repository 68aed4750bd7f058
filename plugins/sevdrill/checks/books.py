"""Checks that two parts of a system say the same of what was written."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, Literal

from sevdrill.checks.base import Check, Finding, Result
from sevdrill.model import Record
from sevdrill.ports import Ledgers, Load, Ports
from sevdrill.timeline import Timeline
from sevdrill.units import Duration

__all__ = ["RowsMatch"]

SHOWN = 5


class RowsMatch(Check):
    """Two books have the same rows: nothing only in one of them, nothing twice.

    The first word of a row is its key. Rows of other keys than those that are asked for are left out.
    """

    needs: ClassVar[tuple[type, ...]] = (Load, Ledgers)
    invariant: ClassVar[bool] = True

    check: Literal["rows_match"]
    ledger: str | None = None
    """Asked for are the keys that the locustfile noted under this name; left out: those that `rows` has."""
    rows: str
    """The one book: a ledger of `x-sevdrill: {ledgers: ...}`."""
    to: str
    """The other book."""
    within: Duration = Duration(10)
    """How long the two may take until they agree."""

    @property
    def title(self) -> str:
        return f"{self.rows} match {self.to}"

    def read(self, ports: Ports) -> Record:
        both = [[row.strip() for row in ports[Ledgers].rows(name)] for name in (self.rows, self.to)]
        keys = ports[Load].ledger(self.ledger).attempted if self.ledger else {_key(row) for row in both[0]}
        one, other = (Counter(row for row in book if _key(row) in keys) for book in both)
        twice = sorted(row for row in {*one, *other} if max(one[row], other[row]) > 1)
        return {
            "rows": sum(one.values()),
            "only_in_rows": sorted((one - other).elements()),
            "only_in_to": sorted((other - one).elements()),
            "twice": twice,
        }

    def settled(self, data: Record) -> bool:
        return not (data["only_in_rows"] or data["only_in_to"] or data["twice"])

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        wrong = []
        for key, said in (
            ("twice", "are there twice"),
            ("only_in_rows", f"are in {self.rows} only"),
            ("only_in_to", f"are in {self.to} only"),
        ):
            if data[key]:
                more = f" and {len(data[key]) - SHOWN} more" if len(data[key]) > SHOWN else ""
                wrong.append(f"{len(data[key])} rows {said}: {', '.join(data[key][:SHOWN])}{more}")
        if wrong:
            return Finding(Result.BROKEN, "; ".join(wrong))
        if not data["rows"]:
            return Finding(Result.UNKNOWN, "neither has a row that is asked for, so nothing is proved")
        return Finding(Result.HOLDS, f"{data['rows']} rows, the same in both")


def _key(row: str) -> str:
    return row.partition(" ")[0]
