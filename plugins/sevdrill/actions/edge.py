"""Steps at the edge, where users come in: who is let in, by which replica they are served, what they are shown."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from sevdrill.actions.base import Action
from sevdrill.actions.reverting import RevertingAction
from sevdrill.errors import ActionError
from sevdrill.faults.base import State
from sevdrill.faults.setting import Listed
from sevdrill.model import Record
from sevdrill.ports import Admin, Endpoints, Monitoring, Ports, Reading
from sevdrill.probes.tls import TlsProbe
from sevdrill.units import Duration

__all__ = ["Block", "RenewCertificate", "RevokeSession", "RouteAway"]


class _ListedAction(RevertingAction):
    """A step that puts on a list of a service what the runbook names, or what an alert that fires names."""

    # Monitoring as well, where an alert tells: a drill that names one waits for it, and needs it by that.
    needs: ClassVar[tuple[type, ...]] = (Admin,)
    setting: ClassVar[str]
    label: ClassVar[str]
    in_flight: ClassVar[float] = 10.0

    service: str
    """The service that keeps the list, on every replica."""
    alert: str = ""
    """Name of the alert that tells by a label what is meant; it must fire when the step begins."""

    @property
    @abstractmethod
    def named(self) -> tuple[str, ...]:
        """What the runbook itself names."""

    @model_validator(mode="after")
    def _either_names_or_asks(self) -> Self:
        if bool(self.named) == bool(self.alert):
            raise ValueError("give either what is meant, or the alert that tells it")
        return self

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    @property
    def _what(self) -> str:
        return ", ".join(self.named) or f"what {self.alert} names"

    @property
    def _listed(self) -> Listed:
        return Listed(self.service, self.setting)

    def prepare(self, ports: Ports) -> Record:
        try:
            return self._listed.before(ports, self.named or self._told(ports))
        except ValueError as error:
            raise ActionError(f"{self.title}: {error}") from None

    def _told(self, ports: Ports) -> tuple[str, ...]:
        firing = [alert for alert in ports[Monitoring].alerts() if alert.name == self.alert]
        told = sorted({alert.labels[self.label] for alert in firing if alert.labels.get(self.label)})
        if not told:
            fires = "fires without it" if firing else "does not fire"
            raise ValueError(f"the label {self.label} of {self.alert} is to tell what is meant, and the alert {fires}")
        return tuple(told)

    def run(self, ports: Ports, record: Record) -> None:
        self._listed.put(ports, record)

    def undo(self, ports: Ports, record: Record) -> None:
        self._listed.back(ports, record)

    def state(self, ports: Ports, record: Record) -> State:
        return self._listed.state(ports, record)

    def proof(self, ports: Ports, record: Record) -> Reading:
        state = self.state(ports, record)
        return Reading(ok=state is State.ON, why=f"in effect: {state}: {', '.join(record['entries'])}")


class RouteAway(_ListedAction):
    """Take replicas out of the rotation of what stands before them; they go on running, and get no traffic."""

    setting: ClassVar[str] = "away.replicas"
    label: ClassVar[str] = "replica"

    action: Literal["route-away"]
    replicas: tuple[str, ...] = ()
    """Names of the replicas; left out: those that the alert names by its label `replica`."""

    @property
    def named(self) -> tuple[str, ...]:
        return self.replicas

    @property
    def title(self) -> str:
        return f"{self.service} routes away from {self._what}"


class Block(_ListedAction):
    """Turn an address away: whatever it asks for, it is answered with 403."""

    setting: ClassVar[str] = "denied.addresses"
    label: ClassVar[str] = "address"

    action: Literal["block"]
    addresses: tuple[str, ...] = ()
    """The addresses; left out: those that the alert names by its label `address`."""

    @property
    def named(self) -> tuple[str, ...]:
        return self.addresses

    @property
    def title(self) -> str:
        return f"{self.service} blocks {self._what}"


class RevokeSession(_ListedAction):
    """Take the worth from sessions: whoever comes with one is answered with 401."""

    setting: ClassVar[str] = "revoked.sessions"
    label: ClassVar[str] = "credential"

    action: Literal["revoke-session"]
    sessions: tuple[str, ...] = ()
    """Names of the sessions, never their secret part; left out: those that the alert names by its label
    `credential`."""

    @property
    def named(self) -> tuple[str, ...]:
        return self.sessions

    @property
    def title(self) -> str:
        return f"{self.service} revokes {self._what}"


class RenewCertificate(Action):
    """Have a new certificate issued and served; done when a TLS client is shown it, whatever a file says."""

    needs: ClassVar[tuple[type, ...]] = (Admin, Endpoints)

    action: Literal["renew-certificate"]
    service: str
    """The service that serves it; it has a setting `certificate.days`."""
    url: str = Field(pattern=r"^https://[^/:]+:\d+/?$")
    """Where clients connect, such as `https://edge:3443`."""
    ca: str = Field(pattern=r"^http://")
    """Where the certificate of the authority is that clients trust."""
    days: int = Field(default=90, ge=1)
    """For how many days the new one is good."""

    @property
    def title(self) -> str:
        return f"renew the certificate of {self.service}"

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def run(self, ports: Ports, record: Record) -> None:
        ports[Admin].change(self.service, "certificate.days", str(self.days))

    def proof(self, ports: Ports, record: Record) -> Reading:
        probe = TlsProbe(probe="tls", url=self.url, ca=self.ca, days=self.days - 1, timeout=Duration(2))
        return probe.read(ports)
