"""Settings that a service's operators change while it runs, over the HTTP API that its stack names.

`x-sevdrill: {admin: {app: http://app:3000/admin/settings}}`: GET answers a JSON object with the settings in effect,
each a text; PUT of `{"name": ..., "value": ...}` changes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sevdrill.errors import StackError
from sevdrill.ports import Address, Endpoints

if TYPE_CHECKING:
    import httpx

__all__ = ["HttpAdmin"]

TIMEOUT = 3.0
"""Seconds that one question may take."""


class HttpAdmin:
    """Asks and changes each replica by itself, past any proxy: a fault of the network must not stand in the way."""

    def __init__(self, urls: Mapping[str, str], endpoints: Endpoints) -> None:
        self._urls, self._endpoints = urls, endpoints
        self._http: httpx.Client | None = None

    def settings(self, service: str) -> dict[str, dict[str, str]]:
        """The settings in effect now on each running replica.

        Raises:
            StackError: the stack names no such API for the service, or a replica does not answer.
        """
        return {name: self._ask(name, url) for name, url in self._replicas(service).items()}

    def change(self, service: str, setting: str, value: str, replicas: Sequence[str] | None = None) -> None:
        """Change a setting on every running replica, or on those of these that run.

        Raises:
            StackError: no replica runs, or one does not answer or refuses.
        """
        running = self._replicas(service)
        if not running:
            raise StackError(f"{setting} of {service} cannot be changed: none of its replicas runs")
        for name, url in running.items():
            if replicas is None or name in replicas:
                self._ask(name, url, {"name": setting, "value": value})

    def _replicas(self, service: str) -> dict[str, str]:
        if service not in self._urls:
            known = ", ".join(sorted(self._urls)) or "none"
            raise StackError(
                f"the stack does not say where the operators' API of {service} is (x-sevdrill.admin has: {known}); "
                f"add its URL, such as admin: {{{service}: http://{service}:8080/admin/settings}}"
            )
        parts = urlsplit(self._urls[service])
        where = self._endpoints.direct(service, parts.port or 80)
        return {name: _at(address, parts.path) for name, address in where.items()}

    def _ask(self, replica: str, url: str, change: Mapping[str, str] | None = None) -> dict[str, str]:
        import httpx

        if self._http is None:
            self._http = httpx.Client(
                timeout=TIMEOUT, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
            )
        try:
            answer = self._http.get(url) if change is None else self._http.put(url, json=change)
            found: Any = answer.json() if answer.is_success else None
        except httpx.HTTPError as error:
            raise StackError(
                f"the operators' API of {replica} does not answer: {error or type(error).__name__}"
            ) from None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise StackError(f"the operators' API of {replica} answered {answer.status_code}: {answer.text[:200]}")
        return {str(name): str(value) for name, value in found.items()}


def _at(address: Address, path: str) -> str:
    return f"http://{address.host}:{address.port}{path}"
