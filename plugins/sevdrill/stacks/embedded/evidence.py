"""What is collected from an embedded stack for the review: logs, states, alerts."""

from __future__ import annotations

import json
from pathlib import Path

from sevdrill.errors import StackError
from sevdrill.lines import Interval
from sevdrill.metering import Use
from sevdrill.ports import Monitoring
from sevdrill.stacks.embedded import tree
from sevdrill.stacks.embedded.control import Control
from sevdrill.stacks.embedded.proxies import BALANCER, PROXIES

__all__ = ["EmbeddedEvidence"]

BYTES = 2 * 1024 * 1024
"""Bytes of each log that are kept at most, the last ones."""


class EmbeddedEvidence:
    """Logs and state of a stack, without what is in its environment; logs from the moment when this is made."""

    def __init__(self, control: Control, monitoring: Monitoring | None) -> None:
        self._control, self._monitoring = control, monitoring
        # Programs write their logs themselves, with times of their own: where they were is what tells old from new.
        self._before = {log.name: log.stat().st_size for log in self._logs()}

    def _logs(self) -> list[Path]:
        try:
            return sorted((self._control.site.folder / "logs").glob("*.log"))
        except StackError:
            return []

    def uses(self) -> dict[str, Use]:
        """What each running replica uses now, with all processes below its own; by name.

        Raises:
            StackError: the supervisor did not say.
        """
        running = {n: s.pid for n, s in self._control.status().items() if s.pid and n not in (PROXIES, BALANCER)}
        used = {name: tree.used(pids) for name, pids in tree.families(running).items()}
        return {name: Use(*use) for name, use in used.items() if use is not None}

    def collect(self, folder: Path, since: Interval) -> list[Path]:
        """Write logs, states and alerts into ``folder``; the files written. What cannot be read is in errors.txt."""
        folder.mkdir(parents=True, exist_ok=True)
        files, errors = [], []
        for log in self._logs():
            try:
                with log.open("rb") as stream:
                    size = log.stat().st_size
                    stream.seek(max(self._before.get(log.name, 0), size - BYTES))
                    content = stream.read()
            except OSError as error:
                errors.append(str(error))
                continue
            files.append(folder / log.name)
            files[-1].write_bytes(content)
        try:
            states = [
                {"name": name, "running": bool(status.pid), "paused": status.paused, "code": status.code,
                 "since": status.since, "release": status.release}
                for name, status in self._control.status().items()
            ]  # fmt: skip
            files.append(folder / "processes.json")
            files[-1].write_text(json.dumps(states, indent=1) + "\n", encoding="utf-8")
        except StackError as error:
            errors.append(str(error))
        if self._monitoring is not None:
            try:
                alerts = [{"name": alert.name, "labels": dict(alert.labels)} for alert in self._monitoring.alerts()]
                files.append(folder / "alerts.json")
                files[-1].write_text(json.dumps(alerts, indent=1) + "\n", encoding="utf-8")
            except StackError as error:
                errors.append(str(error))
        if errors:
            files.append(folder / "errors.txt")
            files[-1].write_text("\n".join(errors) + "\n", encoding="utf-8")
        return files
