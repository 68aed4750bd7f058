"""Whether a Compose project is whole, and what to tell people when it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sevdrill.stacks.engine import Container, tail, wait_until
from sevdrill.stacks.project import Project

__all__ = ["Ailment", "ailments", "await_health", "describe"]


@dataclass(frozen=True)
class Ailment:
    """One thing that is not as it should be."""

    what: str
    container: Container | None
    final: bool
    """Whether waiting is of no use."""


def ailments(project: Project) -> list[Ailment]:
    """Everything of the project that does not run, is frozen, or is not healthy; empty when it is whole."""
    containers = project.engine.containers(project.name)
    found: list[Ailment] = []
    for name, layout in project.layout.services.items():
        replicas = [c for c in containers if c.service == name and not c.is_proxy]
        proxies = [c for c in containers if c.service == name and c.is_proxy]
        if len(replicas) < layout.replicas:
            found.append(Ailment(f"{name} has {len(replicas)} of {layout.replicas} replicas", None, final=True))
        if layout.proxy and not proxies:
            found.append(Ailment(f"{name} has lost its proxy", None, final=True))
        for container in (*replicas, *proxies):
            ended = container.state in ("exited", "dead")
            well = container.state == "running" and container.healthy is not False
            # Without a health check, only time tells one that starts from one that is about to end.
            young = container.healthy is None and container.status == "Up Less than a second"
            if layout.job and not container.is_proxy:
                well = ended and "(0)" in container.status
            if not well or (young and not container.is_proxy):
                found.append(Ailment(f"{name}'s proxy" if container.is_proxy else name, container, final=ended))
    return found


def await_health(project: Project, within: float) -> list[Ailment]:
    """Wait until the project is whole, or ``within`` seconds are over, or waiting is of no use; what still ails it."""
    found: list[Ailment] = []

    def settled() -> bool:
        found[:] = ailments(project)
        return not found or any(ailment.final for ailment in found)

    wait_until(settled, within=within, every=0.1)
    return found


def describe(project: Project, found: Sequence[Ailment]) -> str:
    """Name each service that ails, with the last lines of its log."""
    lines: list[str] = []
    # Those that are only not ready yet are not the cause.
    for ailment in [ailment for ailment in found if ailment.final] or found:
        container = ailment.container
        if container is None:
            lines.append(f"service {ailment.what}")
            continue
        hint = ""
        if ailment.final and "(0)" in container.status:
            hint = " (if it is meant to end, let others wait for it: depends_on, service_completed_successfully)"
        lines.append(f"service {ailment.what}: {container.name} is {container.status or container.state}{hint}")
        log = project.engine.logs(container, since=0, lines=10).decode("utf-8", "replace")
        lines += [f"    | {line}" for line in tail(log, 10).splitlines()]
    return "\n".join(lines)
