"""The probe of what users see: error rate and response time of the load."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from sevdrill.lines import Users
from sevdrill.model import Model
from sevdrill.ports import Load, Ports, Reading
from sevdrill.probes.base import Probe
from sevdrill.units import Duration, Percent

__all__ = ["LoadProbe"]


class _Limit(Model):
    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (getattr(self, "below", None) is None) == (getattr(self, "above", None) is None):
            raise PydanticCustomError("limit", 'expected either "below" or "above"')
        return self

    def __str__(self) -> str:
        below, above = getattr(self, "below", None), getattr(self, "above", None)
        return f"below {below}" if below is not None else f"above {above}"

    def holds(self, value: float) -> bool:
        """Whether what was measured is within the limit."""
        below, above = getattr(self, "below", None), getattr(self, "above", None)
        return (below is None or value < below) and (above is None or value > above)


class ErrorRateLimit(_Limit):
    """A bound on the share of failed requests."""

    below: Percent | None = None
    """The share must be below this."""
    above: Percent | None = None
    """The share must be above this; for `stop` and `effect`."""


class ResponseTimeLimit(_Limit):
    """A bound on response times."""

    below: Duration | None = None
    """The percentile must be below this."""
    above: Duration | None = None
    """The percentile must be above this; for `stop` and `effect`."""


class LoadProbe(Probe):
    """What the load's users saw in the last moments; all limits that are given must hold.

    A window without any request is bad (hung users send nothing), and unknown to a probe that only looks for `above`.
    """

    needs: ClassVar[tuple[type, ...]] = (Load,)

    probe: Literal["load"]
    error_rate: ErrorRateLimit | None = None
    """Share of failed requests."""
    p95: ResponseTimeLimit | None = None
    """95th percentile of response times."""
    over: Duration = Duration(5)
    """Length of the window."""

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.error_rate is None and self.p95 is None:
            raise ValueError("a load probe limits nothing; give error_rate: {below: 1%} or p95: {below: 500ms}")
        return self

    @property
    def title(self) -> str:
        limits = []
        if self.error_rate is not None:
            limits.append(f"error rate {self.error_rate}")
        if self.p95 is not None:
            limits.append(f"p95 {self.p95}")
        return self.name or f"{' and '.join(limits)} over {self.over}"

    @property
    def lag(self) -> float:
        return float(self.over)

    def read(self, ports: Ports) -> Reading:
        window = ports[Load].window(self.over)
        rate, p95 = window.error_rate, window.p95
        users = Users(requests=window.requests, failures=window.failures, p95=p95)
        limits = [limit for limit in (self.error_rate, self.p95) if limit is not None]
        if rate is None or p95 is None:
            unknown = all(limit.above is not None for limit in limits)
            return Reading(ok=None if unknown else False, why=f"no request ended in the last {self.over}", users=users)
        seen = f"{rate:.1%} of {window.requests} requests failed, p95 {p95 * 1000:.0f} ms"
        good = (self.error_rate is None or self.error_rate.holds(rate)) and (self.p95 is None or self.p95.holds(p95))
        return Reading(ok=good, why=seen, value=rate if self.error_rate is not None else p95, users=users)
