"""Processes in the containers of a Compose stack that use up what the service needs (GNU or busybox tools)."""

from __future__ import annotations

import shlex

from sevdrill.errors import StackError
from sevdrill.stacks.engine import Container, tail
from sevdrill.stacks.project import Project

__all__ = ["ComposeHogs"]

TIMEOUT = 20.0
"""Seconds that one command may take."""
MARK = "SEVDRILL_HOG"
"""Variable in the environment of a hog, and of all that it starts."""
BUSY = "while :; do :; done"


class ComposeHogs:
    """Starts, finds and ends hogs by commands in containers, as the service's own user."""

    def __init__(self, project: Project) -> None:
        self._project, self._engine = project, project.engine

    def start(self, service: str, name: str, *, processors: int, memory: int, most: float) -> None:
        """Start hogs of this name in every running replica.

        Raises:
            StackError: no replica runs, or it lacks the tools.
        """
        # All of what `tail` is given stays in its memory until it knows the end.
        keeps = f"{{ head -c {memory} /dev/zero; exec sleep {most:.0f}; }} | tail -c {memory} >/dev/null"
        wanted = [BUSY] * processors + ([keeps] if memory else [])
        running = self._running(service)
        if not running:
            raise StackError(f"nothing can run beside {service}: none of its replicas runs")
        for container in running:
            for script in wanted:
                command = ("timeout", "-s", "KILL", f"{most:.0f}", "sh", "-c", script)
                self._exec(container, "-d", "-e", f"{MARK}={name}", command=command)

    def running(self, service: str, name: str) -> dict[str, bool]:
        """Whether a hog of this name is in each running replica, by replica name."""
        return {c.name: bool(self._exec(c, command=_each(name, "echo")).strip()) for c in self._running(service)}

    def end(self, service: str, name: str) -> None:
        """End every hog of this name."""
        for container in self._running(service):
            self._exec(container, command=_each(name, "kill -9"))

    def _running(self, service: str) -> list[Container]:
        return [c for c in self._project.containers(service) if c.state == "running"]

    def _exec(self, container: Container, *options: str, command: tuple[str, ...]) -> str:
        done = self._engine.docker("exec", *options, container.id, *command, timeout=TIMEOUT)
        if done.code != 0:
            raise StackError(f"`{command[0]}` in {container.name} ended with code {done.code}: {tail(done.err, 3)}")
        return done.out


def _each(name: str, act: str) -> tuple[str, ...]:
    """A command that acts on every process of the hog: whatever has its mark in the environment."""
    mark = shlex.quote(f"{MARK}={name}")
    return (
        "sh",
        "-c",
        f"for f in $(grep -lsF {mark} /proc/[0-9]*/environ); do p=${{f#/proc/}}; {act} ${{p%%/*}} 2>/dev/null; done; :",
    )
