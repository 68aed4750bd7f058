"""Files of a Compose stack's services, by commands inside them (GNU coreutils and findutils)."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sevdrill.errors import StackError
from sevdrill.resources import FoundFile, Space
from sevdrill.stacks.containers import ComposeExec
from sevdrill.stacks.engine import tail

__all__ = ["ComposeFiles"]

TIMEOUT = 30.0
"""Seconds that one command may take."""


class ComposeFiles:
    """Looks at, fills and clears the disks of services; acts as the service's own user, with no more rights."""

    def __init__(self, commands: ComposeExec) -> None:
        self._commands = commands

    def space(self, service: str, folder: str) -> Space:
        """Room on the file system that a folder of the service is on.

        Raises:
            StackError: there is no such folder, or no replica runs.
        """
        lines = self._run(service, "df", "-B1", "--output=size,avail", "--", folder).splitlines()
        size, free = lines[-1].split()
        return Space(int(size), int(free))

    def find(self, service: str, folder: str, name: str = "*") -> list[FoundFile]:
        """Files in a folder and below whose name matches a shell pattern.

        Raises:
            StackError: there is no such folder, or no replica runs.
        """
        # A file that goes while it is looked for is no error: that is what temporary files do.
        listing = ("-type", "f", "-name", name, "-printf", r"%s %T@ %p\0")
        printed = self._run(service, "find", folder, "-ignore_readdir_race", *listing)
        now = time.time()
        found = []
        for entry in printed.split("\0")[:-1]:
            size, changed, path = entry.split(" ", 2)
            found.append(FoundFile(path, int(size), now - float(changed)))
        return found

    def fill(self, service: str, file: str, size: int, age: float) -> None:
        """Write a file of ``size`` bytes, or of as many as there is room for, last changed ``age`` seconds ago.

        Raises:
            StackError: it could not be written at all.
        """
        write = ("dd", "if=/dev/zero", f"of={file}", "bs=64K", f"count={size}", "iflag=count_bytes", "status=none")
        done = self._commands.run(service, write, timeout=TIMEOUT)
        if done.code != 0 and "No space left" not in done.err:
            raise StackError(f"{file} in {service} cannot be written: {tail(done.err, 3)}")
        self._run(service, "touch", "-d", f"@{time.time() - age:.0f}", "--", file)

    def remove(self, service: str, files: Sequence[str]) -> None:
        """Remove files; one that is not there is no error.

        Raises:
            StackError: one could not be removed.
        """
        # In parts: a list of arguments has a limit.
        for first in range(0, len(files), 500):
            self._run(service, "rm", "-f", "--", *files[first : first + 500])

    def _run(self, service: str, *command: str) -> str:
        done = self._commands.run(service, command, timeout=TIMEOUT)
        if done.code != 0:
            raise StackError(f"`{command[0]}` in {service} ended with code {done.code}: {tail(done.err, 3)}")
        return done.out
