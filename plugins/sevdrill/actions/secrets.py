"""Steps that take the worth from credentials that strangers may have."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.actions.reverting import RevertingAction
from sevdrill.errors import ActionError
from sevdrill.faults.base import State
from sevdrill.model import Model, Record
from sevdrill.ports import Admin, Ports

__all__ = ["Issuer", "RotateSecret"]

AS_STARTED = "as started"
"""What a service shows of a secret that nobody has changed since it was started."""


class Issuer(Model):
    """Who decides which value of a secret is good."""

    service: str
    """The service that is asked with the secret."""
    key: str = Field(min_length=1)
    """What the secret is called there; the service has a setting `secret.KEY`."""


class RotateSecret(RevertingAction):
    """Give a secret a new value, where it is checked and on every replica that uses it; the old one is worth nothing.

    A service shows a setting `secret.NAME` as `as started`, or as a fingerprint of the value that was set; an empty
    value brings back the one that it was started with. The new value is written down nowhere.
    """

    needs: ClassVar[tuple[type, ...]] = (Admin,)

    action: Literal["rotate-secret"]
    secret: str = Field(min_length=1)
    """Name of the secret; each service that uses it has a setting `secret.SECRET`."""
    service: str
    """The service that uses it."""
    also: tuple[str, ...] = ()
    """Other services that use the same secret."""
    issuer: Issuer | None = None
    """Who issued it and refuses the old value from now on; left out where its users themselves decide."""

    @property
    def title(self) -> str:
        return f"rotate the secret {self.secret} of {', '.join((self.service, *self.also))}"

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(self._places)

    @property
    def _places(self) -> Mapping[str, str]:
        """The setting that holds the secret, by service, the issuer first: the old value is refused at once."""
        issued = {self.issuer.service: f"secret.{self.issuer.key}"} if self.issuer else {}
        return issued | dict.fromkeys((self.service, *self.also), f"secret.{self.secret}")

    def prepare(self, ports: Ports) -> Record:
        for service, setting in self._places.items():
            shown = self._shown(ports, service, setting)
            if shown != {AS_STARTED}:
                said = ", ".join(sorted(str(each) for each in shown)) or "no replica runs"
                raise ActionError(
                    f"{self.title}: {setting} of {service} must be {AS_STARTED!r} on every replica, and is: {said}"
                )
        return {}

    def run(self, ports: Ports, record: Record) -> None:
        value = f"rotated-{secrets.token_hex(16)}"
        for service, setting in self._places.items():
            ports[Admin].change(service, setting, value)

    def undo(self, ports: Ports, record: Record) -> None:
        for service, setting in self._places.items():
            ports[Admin].change(service, setting, "")

    def state(self, ports: Ports, record: Record) -> State:
        shown = [self._shown(ports, service, setting) for service, setting in self._places.items()]
        if all(each == {AS_STARTED} for each in shown):
            return State.OFF
        values = set().union(*shown)
        return State.ON if len(values) == 1 and AS_STARTED not in values and None not in values else State.UNKNOWN

    def _shown(self, ports: Ports, service: str, setting: str) -> set[str | None]:
        return {settings.get(setting) for settings in ports[Admin].settings(service).values()}
