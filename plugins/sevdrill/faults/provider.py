"""Faults of the third-party APIs that a system uses, played by its stub in the stack."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.faults.setting import Setting
from sevdrill.faults.switched import SwitchedFault
from sevdrill.ports import Admin
from sevdrill.units import Duration, Percent

__all__ = [
    "ProviderFlap",
    "ProviderLoseAnswers",
    "ProviderMalformedBody",
    "ProviderRateLimit",
    "ProviderRefuseKey",
    "ProviderRespondWithStatus",
    "ProviderSlow",
]

_ROUTE = r"^[a-z][a-z0-9-]*$"


class _ProviderFault(SwitchedFault):
    needs: ClassVar[tuple[type, ...]] = (Admin,)
    in_flight: ClassVar[float] = 10.0

    service: str
    """The provider; the fault is a setting in its operators' API."""


class ProviderRateLimit(_ProviderFault):
    """The provider lets fewer requests through with a key than are made, and answers the others with 429."""

    fault: Literal["provider.rate-limit"]
    key: str = Field(min_length=1)
    """The key that is limited; the provider has a setting `limit.KEY`."""
    rate: str = Field(pattern=r"^\d+/s$")
    """How many requests the key is good for, such as `1/s`."""

    @property
    def title(self) -> str:
        return f"{self.fault} of {self.rate} on {self.service}"

    @property
    def _switch(self) -> Setting:
        return Setting(self.service, f"limit.{self.key}", self.rate)


class ProviderRefuseKey(_ProviderFault):
    """The provider has revoked a key: what asks with it is answered with 401, for good."""

    fault: Literal["provider.refuse-key"]
    key: str = Field(min_length=1)
    """The key that is refused; the provider has a setting `revoked.KEY`."""

    @property
    def title(self) -> str:
        return f"{self.fault} on {self.service}"

    @property
    def _switch(self) -> Setting:
        return Setting(self.service, f"revoked.{self.key}", "yes")


class _AnswersFault(_ProviderFault):
    route: str = Field(default="all", pattern=_ROUTE)
    """What of the provider's API is hit, such as `chat`; it has a setting `answers.ROUTE`. `all` is everything."""

    @property
    def title(self) -> str:
        return f"{self.fault} of {self.route} on {self.service}"

    @property
    @abstractmethod
    def _answers(self) -> str: ...

    @property
    def _switch(self) -> Setting:
        return Setting(self.service, f"answers.{self.route}", self._answers)


class _SomeAnswersFault(_AnswersFault):
    share: Percent = Field(default=Percent(1.0), ge=0.01, le=1)
    """Which share of the requests is hit."""

    @property
    def _of_share(self) -> str:
        return f" {round(self.share * 100)}%"


class ProviderRespondWithStatus(_SomeAnswersFault):
    """The provider answers requests with an error, and does nothing."""

    fault: Literal["provider.respond-with-status"]
    status: int = Field(ge=400, le=599)
    """The status code, such as 503."""

    @property
    def _answers(self) -> str:
        return f"{self.status}{self._of_share}"


class ProviderSlow(_SomeAnswersFault):
    """The provider answers later than usual, and properly."""

    fault: Literal["provider.slow"]
    delay: Duration = Field(gt=0)
    """How much later."""

    @property
    def _answers(self) -> str:
        return f"slow {float(self.delay):g}s{self._of_share}"


class ProviderLoseAnswers(_SomeAnswersFault):
    """The provider does the work, and its answer is lost: who asked cannot know that it was done."""

    fault: Literal["provider.lose-answers"]

    @property
    def _answers(self) -> str:
        return f"lost{self._of_share}"


class ProviderMalformedBody(_SomeAnswersFault):
    """The provider does the work, and its answer cannot be read: half of it is missing, whatever its length says."""

    fault: Literal["provider.malformed-body"]

    @property
    def _answers(self) -> str:
        return f"malformed{self._of_share}"


class ProviderFlap(_AnswersFault):
    """The provider fails and recovers, over and over."""

    fault: Literal["provider.flap"]
    status: int = Field(default=503, ge=400, le=599)
    """What it answers while it fails."""
    period: Duration = Field(default=Duration(4), gt=0)
    """How long one failure and the recovery after it take together; each takes half of it."""

    @property
    def _answers(self) -> str:
        return f"flap {self.status} {float(self.period):g}s"
