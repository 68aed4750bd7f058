"""What the services of a Compose stack write to their logs."""

from __future__ import annotations

from sevdrill.clock import Clock
from sevdrill.errors import StackError
from sevdrill.stacks.project import Project

__all__ = ["ComposeLogs"]

LINES = 20_000
"""Lines of each log that are searched at most, the last ones."""


class ComposeLogs:
    """The logs as the engine keeps them, with its times."""

    def __init__(self, project: Project, clock: Clock) -> None:
        self._project, self._clock = project, clock

    def lines(self, service: str, seconds: float) -> list[str]:
        """The lines that its containers wrote in the last so many seconds.

        Raises:
            StackError: a log cannot be read, or the service has no container.
        """
        containers = self._project.containers(service)
        if not containers:
            raise StackError(f"{service} has no container, so it has no log")
        since = self._clock.wall().timestamp() - seconds
        found: list[str] = []
        for container in containers:
            text = self._project.engine.logs(container, since=since, lines=LINES).decode("utf-8", "replace")
            # Before each line is its time.
            found += [line.partition(" ")[2] for line in text.splitlines()]
        return found
