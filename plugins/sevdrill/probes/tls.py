"""The probe of what a TLS client is shown: a certificate of the right name, from a known authority, and in force."""

from __future__ import annotations

import socket
import ssl
import time
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field

from sevdrill.errors import NotRunning
from sevdrill.ports import Endpoints, Ports, Reading
from sevdrill.probes.base import Probe
from sevdrill.probes.web import fetch

__all__ = ["TlsProbe", "ca_of", "days_left"]

DAY = 86400.0


def ca_of(url: str) -> str:
    """The certificate of an authority, as PEM.

    Raises:
        OSError: nothing answers there, or what answers is no certificate.
    """
    status, text = fetch(url, 5.0)
    if status != 200 or "BEGIN CERTIFICATE" not in text:
        raise OSError(f"{url} answered {status} and no certificate: {text[:120].strip()}")
    return text


def days_left(address: tuple[str, int], name: str, ca: str, timeout: float) -> float:
    """Shake hands as a real client does, and tell for how many more days that would work.

    Raises:
        OSError: a client would not go on; the text says why, such as that the certificate has expired.
    """
    context = ssl.create_default_context(cadata=ca)
    try:
        with (
            socket.create_connection(address, timeout=timeout) as plain,
            context.wrap_socket(plain, server_hostname=name) as connection,
        ):
            shown = connection.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        raise OSError(f"the certificate is not good: {error.verify_message}") from None
    return (ssl.cert_time_to_seconds(str(shown["notAfter"])) - time.time()) / DAY


class TlsProbe(Probe):
    """A TLS client must be shown a certificate of this name, from a chain that it trusts, with days to spare."""

    needs: ClassVar[tuple[type, ...]] = (Endpoints,)

    probe: Literal["tls"]
    url: str = Field(pattern=r"^https://[^/:]+:\d+/?$")
    """Where clients connect, as the stack's services see it, such as `https://edge:3443`; its name must be the
    certificate's."""
    ca: str = Field(pattern=r"^http://")
    """Where the certificate of the authority is that clients trust, such as `http://edge:3300/ca.pem`."""
    days: int = Field(default=1, ge=0)
    """For how many more days it must be good."""

    @property
    def title(self) -> str:
        return self.name or f"{self.url} shows a good certificate"

    def read(self, ports: Ports) -> Reading:
        try:
            at = urlsplit(ports[Endpoints].url(self.url))
            ca = ca_of(ports[Endpoints].url(self.ca))
            left = days_left((str(at.hostname), at.port or 443), str(urlsplit(self.url).hostname), ca, self.timeout)
        except (NotRunning, OSError) as error:
            return Reading(ok=False, why=f"{self.url}: {error}")
        said = f"good for {left:.1f} more days"
        return Reading(ok=left >= self.days, why=said if left >= self.days else f"{said}, expected {self.days}")
