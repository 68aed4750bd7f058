"""What the containers of a Compose stack may use, changed while they run."""

from __future__ import annotations

from functools import cached_property

from sevdrill.errors import StackError
from sevdrill.resources import Limit
from sevdrill.stacks.engine import Container, tail
from sevdrill.stacks.project import Project

__all__ = ["ComposeLimits"]

PERIOD = 100_000
"""Microseconds over which the kernel counts processors' time."""
UPDATE = 20.0
"""Seconds that one change may take."""


class ComposeLimits:
    """Reads and changes the limits of containers; a container that is made anew has those of its file."""

    def __init__(self, project: Project) -> None:
        self._project, self._engine = project, project.engine

    def limits(self, service: str) -> dict[str, Limit]:
        """The limits in effect now, by replica name."""
        return {container.name: self._of(container) for container in self._project.containers(service)}

    def limit(self, service: str, replica: str, limit: Limit) -> None:
        """Put these limits into effect on one replica.

        Raises:
            StackError: there is no such replica, or the engine refuses; the text says what it said.
        """
        found = {container.name: container for container in self._project.containers(service)}
        if replica not in found:
            raise StackError(f"{service} has no replica {replica} (there are: {', '.join(found) or 'none'})")
        now = self._of(found[replica])
        if now.cpus != limit.cpus:
            self._update(found[replica], *self._cpus(found[replica], limit.cpus))
        if (now.memory, now.swap) != (limit.memory, limit.swap):
            # The engine has no word for "none" once there is a limit: all that the machine has binds nothing.
            memory = limit.memory or self._machine
            swap = max(limit.swap or (memory if limit.memory is None else 0), memory)
            self._update(found[replica], "--memory", f"{memory}b", "--memory-swap", f"{swap}b")

    def _of(self, container: Container) -> Limit:
        host = self._engine.inspect(container.id)["HostConfig"]
        cpus = (host.get("NanoCpus") or 0) / 1e9
        if not cpus and (host.get("CpuQuota") or 0) > 0:
            cpus = host["CpuQuota"] / (host.get("CpuPeriod") or PERIOD)
        memory, swap = host.get("Memory") or 0, host.get("MemorySwap") or 0
        bounded = 0 < memory < self._machine
        return Limit(cpus or None, memory if bounded else None, swap if bounded and swap > 0 else None)

    def _cpus(self, container: Container, cpus: float | None) -> tuple[str, ...]:
        # In the terms that it was given before: the engine does not take both.
        if self._engine.inspect(container.id)["HostConfig"].get("NanoCpus"):
            return ("--cpus", f"{cpus or self._processors:.9f}")
        quota = -1 if cpus is None else max(round(cpus * PERIOD), 1000)
        return ("--cpu-period", str(PERIOD), "--cpu-quota", str(quota))

    def _update(self, container: Container, *options: str) -> None:
        done = self._engine.docker("update", *options, container.id, timeout=UPDATE)
        if done.code != 0:
            raise StackError(f"{container.name} cannot be given other limits: {tail(done.err, 3)}")

    @property
    def _machine(self) -> int:
        return self._capacity[0]

    @property
    def _processors(self) -> int:
        return self._capacity[1]

    @cached_property
    def _capacity(self) -> tuple[int, int]:
        done = self._engine.docker("info", "--format", "{{.MemTotal}} {{.NCPU}}", timeout=UPDATE)
        if done.code != 0:
            raise StackError(f"the engine does not say what its machine has: {tail(done.err, 3)}")
        memory, processors = done.out.split()
        return int(memory), int(processors)
