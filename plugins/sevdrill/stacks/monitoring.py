"""The stack's own monitoring, read over HTTP: Alertmanager, Prometheus' rules, and what the pager received."""

from __future__ import annotations

import datetime as dt
import re
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from sevdrill.clock import Clock
from sevdrill.errors import StackError
from sevdrill.ports import Alert, Endpoints, Page
from sevdrill.stacks.metrics import instant, survey
from sevdrill.stacks.settings import MonitoringSettings

if TYPE_CHECKING:
    import httpx

__all__ = ["HttpMonitoring"]

TIMEOUT = 2.0
"""Seconds that one question may take."""
FRESH = 10.0
"""Seconds after which the last sign of life is too old."""


class HttpMonitoring:
    """Alertmanager v2, Prometheus, and a pager that lists its deliveries."""

    def __init__(self, settings: MonitoringSettings, endpoints: Endpoints, clock: Clock) -> None:
        self._settings, self._endpoints, self._clock = settings, endpoints, clock
        self._http: httpx.Client | None = None
        self._pager = _PagerIds()

    @property
    def prometheus(self) -> str:
        """Where the stack's Prometheus is asked, as its services see it; empty where it has none."""
        return self._settings.prometheus

    @property
    def delivers(self) -> bool:
        """Whether the stack has a pager that can be read."""
        return bool(self._settings.pager)

    def alive(self) -> tuple[bool, str]:
        """Whether rules are evaluated and delivered right now, and how that is known; never raises `StackError`."""
        try:
            return self._alive()
        except StackError as error:
            return False, str(error)

    def alerts(self) -> list[Alert]:
        """The alerts that fire now, not silenced, not inhibited, without the heartbeat.

        Raises:
            StackError: Alertmanager did not say.
        """
        labels = [alert["labels"] for alert in self._firing()]
        return [Alert(label["alertname"], label) for label in labels if label["alertname"] != self._settings.heartbeat]

    def survey(self, seconds: float) -> dict[str, Any]:
        """What Prometheus knows of the last ``seconds``, as JSON documents by file name; empty where there is none.

        Raises:
            StackError: Prometheus did not say.
        """
        if not self._settings.prometheus:
            return {}
        now = self._clock.wall().timestamp()
        return survey(self._get, self._settings.prometheus, now - seconds, now)

    def query(self, query: str) -> list[float]:
        """What a query in PromQL gives now, a number a series.

        Raises:
            StackError: Prometheus did not say.
        """
        return instant(self._get, self._settings.prometheus, query)

    def pages(self, since: int) -> list[Page]:
        """Deliveries after the one with the id ``since``; ids go on rising when the pager is restarted.

        Raises:
            StackError: the pager did not say, or the stack has none.
        """
        if not self._settings.pager:
            raise StackError("the stack names no pager; add x-sevdrill: {monitoring: {pager: URL}}")
        with self._pager.lock:
            entries = self._deliveries(self._pager.ask_from(since))
            if self._pager.restarted(entries):
                entries = self._deliveries(0)
            return [
                Page(number, entry["kind"], entry["status"], tuple(entry["alerts"]))
                for entry in entries
                if (number := self._pager.number(entry)) > since
            ]

    def _alive(self) -> tuple[bool, str]:
        name = self._settings.heartbeat
        if not name:
            return self._evaluated()
        if not any(alert["labels"].get("alertname") == name for alert in self._firing()):
            return (
                False,
                f"Alertmanager does not hold the heartbeat alert {name}: rules are not evaluated or not delivered",
            )
        if not self._settings.pager:
            return True, f"Alertmanager holds the heartbeat alert {name}"
        status, body = self._get(urljoin(self._settings.pager, "heartbeat"))
        if status == 404:
            return True, f"Alertmanager holds the heartbeat alert {name}"
        age = body.get("age") if status == 200 and isinstance(body, dict) else None
        if not isinstance(age, int | float):
            return False, f"the heartbeat {name} has not been delivered to the pager (it answered {status} {body})"
        return age < FRESH, f"the heartbeat {name} was delivered to the pager {age:.1f} s ago"

    def _evaluated(self) -> tuple[bool, str]:
        if not self._settings.prometheus:
            return (
                False,
                "nothing proves that monitoring is alive: x-sevdrill.monitoring has no heartbeat and no prometheus",
            )
        status, body = self._get(urljoin(self._settings.prometheus, "/api/v1/rules"))
        if status != 200 or not isinstance(body, dict):
            return False, f"Prometheus answered {status} when asked for its rules"
        groups = body.get("data", {}).get("groups", [])
        if not groups:
            return False, "Prometheus has no rules"
        stale = []
        for group in groups:
            age = (self._clock.wall() - _moment(group["lastEvaluation"])).total_seconds()
            if age > max(FRESH, 2 * float(group.get("interval", 0))):
                stale.append(f"{group['name']} {age:.0f} s ago")
        if stale:
            return False, f"Prometheus evaluated its rules too long ago: {', '.join(stale)}"
        self._firing()
        return True, f"Prometheus evaluates its {len(groups)} rule groups, and Alertmanager answers"

    def _firing(self) -> list[dict[str, Any]]:
        question = "/api/v2/alerts?active=true&silenced=false&inhibited=false"
        status, body = self._get(self._settings.alertmanager.rstrip("/") + question)
        if status != 200 or not isinstance(body, list):
            raise StackError(
                f"Alertmanager ({self._settings.alertmanager}) answered {status} when asked for its alerts"
            )
        return body

    def _deliveries(self, since: int) -> list[dict[str, Any]]:
        status, body = self._get(f"{self._settings.pager}?since={since}")
        if status != 200 or not isinstance(body, list):
            raise StackError(f"the pager ({self._settings.pager}) answered {status} when asked for its pages")
        return body

    def _get(self, url: str) -> tuple[int, Any]:
        import httpx

        if self._http is None:
            # No connection is kept: one that outlived a restart would make a sound service look dead.
            self._http = httpx.Client(
                timeout=TIMEOUT, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
            )
        try:
            response = self._http.get(self._endpoints.url(url))
            return response.status_code, response.json() if response.content else None
        except httpx.HTTPError as error:
            raise StackError(f"{url} cannot be read: {error or type(error).__name__}") from error
        except ValueError:
            return response.status_code, response.text[:200]


class _PagerIds:
    """Makes the ids of a pager that counts from 1 after each restart rise for ever."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._offset = 0
        self._last: tuple[int, Any] | None = None

    def ask_from(self, since: int) -> int:
        """The pager's own id to ask from: so that the last one that is known is in the answer, too."""
        raw = max(since - self._offset, 0)
        return raw if self._last is None else max(min(raw, self._last[0] - 1), 0)

    def restarted(self, entries: list[dict[str, Any]]) -> bool:
        """Whether the last delivery that is known is not there any more, or another one has its id."""
        if self._last is None or any((entry["id"], entry["received_at"]) == self._last for entry in entries):
            return False
        if entries and min(entry["id"] for entry in entries) > self._last[0]:
            return False  # a pager that forgets its oldest
        self._offset += self._last[0]
        self._last = None
        return True

    def number(self, entry: dict[str, Any]) -> int:
        """The rising id of an entry; it is remembered as the last one."""
        if self._last is None or entry["id"] >= self._last[0]:
            self._last = (entry["id"], entry["received_at"])
        return int(entry["id"]) + self._offset


def _moment(text: str) -> dt.datetime:
    # Go prints nanoseconds, which Python does not read.
    return dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
