"""Replace the replicas of a Compose service by others that differ in one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sevdrill.stacks.engine import tail
from sevdrill.stacks.project import Project

__all__ = ["replace_replicas"]

REPLACE = 120.0
"""Seconds that it may take."""


def replace_replicas(
    project: Project, service: str, change: Callable[[dict[str, Any]], None], *, keep: bool = False
) -> str:
    """Change a service's entry in the rewritten file and replace its replicas; what went wrong, empty if nothing did.

    Again and again if need be: what an interrupted change left half done is finished. With ``keep`` those there
    are stay as they are, and only their number changes.
    """
    runs_as = project.service(service).runs_as
    with project.changing():
        document = project.read()
        change(document["services"][runs_as])
        project.write(document)
        project.engine.remove_drafts(project.name, service)
        command = (
            "up",
            "-d",
            "--no-deps",
            "--no-build",
            "--pull",
            "never",
            *(["--no-recreate"] if keep else []),
            runs_as,
        )
        done = project.compose(*command, timeout=REPLACE, finish=True)
        # Once more where a replica does not run: the engine may just have ended a stop that an interrupted change had
        # asked for. What cannot run is as dead after that.
        if done.code == 0 and not all(container.running for container in project.containers(service)):
            done = project.compose(*command, timeout=REPLACE, finish=True)
    return "" if done.code == 0 else tail(done.err)
