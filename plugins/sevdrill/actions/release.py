"""Steps that bring back the release, or the configuration, that ran before."""

from __future__ import annotations

import re
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field

from sevdrill.actions.base import Action
from sevdrill.errors import ActionError
from sevdrill.model import Record
from sevdrill.ports import Endpoints, Environment, Lifecycle, Ports, Reading, Release
from sevdrill.probes.web import fetch

__all__ = ["ConfigRollback", "Deploy", "Rollback"]


class _ReleaseAction(Action):
    needs: ClassVar[tuple[type, ...]] = (Release, Endpoints, Lifecycle)
    answers_fault: ClassVar[str] = "change.deploy"

    service: str
    """The service that gets the release."""
    answers: str = Field(pattern=r"^http://[^/:]+:\d+/")
    """Where a replica tells its version, such as `http://app:3000/version`; each is asked, past any proxy."""

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

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


class Deploy(_ReleaseAction):
    """Deploy a release, such as the one with the fix; done when every replica answers with its version.

    It stays until the fault `change.deploy`, which it answers, is undone: that brings back the release from before.
    """

    action: Literal["deploy"]
    release: str = Field(min_length=1)
    """Name of the release, as the stack's `x-sevdrill: {releases: ...}` lists it."""

    @property
    def title(self) -> str:
        return f"deploy {self.release} to {self.service}"

    def prepare(self, ports: Ports) -> Record:
        known = ports[Release].releases(self.service)
        if self.release not in known:
            raise ActionError(f"{self.title}: there is no such release (there are: {', '.join(sorted(known))})")
        if set(ports[Release].deployed(self.service).values()) == {self.release}:
            raise ActionError(f"{self.title}: every replica runs it already, so nothing would be changed")
        return {"release": self.release}


class Rollback(_ReleaseAction):
    """Deploy the release that ran before the present one; done when every replica answers with the old version."""

    marks: ClassVar[str] = "rolled_back"

    action: Literal["rollback"]
    service: str
    """The service to roll back."""

    @property
    def title(self) -> str:
        return f"rollback {self.service}"

    def prepare(self, ports: Ports) -> Record:
        history = ports[Release].history(self.service)
        before = next((release for release in reversed(history) if release != history[-1]), None)
        if before is None:
            raise ActionError(
                f"{self.title}: the deploy history of {self.service} ({', '.join(history) or 'empty'}) "
                "names no earlier release to go back to"
            )
        return {"release": before}


class ConfigRollback(Action):
    """Roll out the configuration that was in force before; done when every replica runs with its values."""

    needs: ClassVar[tuple[type, ...]] = (Environment, Lifecycle)
    answers_fault: ClassVar[str] = "change.config"
    marks: ClassVar[str] = "rolled_back"

    action: Literal["config-rollback"]
    service: str
    """The service to roll back."""

    @property
    def title(self) -> str:
        return f"config-rollback {self.service}"

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def prepare(self, ports: Ports) -> Record:
        history = ports[Environment].history(self.service)
        before = next((revision for revision in reversed(history) if revision != history[-1]), None)
        if before is None:
            raise ActionError(f"{self.title}: nothing was rolled out to {self.service} that could be rolled back")
        return {"revision": before}

    def run(self, ports: Ports, record: Record) -> None:
        ports[Environment].restore(self.service, record["revision"])

    def proof(self, ports: Ports, record: Record) -> Reading:
        running = ports[Environment].running(self.service)
        wrong = sorted(name for name, revision in running.items() if revision != record["revision"])
        if wrong:
            return Reading(ok=False, why=f"{', '.join(wrong)}: not configured as in revision {record['revision']}")
        replicas = ports[Lifecycle].replicas(self.service)
        sick = [r.name for r in replicas if not r.running or r.healthy is False]
        if sick or not replicas or {r.name for r in replicas} != set(running):
            named = ", ".join(sick) or f"a replica of {self.service}"
            return Reading(ok=False, why=f"{named} is not running and healthy")
        count = f"{len(replicas)} of {len(replicas)}"
        return Reading(ok=True, why=f"revision {record['revision']} is in force on {count} replicas")
