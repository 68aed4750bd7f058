"""Network faults on an embedded stack: one built-in Toxiproxy server, a process of its own, for all its services."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from sevdrill.errors import StackError
from sevdrill.stacks.embedded.control import Control
from sevdrill.stacks.embedded.launch import Launch
from sevdrill.stacks.embedded.model import HOST, Site
from sevdrill.stacks.project import write_atomically
from sevdrill.stacks.proxies import ToxiproxyProxies
from sevdrill.stacks.rewrite import ServiceLayout
from sevdrill.toxiproxy.client import Proxy

__all__ = ["BALANCER", "PROXIES", "EmbeddedProxies", "balancer", "proxies", "routes"]

PROXIES, BALANCER = "toxiproxy", "balancer"
"""What the two are called among the processes; replicas of services have a number at their end."""


class EmbeddedProxies(ToxiproxyProxies):
    """Toxics and switches of the proxies before a stack's services."""

    def __init__(self, control: Control) -> None:
        super().__init__()
        self._control = control

    def _layouts(self) -> Mapping[str, ServiceLayout]:
        return self._control.site.services

    def _layout(self, service: str) -> ServiceLayout:
        return self._control.site.service(service)

    def restart(self, service: str) -> None:
        """Start the proxies anew, those of the other services as well: they are one process.

        Raises:
            StackError: they did not answer in time.
        """
        self._control.call("kill", name=PROXIES)
        self.start(service)

    def start(self, service: str) -> None:
        """Start the proxies; returns when they answer.

        Raises:
            StackError: they did not answer in time.
        """
        self._control.call("start", name=PROXIES)
        if not self._await(service):
            raise StackError(f"the proxy of {service} was started and does not answer")

    def lead(self, service: str) -> None:
        """Let the proxy lead to where the service is now; it is made anew where that is another place.

        Raises:
            StackError: it does not answer.
        """
        proxies(self._control.site)  # what it is started with, should it be started anew
        client, layout = self._at(service)
        client.populate([Proxy(each["name"], each["listen"], each["upstream"]) for each in layout.upstreams(service)])


def _ours(site: Site, name: str, *arguments: str) -> Launch:
    return {
        "argv": [sys.executable, "-m", *arguments],
        "env": {"PATH": "", "SEVDRILL_STACK": str(site.folder), "LANG": "C.UTF-8"},
        "cwd": str(site.folder),
        "log": str(site.folder / "logs" / f"{name}.log"),
    }


def proxies(site: Site) -> Launch | None:
    """How the proxies of a stack are started; None where it has none."""
    wanted = [proxy for name, service in site.services.items() for proxy in service.upstreams(name)]
    if not wanted:
        return None
    file = site.folder / "proxies.json"
    file.write_text(json.dumps(wanted), encoding="utf-8")
    listen = ("--listen", f"{HOST}:{site.api}", "--config", str(file))
    return _ours(site, PROXIES, "sevdrill", "toxiproxy", *listen)


def balancer(site: Site) -> Launch | None:
    """How the balancer before services with several replicas is started; None where there are none."""
    return _ours(site, BALANCER, "sevdrill.stacks.embedded.balancer", str(routes(site))) if _routes(site) else None


def routes(site: Site) -> Path:
    """Tell the balancer, one that runs included, where replicas are; returns the file in which that is."""
    file = site.folder / "routes.json"
    write_atomically(file, json.dumps(_routes(site)))
    return file


def _routes(site: Site) -> list[tuple[int, list[int]]]:
    return [route for service in site.services.values() for route in service.balanced.values()]
