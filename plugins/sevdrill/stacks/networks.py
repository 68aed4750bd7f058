"""Which networks the replicas of a Compose stack's services are on, and under which names."""

from __future__ import annotations

from sevdrill.errors import StackError
from sevdrill.ports import Membership
from sevdrill.stacks.engine import Container
from sevdrill.stacks.project import Project

__all__ = ["ComposeNetworks"]


class ComposeNetworks:
    """Take replicas off their networks, and put them back with their aliases (Compose's own reconnect loses them)."""

    def __init__(self, project: Project) -> None:
        self._project, self._engine = project, project.engine

    def memberships(self, service: str) -> dict[str, dict[str, Membership]]:
        """The networks that each replica is on now, by replica name and network name."""
        return {container.name: self._present(container) for container in self._project.containers(service)}

    def declared(self, service: str) -> dict[str, Membership]:
        """The networks that the stack's files put the service on, with the names that must lead to it there."""
        document, runs_as = self._project.read(), self._project.service(service).runs_as
        found = {}
        for key, options in (document["services"][runs_as].get("networks") or {}).items():
            name = (document["networks"].get(key) or {}).get("name") or f"{self._project.name}_{key}"
            aliases = (options or {}).get("aliases") or ()
            found[name] = Membership(aliases=sorted({runs_as, *aliases}))
        return found

    def disconnect(self, service: str, replica: str, network: str) -> None:
        """Take a replica off a network; one that is not on it is left alone."""
        self._engine.disconnect(self._one(service, replica), network)

    def connect(self, service: str, replica: str, network: str, place: Membership) -> None:
        """Put a replica on a network under every alias; one that is there without one of them is put there anew."""
        container = self._one(service, replica)
        present = self._present(container).get(network)
        if present is not None:
            if set(place.aliases) <= set(present.aliases):
                return
            self._engine.disconnect(container, network)
        self._engine.connect(container, network, place.aliases, place.address if place.fixed else None)

    def _present(self, container: Container) -> dict[str, Membership]:
        found = {}
        for network, entry in self._engine.memberships(container).items():
            given = (entry.get("IPAMConfig") or {}).get("IPv4Address") or ""
            # A container's id and name lead to it wherever it is; the engine sees to that by itself.
            given_names = [alias for alias in entry.get("Aliases") or () if alias != container.name]
            aliases = [alias for alias in given_names if not container.id.startswith(alias)]
            found[network] = Membership(sorted(aliases), given or entry.get("IPAddress") or "", bool(given))
        return found

    def _one(self, service: str, replica: str) -> Container:
        for container in self._project.containers(service):
            if container.name == replica:
                return container
        raise StackError(f"{service} has no replica {replica}; it may have been recreated meanwhile: look again")
