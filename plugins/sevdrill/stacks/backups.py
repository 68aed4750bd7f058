"""Backups of a stack's databases, by a command of the stack's own: `x-sevdrill: {backups: ...}` says which."""

from __future__ import annotations

from collections.abc import Mapping

from sevdrill.errors import StackError
from sevdrill.ports import Exec
from sevdrill.stacks.command import tail
from sevdrill.stacks.settings import BackupSettings

__all__ = ["CommandBackups"]

TIMEOUT = 60.0
"""Seconds that one verb may take."""


class CommandBackups:
    """Asks for backups by the command that the stack's files give."""

    def __init__(self, commands: Exec, backups: Mapping[str, BackupSettings]) -> None:
        self._commands, self._backups = commands, backups

    def known(self, service: str) -> list[str]:
        """Names of the backups, the newest last."""
        return self._ask(service, "list")

    def restore(self, service: str, backup: str) -> None:
        """Put a backup into a database of its own, beside the one that users use."""
        self._ask(service, "restore", backup)

    def wrong(self, service: str) -> list[str]:
        """What is wrong with the restored database, in few words each; nothing where it is sound."""
        return self._ask(service, "check")

    def swap(self, service: str) -> None:
        """Put the restored database in the place of the one that users use."""
        self._ask(service, "swap")

    def gap(self, service: str) -> list[str]:
        """Keys that were in the old database and are not in the one that took its place."""
        return self._ask(service, "gap")

    def copy(self, service: str) -> str:
        """Keep the database as it is now, whatever is wrong with it; the name of the copy."""
        return (self._ask(service, "copy") or [""])[-1]

    def copies(self, service: str) -> list[str]:
        """Names of the copies that were kept."""
        return self._ask(service, "copies")

    def _ask(self, service: str, *words: str) -> list[str]:
        given = self._backups.get(service)
        if given is None:
            known = ", ".join(sorted(self._backups)) or "none"
            raise StackError(
                f"the stack does not say how the backups of {service} are asked for (x-sevdrill.backups has: {known})"
            )
        done = self._commands.run(given.service, [*given.command, *words], timeout=TIMEOUT)
        if done.code != 0:
            raise StackError(f"backups of {service}: {' '.join(words)}: {tail(done.err or done.out, 3)}")
        return [line for line in done.out.splitlines() if line]
