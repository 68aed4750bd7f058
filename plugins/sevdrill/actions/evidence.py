"""Steps that keep what happened for those who look into it later."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

from pydantic import Field

from sevdrill.actions.base import Action
from sevdrill.errors import ActionError
from sevdrill.model import Record
from sevdrill.ports import Endpoints, Ports, Reading
from sevdrill.probes.web import request
from sevdrill.units import Duration

__all__ = ["ArchiveLogs", "archived"]


def archived(ports: Ports, url: str, hours: int | None = None) -> dict[str, Any]:
    """The newest archive of a log, as it is now; with ``hours`` one is made first.

    Raises:
        OSError: what answers there is no archive.
    """
    asked = ("GET", None) if hours is None else ("POST", {"hours": hours})
    status, body = request(asked[0], ports[Endpoints].url(url), 20.0, None, asked[1])
    try:
        answer = json.loads(body)
        return {"sha256": str(answer["sha256"]), **{key: float(answer[key]) for key in ("lines", "from", "to")}}
    except (ValueError, KeyError, TypeError):
        wanted = 'expected such as {"sha256": "...", "lines": 3, "from": 1.5, "to": 2.5}'
        raise OSError(f"{url} answered {status}: {body[:120].strip()}; {wanted}") from None


class ArchiveLogs(Action):
    """Keep the logs of the last hours as evidence, with their sum; what is kept is not written to again."""

    needs: ClassVar[tuple[type, ...]] = (Endpoints,)
    in_flight: ClassVar[float] = 20.0

    action: Literal["archive-logs"]
    url: str = Field(pattern=r"^http://")
    """Where operators ask for it: POST of `{"hours": 48}` makes an archive, GET tells of the newest one as it is now;
    both answer such as `{"sha256": "...", "lines": 3, "from": 1.5, "to": 2.5}`, with times in seconds since 1970. GET
    with `/copy` behind it gives the newest archive itself, which is kept with the evidence of the run."""
    last: Duration = Duration(48 * 3600)
    """How far back; whole hours."""

    @property
    def title(self) -> str:
        return f"archive the logs of the last {self.last}"

    def run(self, ports: Ports, record: Record) -> None:
        try:
            record |= archived(ports, self.url, round(self.last / 3600))
        except OSError as error:
            raise ActionError(f"{self.title}: {error}") from None

    def proof(self, ports: Ports, record: Record) -> Reading:
        now = archived(ports, self.url)
        hours = (now["to"] - now["from"]) / 3600
        said = f"{now['lines']:.0f} lines of {hours:.1f} hours, sha256 {now['sha256']}"
        return Reading(ok=now["sha256"] == record["sha256"] and now["lines"] > 0, why=said)
