"""The probe of what users see: error rate and response time of the load."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from sevdrill.model import Model
from sevdrill.ports import Load, Ports, Reading
from sevdrill.probes.base import Probe
from sevdrill.units import Duration, Percent

__all__ = ["LoadProbe"]


class ErrorRateLimit(Model):
    """A bound on the share of failed requests."""

    below: Percent
    """The share must be below this."""


class ResponseTimeLimit(Model):
    """A bound on response times."""

    below: Duration
    """The percentile must be below this."""


class LoadProbe(Probe):
    """What the load's users saw in the last moments; a window without any request is bad (hung users send nothing)."""

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
            limits.append(f"error rate below {self.error_rate.below}")
        if self.p95 is not None:
            limits.append(f"p95 below {self.p95.below}")
        return self.name or f"{' and '.join(limits)} over {self.over}"

    def read(self, ports: Ports) -> Reading:
        window = ports[Load].window(self.over)
        rate, p95 = window.error_rate, window.p95
        if rate is None or p95 is None:
            return Reading(ok=False, why=f"no request ended in the last {self.over}")
        seen = f"{rate:.1%} of {window.requests} requests failed, p95 {p95 * 1000:.0f} ms"
        bad = (self.error_rate is not None and rate >= self.error_rate.below) or (
            self.p95 is not None and p95 >= self.p95.below
        )
        return Reading(ok=not bad, why=seen, value=rate if self.error_rate is not None else p95)
