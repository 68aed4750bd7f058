"""What is collected from a Compose stack for the review: logs, states, alerts."""

from __future__ import annotations

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sevdrill.clock import Clock
from sevdrill.errors import StackError
from sevdrill.lines import Interval
from sevdrill.masking import MASKER
from sevdrill.metering import Use
from sevdrill.ports import Monitoring
from sevdrill.stacks.engine import Container
from sevdrill.stacks.project import Project

__all__ = ["ComposeEvidence"]

LINES = 20_000
"""Lines of each log that are read at most, the last ones."""
BYTES = 2 * 1024 * 1024
"""Bytes of each log that are kept at most, the last ones."""


class ComposeEvidence:
    """Logs and state of a stack, without what is in its environment; secrets in them are masked."""

    def __init__(self, project: Project, monitoring: Monitoring | None, clock: Clock) -> None:
        self._project, self._monitoring, self._clock = project, monitoring, clock

    def collect(self, folder: Path, since: Interval) -> list[Path]:
        """Write logs since a moment (monotonic seconds), states and alerts into ``folder``; the files written.

        What cannot be read is named in ``errors.txt``: a review must not fail because one container is gone.
        """
        folder.mkdir(parents=True, exist_ok=True)
        began = self._clock.wall().timestamp() - (self._clock.now() - since.lo)
        files: list[Path] = []
        states: list[dict[str, Any]] = []
        errors: list[str] = []
        containers = self._project.engine.containers(self._project.name)
        # All at once: the engine takes a second for each.
        with ThreadPoolExecutor(max(1, len(containers))) as pool:
            usages = [pool.submit(self._usage, container) for container in containers]
        for container, usage in zip(containers, usages, strict=True):
            try:
                states.append({**self._state(container), "usage": usage.result()})
                log = self._project.engine.logs(container, since=began, lines=LINES)
            except StackError as error:
                errors.append(str(error))
                continue
            files.append(folder / f"{container.name}.log")
            files[-1].write_bytes(_last(MASKER.raw(log)))
        files.append(folder / "containers.json")
        files[-1].write_text(json.dumps(MASKER.data(states), indent=1) + "\n", encoding="utf-8")
        if self._monitoring is not None:
            try:
                alerts = [{"name": alert.name, "labels": dict(alert.labels)} for alert in self._monitoring.alerts()]
                files.append(folder / "alerts.json")
                files[-1].write_text(json.dumps(MASKER.data(alerts), indent=1) + "\n", encoding="utf-8")
            except StackError as error:
                errors.append(str(error))
        if errors:
            files.append(folder / "errors.txt")
            files[-1].write_text("\n".join(errors) + "\n", encoding="utf-8")
        return files

    def uses(self) -> dict[str, Use]:
        """What each running replica uses now, by service and number; one that is just going is left out.

        Raises:
            StackError: the engine did not list them.
        """
        found: dict[str, Use] = {}

        def look(container: Container) -> None:
            with contextlib.suppress(StackError):
                use = self._project.engine.usage(container)
                name = f"{container.service}-{container.name.rpartition('-')[2]}"
                found[name] = Use(use["memory"], use["processor_seconds"], use["processes"])

        containers = self._project.engine.containers(self._project.name)
        wanted = [c for c in containers if c.running and not c.is_proxy and not c.draft]
        # All at once, as the engine takes a second for each; and on threads that nobody waits for at the end of a run.
        threads = [threading.Thread(target=look, args=(each,), daemon=True) for each in wanted]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return dict(found)

    def _usage(self, container: Container) -> dict[str, Any] | None:
        """What it uses now; None for one that does not run."""
        return self._project.engine.usage(container) if container.running else None

    def _state(self, container: Container) -> dict[str, Any]:
        found = self._project.engine.inspect(container.id)
        state = found["State"]
        kept = (
            "Status",
            "Running",
            "Paused",
            "Restarting",
            "OOMKilled",
            "ExitCode",
            "Error",
            "StartedAt",
            "FinishedAt",
        )
        health = state.get("Health") or {}
        networks = found["NetworkSettings"]["Networks"] or {}
        return {
            "name": container.name,
            "service": container.service,
            "proxy": container.is_proxy,
            "image": found["Config"]["Image"],
            "image_id": found["Image"],
            "created": found.get("Created", ""),
            "state": {key: state[key] for key in kept if key in state},
            "health": {key: health[key] for key in ("Status", "FailingStreak") if key in health},
            "restarts": found["RestartCount"],
            "networks": {
                name: {"address": network["IPAddress"], "aliases": network["Aliases"]}
                for name, network in networks.items()
            },
        }


def _last(log: bytes) -> bytes:
    if len(log) <= BYTES:
        return log
    return b"[the beginning was left out]\n" + log[-BYTES:].partition(b"\n")[2]
