"""Steps at the edge, where users come in: its certificate."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.actions.base import Action
from sevdrill.model import Record
from sevdrill.ports import Admin, Endpoints, Ports, Reading
from sevdrill.probes.tls import TlsProbe
from sevdrill.units import Duration

__all__ = ["RenewCertificate"]


class RenewCertificate(Action):
    """Have a new certificate issued and served; done when a TLS client is shown it, past whatever a file says."""

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
