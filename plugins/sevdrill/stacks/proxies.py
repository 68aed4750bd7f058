"""Network faults: a Toxiproxy server stands before each proxied service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from sevdrill.errors import StackError, Unsupported
from sevdrill.stacks.engine import wait_until
from sevdrill.stacks.project import Project
from sevdrill.stacks.rewrite import ServiceLayout
from sevdrill.toxiproxy.client import Proxy, Toxic, ToxiproxyClient, ToxiproxyError, ToxiproxyWedged

__all__ = ["ComposeProxies", "ToxiproxyProxies"]

READY = 15.0
"""Seconds within which a proxy that was started must answer."""


class ToxiproxyProxies(ABC):
    """Toxics and switches of the proxies before a stack's services."""

    def __init__(self) -> None:
        self._clients: dict[int, ToxiproxyClient] = {}

    @abstractmethod
    def _layouts(self) -> Mapping[str, ServiceLayout]:
        """Where every service of the stack is."""

    @abstractmethod
    def _layout(self, service: str) -> ServiceLayout:
        """Where one is.

        Raises:
            StackError: the stack has no such service.
        """

    @abstractmethod
    def restart(self, service: str) -> None:
        """Start a service's proxy anew: all its ports accept connections, and it has no toxics.

        Raises:
            StackError: it did not answer in time.
        """

    def set_toxic(
        self, service: str, name: str, kind: str, stream: str, toxicity: float, attributes: Mapping[str, int]
    ) -> None:
        """Add a toxic to every proxied port of the service.

        Raises:
            StackError: its values are wrong, or the proxy refused or does not answer.
        """
        toxic = Toxic(name, kind, stream, toxicity, dict(attributes))
        client, layout = self._at(service)
        for port in layout.faulted:
            try:
                client.add_toxic(f"{service}-{port}", toxic)
            except ValueError as error:
                raise StackError(f"network fault on {service}: {error}") from None

    def remove_toxic(self, service: str, name: str) -> None:
        """Take a toxic away; one that is not there is no error. A wedged proxy is restarted, without any toxic."""

        def remove(client: ToxiproxyClient, layout: ServiceLayout) -> None:
            for port in layout.faulted:
                client.remove_toxic(f"{service}-{port}", name)

        self._mend(service, remove)

    def toxics(self, service: str) -> dict[str, list[str]]:
        """Names of the toxics on each proxied port of the service."""
        return {port: [toxic.name for toxic in proxy.toxics] for port, proxy in self._faulted(service).items()}

    def set_down(self, service: str, *, down: bool) -> None:
        """Refuse all connections to the service, or accept them again."""

        def switch(client: ToxiproxyClient, layout: ServiceLayout) -> None:
            for port in layout.faulted:
                client.set_enabled(f"{service}-{port}", enabled=not down)

        if down:
            switch(*self._at(service))
        else:
            self._mend(service, switch)

    def down(self, service: str) -> dict[str, bool]:
        """Whether each proxied port of the service refuses connections."""
        return {port: not proxy.enabled for port, proxy in self._faulted(service).items()}

    def untouched(self) -> dict[str, str]:
        """What is not as it was started, by service: the proxies that do not answer, are down or have toxics."""
        found: dict[str, str] = {}
        for service, layout in self._layouts().items():
            if not layout.proxy:
                continue
            try:
                present = self._at(service)[0].proxies()
            except ToxiproxyError as error:
                found[service] = str(error)
                continue
            names = [proxy["name"] for proxy in layout.upstreams(service)]
            bad = [n for n in names if n not in present or not present[n].enabled or present[n].toxics]
            if bad:
                found[service] = f"proxy {', '.join(bad)} is missing, down or has toxics"
        return found

    def _await(self, service: str) -> bool:
        """Whether a proxy that was just started came to answer for every port of the service."""
        client, layout = self._at(service)
        wanted = {proxy["name"] for proxy in layout.upstreams(service)}

        def answers() -> bool:
            try:
                return wanted <= set(client.proxies())
            except ToxiproxyError:
                return False

        return wait_until(answers, within=READY, every=0.05)

    def _mend(self, service: str, act: Callable[[ToxiproxyClient, ServiceLayout], None]) -> None:
        client, layout = self._at(service)
        try:
            # One may be missing: a toxic is taken away with its proxy, and who did that may have been killed between.
            client.populate([Proxy(p["name"], p["listen"], p["upstream"]) for p in layout.upstreams(service)])
            act(client, layout)
        except ToxiproxyWedged:
            self.restart(service)
            act(client, layout)
        except ToxiproxyError as error:
            if error.status is not None:
                raise
            self.restart(service)  # it does not run: crashed
            act(client, layout)

    def _faulted(self, service: str) -> dict[str, Proxy]:
        client, layout = self._at(service)
        present = client.proxies()
        missing = [port for port in layout.faulted if f"{service}-{port}" not in present]
        if missing:
            raise StackError(f"the proxy of {service} has lost port {', '.join(map(str, missing))}; undo its faults")
        return {str(port): present[f"{service}-{port}"] for port in layout.faulted}

    def _at(self, service: str) -> tuple[ToxiproxyClient, ServiceLayout]:
        layout = self._layout(service)
        if not layout.proxy:
            raise Unsupported(f"no proxy stands before {service}; add x-sevdrill: {{proxies: {{{service}: []}}}}")
        if layout.api not in self._clients:
            self._clients[layout.api] = ToxiproxyClient("127.0.0.1", layout.api)
        return self._clients[layout.api], layout


class ComposeProxies(ToxiproxyProxies):
    """The proxies of a Compose stack: each is a container of its own."""

    def __init__(self, project: Project) -> None:
        super().__init__()
        self._project = project

    def _layouts(self) -> Mapping[str, ServiceLayout]:
        return self._project.layout.services

    def _layout(self, service: str) -> ServiceLayout:
        return self._project.service(service)

    def restart(self, service: str) -> None:
        """Start a service's proxy anew: all its ports accept connections, and it has no toxics.

        Raises:
            StackError: it did not answer in time.
        """
        engine, container = self._project.engine, self._project.proxy(service)
        if container is None:
            raise StackError(f"the proxy of {service} has no container any more; take the stack down and up again")
        engine.signal(container, "SIGKILL")
        engine.ended(container, within=READY)
        engine.start(container)
        if not self._await(service):
            raise StackError(f"the proxy of {service} ({container.name}) was restarted and does not answer")
