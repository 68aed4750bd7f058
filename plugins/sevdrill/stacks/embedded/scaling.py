"""More replicas of an embedded stack's service, or fewer."""

from __future__ import annotations

from sevdrill.errors import StackError
from sevdrill.stacks.command import wait_until
from sevdrill.stacks.embedded.control import Control
from sevdrill.stacks.embedded.launch import Places
from sevdrill.stacks.embedded.model import Service, Site
from sevdrill.stacks.embedded.proxies import BALANCER, EmbeddedProxies, balancer, routes
from sevdrill.stacks.embedded.services import EmbeddedLifecycle, connects
from sevdrill.stacks.embedded.start import ports_of
from sevdrill.stacks.loopback import FreePorts

__all__ = ["EmbeddedScale"]

LISTENS = 10.0
"""Seconds within which the balancer must listen on a new port."""


class EmbeddedScale:
    """Changes how many replicas a service has; the first ones stay as they are."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def scale(self, service: str, replicas: int) -> None:
        """Have so many replicas; again and again if need be.

        Raises:
            StackError: the service cannot have so many, or one could not be started.
        """
        with self._control.changing():
            present = self._control.site.service(service)
            if replicas > 1 and not self._shared(present):
                raise StackError(
                    f"{service} cannot have {replicas} replicas: nothing stands before it; give it a proxy "
                    f"(x-sevdrill.proxies.{service}), or two replicas in its file"
                )
            self._shrink(service, replicas)
            self._grow(service, replicas)

    def _shared(self, service: Service) -> bool:
        return not service.ports or bool(service.balanced) or set(service.ports) <= set(service.faulted)

    def _shrink(self, service: str, replicas: int) -> None:
        surplus = list(self._control.site.service(service).own)[replicas:]
        known = self._control.status()
        EmbeddedLifecycle(self._control).stop(service, [name for name in surplus if name in known])
        for name in surplus:
            self._control.call("forget", name=name)
        if surplus:
            own = dict(list(self._control.site.service(service).own.items())[:replicas])
            self._write(service, own=own, replicas=len(own))

    def _grow(self, service: str, replicas: int) -> None:
        before = self._control.site.service(service)
        free = FreePorts(ports_of(self._control.place.parent.parent))
        own = dict(before.own)
        for number in range(len(own) + 1, replicas + 1):
            own[f"{service}-{number}"] = {port: free.another() for port in before.ports}
        if len(own) > 1 and not before.balanced:
            # Until now clients, or the proxy, went to the only replica itself.
            self._write(service, own=own, replicas=len(own), behind={port: free.another() for port in before.ports})
        elif own != before.own:
            self._write(service, own=own, replicas=len(own))
        site = self._control.site
        places, known = Places(site, self._control.holder), self._control.status()
        release = next((known[name].release for name in own if name in known), before.release)
        for name in own:
            if name not in known:
                self._control.call("start", name=name, spec=places.launch(service, name, release))
            elif not known[name].pid:
                self._control.call("start", name=name)
        self._balance(site, service)

    def _balance(self, site: Site, name: str) -> None:
        service = site.service(name)
        if not service.balanced:
            return
        launch = balancer(site)
        assert launch is not None
        self._control.call("start", name=BALANCER, spec=launch)
        for port, (listens, _) in service.balanced.items():
            if not wait_until(lambda listens=listens: connects(listens), within=LISTENS):  # type: ignore[misc]
                raise StackError(f"the balancer does not listen on port {listens} for {name}:{port}")
        if service.faulted:
            EmbeddedProxies(self._control).lead(name)

    def _write(self, service: str, **changes: object) -> None:
        site = self._control.site
        changed = site.service(service).model_copy(update=changes)
        site = site.model_copy(update={"services": {**site.services, service: changed}})
        self._control.write(site)
        routes(site)
