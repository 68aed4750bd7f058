"""Steps that change which release runs."""

from __future__ import annotations

import re
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field

from sevdrill.actions.base import Action
from sevdrill.errors import ActionError
from sevdrill.model import Record
from sevdrill.ports import Endpoints, Lifecycle, Ports, Reading, Release
from sevdrill.probes.web import fetch

__all__ = ["Rollback"]


class Rollback(Action):
    """Deploy the release that ran before the present one; done when every replica answers with the old version."""

    needs: ClassVar[tuple[type, ...]] = (Release, Endpoints, Lifecycle)
    marks: ClassVar[str] = "rolled_back"

    action: Literal["rollback"]
    service: str
    """The service to roll back."""
    answers: str = Field(pattern=r"^http://[^/:]+:\d+/")
    """Where a replica tells its version, such as `http://app:3000/version`; each is asked, past any proxy."""

    @property
    def title(self) -> str:
        return f"rollback {self.service}"

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def prepare(self, ports: Ports) -> Record:
        history = ports[Release].history(self.service)
        before = next((release for release in reversed(history) if release != history[-1]), None)
        if before is None:
            raise ActionError(
                f"{self.title}: the deploy history of {self.service} ({', '.join(history) or 'empty'}) "
                "names no earlier release to go back to"
            )
        return {"release": before}

    def run(self, ports: Ports, record: Record) -> None:
        ports[Release].deploy(self.service, record["release"])

    def proof(self, ports: Ports, record: Record) -> Reading:
        release = record["release"]
        deployed = ports[Release].deployed(self.service)
        wrong = sorted({name for name in deployed.values() if name != release})
        if wrong or not deployed:
            return Reading(ok=False, why=f"{self.service} runs {', '.join(wrong) or 'nothing'}, not {release}")
        asked = urlsplit(self.answers)
        addresses = ports[Endpoints].direct(self.service, asked.port or 80)
        replicas = ports[Lifecycle].replicas(self.service)
        if set(addresses) != set(deployed) or len(addresses) < len(replicas):
            return Reading(ok=False, why=f"{len(addresses)} of {len(replicas)} replicas can be asked")
        for replica, address in addresses.items():
            try:
                status, body = fetch(asked._replace(netloc=f"{address.host}:{address.port}").geturl(), 2.0)
            except OSError as error:
                return Reading(ok=False, why=f"{replica}: {error}")
            if status != 200 or not re.search(rf"(?<![\w.+-]){re.escape(release)}(?![\w.+-])", body):
                return Reading(ok=False, why=f"{replica} answered {status} {body[:80].strip()!r}, not {release}")
        return Reading(ok=True, why=f"{release} answers on {len(addresses)} of {len(addresses)} replicas")
