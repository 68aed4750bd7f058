"""What changes how the containers of a Compose stack are made: how many there are, and whether they live."""

from __future__ import annotations

from typing import Any

from sevdrill.errors import StackError
from sevdrill.stacks.command import wait_until
from sevdrill.stacks.engine import Container
from sevdrill.stacks.project import Project
from sevdrill.stacks.replacing import replace_replicas

__all__ = ["ComposeCrashLoop", "ComposeScale"]

UPDATE = 10.0
"""Seconds that a container may take to leave the loop."""
KEPT = "x-sevdrill-crash-loop"
"""Key of a crashing service under which stands what its file says of the keys that were changed."""
NOTHING = "/sevdrill-crash-loop"
"""A program that is in no image. The engine's own init starts, in any image, and ends because it is not there."""
CRASHING: dict[str, Any] = {"entrypoint": [NOTHING], "init": True, "restart": "always"}


class ComposeScale:
    """Changes how many containers a service has."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def scale(self, service: str, replicas: int) -> None:
        """Have so many replicas; again and again if need be.

        Raises:
            StackError: the service cannot have so many, or they could not be started or removed.
        """
        layout = self._project.service(service)
        if replicas > 1 and not layout.proxy and layout.published:
            raise StackError(
                f"{service} cannot have {replicas} replicas: its ports are published; give it a proxy "
                f"(x-sevdrill.proxies.{service}), or two replicas in its file"
            )

        def change(entry: dict[str, Any]) -> None:
            if entry.get("container_name"):
                raise StackError(f"{service} cannot have {replicas} replicas: its containers have a fixed name")
            entry.pop("scale", None)
            entry["deploy"] = {**(entry.get("deploy") or {}), "replicas": replicas}

        # Whoever scales has too few replicas, and none to spare.
        trouble = replace_replicas(self._project, service, change, keep=True)
        if trouble:
            raise StackError(f"{service} could not be given {replicas} replicas: {trouble}")


class ComposeCrashLoop:
    """Makes a service's containers of a program that is not there, which the engine starts again and again."""

    def __init__(self, project: Project) -> None:
        self._project, self._engine = project, project.engine

    def begin(self, service: str) -> None:
        """Kill every replica and have it made anew so that it dies at each start.

        Raises:
            StackError: the containers could not be replaced.
        """

        def change(entry: dict[str, Any]) -> None:
            # Not asked to end: it is a crash.
            for container in self._project.containers(service):
                self._engine.signal(container, "SIGKILL")
            entry.setdefault(KEPT, {key: entry.get(key) for key in CRASHING})
            entry |= CRASHING

        self._replace(service, change)

    def end(self, service: str) -> None:
        """Have every replica made as its file says, and start it.

        Raises:
            StackError: the containers could not be replaced.
        """

        def change(entry: dict[str, Any]) -> None:
            self._rest(service)
            for key, value in entry.pop(KEPT, {}).items():
                entry.pop(key, None)
                if value is not None:
                    entry[key] = value

        self._replace(service, change)

    def deaths(self, service: str) -> dict[str, int | None]:
        """How often each replica died at a start since it was made to; None for one that was not, by replica name."""
        found: dict[str, int | None] = {}
        for container in self._project.containers(service):
            seen = self._engine.inspect(container.id)
            crashes = (seen["Config"].get("Entrypoint") or [""])[0] == NOTHING
            died = seen["RestartCount"] or int(seen["State"]["Status"] in ("restarting", "exited"))
            found[container.name] = int(died) if crashes else None
        return found

    def _rest(self, service: str) -> None:
        """Take containers out of the loop: an engine that removes one while it starts it loses count of its network."""
        crashing = [name for name, count in self.deaths(service).items() if count is not None]
        for container in self._project.containers(service):
            if container.name in crashing:
                self._engine.docker("update", "--restart", "no", container.id, timeout=UPDATE)
                self._engine.signal(container, "SIGKILL")
                wait_until(lambda c=container: self._status(c) in ("exited", "dead"), within=UPDATE)  # type: ignore[misc]

    def _status(self, container: Container) -> str:
        return str(self._engine.inspect(container.id)["State"]["Status"])

    def _replace(self, service: str, change: Any) -> None:
        trouble = replace_replicas(self._project, service, change)
        if trouble:
            raise StackError(f"the replicas of {service} could not be replaced: {trouble}")
