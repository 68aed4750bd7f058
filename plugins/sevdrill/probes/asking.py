"""Probes that ask as an operator does: a command, a query of the database or of the metrics, a search in the logs."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from sevdrill.databases import Sql
from sevdrill.model import Model
from sevdrill.ports import Exec, Ports, Reading
from sevdrill.probes.base import Probe
from sevdrill.telemetry import Logs, Metrics
from sevdrill.units import Duration

__all__ = ["ExecProbe", "LogProbe", "MetricProbe", "SqlProbe"]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise PydanticCustomError("pattern", "no regular expression: {why}", {"why": str(error)}) from None
    return text


NOT_RUN = (126, 127)
"""What a container's runtime, as a shell, answers for a command that is not there or cannot be run."""
Pattern = Annotated[str, AfterValidator(_pattern)]


class NumberLimit(Model):
    """A bound on a number."""

    below: float | None = None
    """It must be below this."""
    above: float | None = None
    """It must be above this."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.below is None) == (self.above is None):
            raise PydanticCustomError("limit", 'expected either "below" or "above"')
        return self

    def __str__(self) -> str:
        return f"below {self.below:g}" if self.below is not None else f"above {self.above:g}"

    def reading(self, value: float) -> Reading:
        """What a number comes to."""
        good = (self.below is None or value < self.below) and (self.above is None or value > self.above)
        return Reading(ok=good, why=f"{value:g}" if good else f"{value:g}, expected {self}", value=value)


class MetricProbe(Probe):
    """What Prometheus gives for a query is on the right side of a limit, in every series of it.

    A query that gives nothing is unknown, which is never good: ask for `... or vector(0)` where nothing means 0.
    """

    needs: ClassVar[tuple[type, ...]] = (Metrics,)

    probe: Literal["metric"]
    query: str = Field(min_length=1)
    """The query, in PromQL."""
    value: NumberLimit
    """What each of its numbers must be."""

    @property
    def title(self) -> str:
        return self.name or f"{self.query} {self.value}"

    def read(self, ports: Ports) -> Reading:
        found = ports[Metrics].query(self.query)
        if not found:
            return Reading(ok=None, why=f"{self.query} gives nothing")
        # The worst of them, which is the one next to the limit or beyond it.
        return self.value.reading(max(found) if self.value.below is not None else min(found))


class SqlProbe(Probe):
    """What a query finds in a database is on the right side of a limit; it can change nothing."""

    needs: ClassVar[tuple[type, ...]] = (Sql,)

    probe: Literal["sql"]
    service: str
    """The database; the stack's `x-sevdrill: {databases: ...}` says how it is asked."""
    query: str = Field(pattern=r"^[^;]+$")
    """One statement; its first row has one number. It is asked in a transaction that only reads."""
    value: NumberLimit
    """What the number must be."""

    @property
    def title(self) -> str:
        return self.name or f"{self.query} {self.value}"

    def read(self, ports: Ports) -> Reading:
        rows = ports[Sql].query(self.service, self.query)
        try:
            return self.value.reading(float(rows[0]))
        except (IndexError, ValueError):
            return Reading(ok=None, why=f"expected a number, and the query gave {rows[:1] or 'nothing'}")


class ExecProbe(Probe):
    """A command in a service ends with the expected code, and prints what is expected: the exit of a job, for one."""

    needs: ClassVar[tuple[type, ...]] = (Exec,)

    probe: Literal["exec"]
    service: str
    """The service in which it is run, on one replica."""
    command: tuple[str, ...] = Field(min_length=1)
    """The command, as a list of arguments."""
    exit: int = Field(default=0, ge=0, le=255)
    """The code that it must end with."""
    prints: Pattern = ""
    """A regular expression that must be found in what it prints."""

    @property
    def title(self) -> str:
        return self.name or f"{' '.join(self.command)[:60]} in {self.service} ends with {self.exit}"

    def read(self, ports: Ports) -> Reading:
        done = ports[Exec].run(self.service, self.command, timeout=self.timeout)
        said = f"it ended with {done.code}: {(done.out + done.err)[-160:].strip() or 'it printed nothing'}"
        if done.code in NOT_RUN and self.exit not in NOT_RUN:
            return Reading(ok=None, why=f"it could not be run: {said}")
        if done.code != self.exit:
            return Reading(ok=False, why=said)
        if not re.search(self.prints, done.out + done.err, re.MULTILINE):
            return Reading(ok=False, why=f"{said}; expected {self.prints!r}")
        return Reading(ok=True, why=said)


class LogProbe(Probe):
    """A service wrote a line of this kind to its log in the last moments."""

    needs: ClassVar[tuple[type, ...]] = (Logs,)

    probe: Literal["log"]
    service: str
    """The service; the logs of all its replicas are searched."""
    match: Pattern = Field(min_length=1)
    """A regular expression that must be found in a line."""
    over: Duration = Duration(5)
    """How far back to look."""

    @property
    def title(self) -> str:
        return self.name or f"the log of {self.service} has {self.match!r}"

    @property
    def lag(self) -> float:
        return float(self.over)

    def read(self, ports: Ports) -> Reading:
        lines = ports[Logs].lines(self.service, self.over)
        found = next((line for line in lines if re.search(self.match, line)), None)
        if found is None:
            return Reading(ok=False, why=f"none of {len(lines)} lines of the last {self.over} has {self.match!r}")
        return Reading(ok=True, why=found.strip()[:160])
