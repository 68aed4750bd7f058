"""Replace the replicas of an embedded stack's service by others that differ in one thing: release, or environment."""

from __future__ import annotations

from collections.abc import Callable

from sevdrill.errors import SevdrillError
from sevdrill.stacks.command import wait_until
from sevdrill.stacks.embedded.control import Control
from sevdrill.stacks.embedded.launch import Places, digest
from sevdrill.stacks.embedded.services import EmbeddedExec, EmbeddedLifecycle, Health
from sevdrill.stacks.environment import Environments, Variables

__all__ = ["EmbeddedEnvironment", "replace_replicas"]

UP = 10.0
"""Seconds that a replica has to listen before the next one is replaced."""


def replace_replicas(control: Control, service: str, release: str | None = None) -> None:
    """Replace each replica that is not as it should be, one after the other; the stack's lock is held by the caller.

    Raises:
        StackError: one could not be replaced.
    """
    site, lifecycle = control.site, EmbeddedLifecycle(control)
    places, health = Places(site, control.holder), Health(site, EmbeddedExec(control))
    for replica in site.service(service).own:
        status = control.status().get(replica)
        if status is None:
            continue  # it was not started yet: whoever scales was killed
        launch = places.launch(service, replica, status.release if release is None else release)
        same = status.release == launch["release"] and status.variables == launch["variables"]
        if status.pid and not status.paused and same:
            continue
        lifecycle.stop(service, [replica])
        control.call("start", name=replica, spec=launch)

        def settled(replica: str = replica) -> bool:
            # Not healthy: that a bad release or configuration never is.
            return not control.status()[replica].pid or health.listens(service, replica)

        wait_until(settled, within=UP, every=0.05)


class EmbeddedEnvironment(Environments):
    """The configuration of an embedded stack's services: their `environment`, not that of the process."""

    def __init__(self, control: Control) -> None:
        super().__init__(control.place / "environments.jsonl")
        self._control = control

    def _given(self, service: str) -> Variables:
        return dict(self._control.site.service(service).environment)

    def _seen(self, service: str) -> dict[str, Callable[[Variables], bool]]:
        known = self._control.status()
        return {
            name: lambda variables, has=known[name].variables: digest(variables) == has  # type: ignore[misc]
            for name in self._control.site.service(service).own
            if name in known and known[name].pid
        }

    def _replace(self, service: str, variables: Variables, begun: Callable[[], None]) -> str:
        try:
            with self._control.changing():
                begun()
                site = self._control.site
                texts = {name: value or "" for name, value in variables.items()}
                changed = site.service(service).model_copy(update={"environment": texts})
                self._control.write(site.model_copy(update={"services": {**site.services, service: changed}}))
                replace_replicas(self._control, service)
        except SevdrillError as error:
            return str(error)
        return ""
